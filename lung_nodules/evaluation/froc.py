"""Free-response ROC and CPM by LUNA16's rules: how many nodules are found at how many false marks a scan.

``fps`` is false marks per scan over all listed scans, read or not, with nodules or without; CPM is the mean sensitivity
at 1/8, 1/4, 1/2, 1, 2, 4 and 8. Intervals come from a bootstrap over scans.

Our own: MONAI's `compute_froc_curve_data` skips the lowest threshold, so that two nodules, both found, no false mark,
score 0.5; sklearn's `roc_curve`, which the official script rescales, gives the same curve as ours (a test compares)
but would sort all marks anew in each of the resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lung_nodules.evaluation.figures import Figure, FigureUndefinedError
from lung_nodules.evaluation.froc_matching import (
    FPS_PER_SCAN,
    OFFICIAL_RULES,
    FrocRules,
    Lesion,
    Mark,
    Matches,
    match_marks,
)

__all__ = [
    "FPS_PER_SCAN",
    "OFFICIAL_RULES",
    "Froc",
    "FrocRules",
    "Lesion",
    "Mark",
    "Matches",
    "bootstrap_froc",
    "froc",
    "match_marks",
]

Floats = npt.NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Froc:
    """A curve: one point a distinct probability, falling, after the point (0, 0) where nothing is marked."""

    fps: Floats  # (point,) false marks a scan, never falling
    sensitivity: Floats  # (point,) 0-1, never falling; NaN where there is no lesion
    thresholds: Floats  # (point,) the lowest probability that counts; infinite at first
    matches: Matches
    rules: FrocRules

    @property
    def num_scans(self) -> int:
        """Listed scans, the denominator of `fps`."""
        return len(self.matches.scans)

    @property
    def num_lesions(self) -> int:
        """Included lesions, the denominator of `sensitivity`."""
        return int(self.matches.num_lesions.sum())

    @property
    def num_found(self) -> int:
        """Lesions that any mark hits."""
        return int(self.matches.entry_is_hit.sum())

    @property
    def num_false(self) -> int:
        """False marks at the lowest threshold."""
        return int((~self.matches.entry_is_hit).sum())

    def sensitivity_at(self, fps: float) -> float:
        """Sensitivity at so many false marks a scan; beyond the curve's last point, that of its last point."""
        return float(_read(self.fps, self.sensitivity, [fps], self.rules)[0])

    @property
    def cpm(self) -> float:
        """Mean sensitivity at the rates of the rules."""
        return float(_read(self.fps, self.sensitivity, self.rules.fps_per_scan, self.rules).mean())


def froc(
    marks: Iterable[Mark],
    included: Iterable[Lesion],
    excluded: Iterable[Lesion],
    scans: Sequence[str],
    rules: FrocRules = OFFICIAL_RULES,
) -> Froc:
    """Match the marks and draw the curve.

    Args:
        marks: Of all scans, in any order.
        included: The lesions that are to be found.
        excluded: The findings on which marks are neither right nor wrong.
        scans: Every scan that was given to the finder; those without marks or lesions too, as they dilute `fps`.
        rules: LUNA16's where nothing is said.

    Raises:
        ValueError: No scan, a scan is listed twice, or the probability of a mark is not finite.
    """
    matches = match_marks(marks, included, excluded, scans, rules)
    falling = _Falling.of(matches)
    fps, sensitivity = falling.curve(np.ones(len(scans)))
    return Froc(fps, sensitivity, falling.thresholds, matches, rules)


def bootstrap_froc(curve: Froc, *, num_resamples: int = 1000, seed: int = 0) -> tuple[dict[float, Figure], Figure]:
    """The sensitivity at each rate of the rules, and CPM, with intervals by bootstrap over scans.

    A scan is drawn with its marks and lesions; draws without a lesion are left out. The value is that of the cohort
    itself; the official script draws the mean of the resamples.

    Returns:
        Figures by false marks a scan, and that of CPM; their n counts lesions.

    Raises:
        FigureUndefinedError: There is no lesion.
    """
    if not curve.num_lesions:
        raise FigureUndefinedError("there is no lesion to be found")
    falling, rates, rules = _Falling.of(curve.matches), curve.rules.fps_per_scan, curve.rules
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(num_resamples if curve.num_scans > 1 else 0):
        drawn = rng.integers(curve.num_scans, size=curve.num_scans)
        draws.append(_read(*falling.curve(np.bincount(drawn, minlength=curve.num_scans)), rates, rules))
    table = np.array(draws).reshape(-1, len(rates))
    table = table[np.isfinite(table).all(axis=1)]
    figures = {
        rate: _figure(curve.sensitivity_at(rate), column, curve.num_lesions, rules)
        for rate, column in zip(rates, table.T, strict=True)
    }
    return figures, _figure(curve.cpm, table.mean(axis=1), curve.num_lesions, rules)


@dataclass(frozen=True)
class _Falling:
    """Entries sorted by falling probability, once for all resamples."""

    scan: npt.NDArray[np.intp]
    is_hit: npt.NDArray[np.bool_]
    last_of_ties: npt.NDArray[np.intp]  # entries of one probability come and go together
    thresholds: Floats
    num_lesions: npt.NDArray[np.intp]

    @classmethod
    def of(cls, matches: Matches) -> _Falling:
        order = np.argsort(-matches.entry_probability, kind="stable")
        probability = matches.entry_probability[order]
        last = np.flatnonzero(np.append(np.diff(probability) != 0, True)[: len(probability)])
        return cls(
            scan=matches.entry_scan[order],
            is_hit=matches.entry_is_hit[order],
            last_of_ties=last,
            thresholds=np.concatenate([[np.inf], probability[last]]),
            num_lesions=matches.num_lesions,
        )

    def curve(self, times: npt.NDArray[np.number]) -> tuple[Floats, Floats]:
        """``fps`` and sensitivity when each scan counts so many times."""
        weight = times[self.scan]
        hits = np.cumsum(weight * self.is_hit)[self.last_of_ties]
        false = np.cumsum(weight * ~self.is_hit)[self.last_of_ties]
        lesions = float(times @ self.num_lesions) or math.nan
        return np.append(0.0, false) / len(times), np.append(0.0, hits) / lesions


def _read(fps: Floats, sensitivity: Floats, rates: Sequence[float], rules: FrocRules) -> Floats:
    """Sensitivity at rates; where the curve rises at exactly a rate, the top of the rise."""
    if rules.interpolates:
        return np.asarray(np.interp(rates, fps, sensitivity))
    return np.asarray(sensitivity[np.searchsorted(fps, rates, side="right") - 1])


def _figure(value: float, draws: Floats, n: int, rules: FrocRules) -> Figure:
    if not len(draws):
        return Figure(value=value, n=n)
    tail = (1.0 - CONFIDENCE) / 2.0
    if rules.floors_percentiles:
        ranked = np.sort(draws)
        low, high = (ranked[math.floor(share * len(ranked))] for share in (tail, 1.0 - tail))
    else:
        low, high = np.quantile(draws, [tail, 1.0 - tail])
    return Figure(value=value, low=float(low), high=float(high), n=n)
