"""Intervals by cluster bootstrap: whole patients (or scans) are drawn with replacement, with all of their rows.

Nodules of one patient resemble each other, so that drawing single nodules gives intervals that are too narrow
(field practice; Efron and Tibshirani 1993, chapter 8). Percentiles 2.5 and 97.5 of the draws bound the interval.
Our own, as ``scipy.stats.bootstrap`` draws rows and knows no clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lung_nodules.evaluation.figures import Figure, FigureUndefinedError

Rows = npt.NDArray[np.integer]
Measure = Callable[[Rows], float]
PERCENTILES = (2.5, 97.5)


def bootstrap_figure(groups: Sequence[str], measure: Measure, *, num_resamples: int = 1000, seed: int = 0) -> Figure:
    """Measure on all rows, and on groups drawn with replacement.

    Args:
        groups: The patient or scan of each row.
        measure: From row numbers (with repeats) to the figure; NaN where it does not exist.
        num_resamples: Draws; those on which the figure is NaN are left out.
        seed: Of the draws; the same groups and seed give the same draws, whatever is measured.

    Raises:
        FigureUndefinedError: There is no row, or the figure is NaN on all rows.
    """
    value = measure(np.arange(len(groups))) if len(groups) else float("nan")
    if not np.isfinite(value):
        raise FigureUndefinedError("the figure does not exist on these rows")
    members = _members(groups)
    draws = _draws(members, measure, num_resamples, seed) if len(members) > 1 else np.array([])
    if not len(draws):
        return Figure(value=float(value), n=len(groups))
    low, high = np.percentile(draws, PERCENTILES)
    return Figure(value=float(value), low=float(low), high=float(high), n=len(groups))


def paired_gain(
    groups: Sequence[str], measure: Measure, baseline: Measure, *, num_resamples: int = 1000, seed: int = 0
) -> Figure:
    """By how much a figure exceeds that of a baseline, both measured on the same draws.

    The gain holds where the interval lies above zero. Arguments and errors as for `bootstrap_figure`.
    """
    return bootstrap_figure(groups, lambda rows: measure(rows) - baseline(rows), num_resamples=num_resamples, seed=seed)


def mean_figure(
    groups: Sequence[str],
    values: Sequence[float] | npt.NDArray[np.floating],
    *,
    num_resamples: int = 1000,
    seed: int = 0,
) -> Figure:
    """The mean of one finite value a row. Arguments and errors as for `bootstrap_figure`."""
    array = np.asarray(values, dtype=float)
    return bootstrap_figure(groups, lambda rows: float(array[rows].mean()), num_resamples=num_resamples, seed=seed)


def on_rows(measure: Callable[..., float], *columns: npt.ArrayLike) -> Measure:
    """A function of whole columns as one of rows: ``on_rows(auc, positive, values)``."""
    arrays = [np.asarray(column) for column in columns]
    return lambda rows: float(measure(*(array[rows] for array in arrays)))


def _members(groups: Sequence[str]) -> list[Rows]:
    """The rows of each group, the groups in the order in which they first occur."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [np.array(numbers) for numbers in rows.values()]


def _draws(members: Sequence[Rows], measure: Measure, num_resamples: int, seed: int) -> npt.NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(num_resamples):
        drawn = rng.integers(len(members), size=len(members))
        draws.append(measure(np.concatenate([members[number] for number in drawn])))
    array = np.array(draws, dtype=np.float64)
    return np.asarray(array[np.isfinite(array)])
