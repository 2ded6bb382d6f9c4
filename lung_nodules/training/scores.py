"""Figures for the records: a value with its 95 % interval by bootstrap over patients, and n."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from lung_nodules.networks.record import Score

NUM_RESAMPLES = 1000
Rows = npt.NDArray[np.integer]


def score_by_patient(
    name: str, cohort: str, patients: Sequence[str], measure: Callable[[Rows], float], seed: int = 0
) -> Score:
    """Measure on all rows, and on patients drawn with replacement.

    Args:
        name: Of the figure.
        cohort: What was measured, in words.
        patients: The patient of each row.
        measure: From row numbers (with repeats) to the figure; NaN where it is not defined.
        seed: Of the draws.
    """
    rows: dict[str, list[int]] = {}
    for row, patient in enumerate(patients):
        rows.setdefault(patient, []).append(row)
    members = [np.array(numbers) for numbers in rows.values()]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(NUM_RESAMPLES):
        drawn = rng.integers(len(members), size=len(members))
        draws.append(measure(np.concatenate([members[number] for number in drawn])))
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    value = measure(np.arange(len(patients)))
    return Score(
        name=name,
        value=round(value, 4),
        low=round(float(low), 4),
        high=round(float(high), 4),
        n=len(patients),
        cohort=cohort,
    )


def mean_score(name: str, cohort: str, patients: Sequence[str], values: Sequence[float]) -> Score:
    """The mean of one value a row."""
    array = np.asarray(values, dtype=float)
    return score_by_patient(name, cohort, patients, lambda rows: float(array[rows].mean()))


def auc_score(
    name: str, cohort: str, patients: Sequence[str], positive: Sequence[bool], values: Sequence[float]
) -> Score:
    """Area under the ROC curve of values against a yes or no a row."""
    return score_by_patient(name, cohort, patients, _auc_of(positive, values))


def auc_gain_score(
    name: str,
    cohort: str,
    patients: Sequence[str],
    positive: Sequence[bool],
    values: Sequence[float],
    baseline: Sequence[float],
) -> Score:
    """By how much the area under the curve of values exceeds that of a baseline, on the same draws (paired)."""
    ours, theirs = _auc_of(positive, values), _auc_of(positive, baseline)
    return score_by_patient(name, cohort, patients, lambda rows: ours(rows) - theirs(rows))


def _auc_of(positive: Sequence[bool], values: Sequence[float]) -> Callable[[Rows], float]:
    from sklearn.metrics import roc_auc_score  # of the training extra

    truth, array = np.asarray(positive, dtype=bool), np.asarray(values, dtype=float)

    def measure(rows: Rows) -> float:
        both = truth[rows].any() and not truth[rows].all()
        return float(roc_auc_score(truth[rows], array[rows])) if both else float("nan")

    return measure
