"""Which marks hit which lesions, by LUNA16's rules: the first half of `froc`.

Method: Setio 2017, 10.1016/j.media.2017.06.015, and its script noduleCADEvaluationLUNA16.py. Our own, because no
library follows these rules; docs/evaluation.md lists them one by one.

Places are world coordinates in mm, any one frame a scan; LUNA16's are LPS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FPS_PER_SCAN = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Mark:
    """A place where a finder says that there is a nodule."""

    scan: str
    x: float
    y: float
    z: float
    probability: float  # any finite score that grows with certainty


@dataclass(frozen=True)
class Lesion:
    """A finding of the reference: included (to be found) or excluded (neither right nor wrong)."""

    scan: str
    x: float
    y: float
    z: float
    diameter_mm: float  # below zero where it was not measured


Placed = TypeVar("Placed", Mark, Lesion)


@dataclass(frozen=True, kw_only=True)
class FrocRules:
    """The rules of the official script, each of which can be changed; the defaults are the script's."""

    max_marks: int | None = 100  # a scan; over that, the least certain marks are dropped
    keeps_ties_at_cut: bool = False  # else only marks above the first one too many stay, so that ties all drop
    unmeasured_diameter_mm: float = 10.0  # of a finding whose diameter is below zero
    hits_on_surface: bool = False  # else a distance of exactly the radius is no hit
    ignores_excluded: bool = True  # else a mark on an excluded finding is false
    repeats_are_false: bool = False  # else all marks in a lesion but its most certain one vanish
    one_mark_hits_many: bool = True  # else a mark finds the nearest lesion that holds it and that no surer mark found
    interpolates: bool = True  # else sensitivity is that of the last point at or below the rate, a point one can set
    floors_percentiles: bool = True  # of the bootstrap: else interpolated between draws
    fps_per_scan: tuple[float, ...] = FPS_PER_SCAN  # where sensitivity is read; CPM is the mean of these


OFFICIAL_RULES = FrocRules()


@dataclass(frozen=True)
class Matches:
    """What became of the marks and lesions of all scans: the evidence from which curves and resamples are made.

    An entry is a lesion that was found, with the probability of its surest mark, or a false mark.
    """

    scans: tuple[str, ...]
    entry_scan: npt.NDArray[np.intp]  # (entry,) number of its scan
    entry_probability: npt.NDArray[np.float64]  # (entry,)
    entry_is_hit: npt.NDArray[np.bool_]  # (entry,)
    num_lesions: npt.NDArray[np.intp]  # (scan,) included ones, found or not
    num_ignored: int  # marks on excluded findings
    num_repeats: int  # marks in a lesion that a surer mark had found


def match_marks(
    marks: Iterable[Mark],
    included: Iterable[Lesion],
    excluded: Iterable[Lesion],
    scans: Sequence[str],
    rules: FrocRules = OFFICIAL_RULES,
) -> Matches:
    """Match the marks of each scan. Marks and lesions of scans that are not listed are left out, as the script does.

    Raises:
        ValueError: No scan, a scan is listed twice, or the probability of a mark is not finite.
    """
    if not scans or len(set(scans)) != len(scans):
        raise ValueError("scans must be listed, each once")
    marks_of, included_of, excluded_of = _group(marks, scans), _group(included, scans), _group(excluded, scans)
    results = [_match_scan(marks_of[scan], included_of[scan], excluded_of[scan], rules) for scan in scans]
    entries = [(number, *entry) for number, result in enumerate(results) for entry in result.entries]
    columns = list(zip(*entries, strict=True)) or [(), (), ()]
    return Matches(
        scans=tuple(scans),
        entry_scan=np.array(columns[0], dtype=np.intp),
        entry_probability=np.array(columns[1], dtype=np.float64),
        entry_is_hit=np.array(columns[2], dtype=np.bool_),
        num_lesions=np.array([len(included_of[scan]) for scan in scans], dtype=np.intp),
        num_ignored=sum(result.num_ignored for result in results),
        num_repeats=sum(result.num_repeats for result in results),
    )


def cut_marks(marks: Sequence[Mark], rules: FrocRules) -> list[Mark]:
    """The marks of one scan that are judged."""
    if rules.max_marks is None or len(marks) <= rules.max_marks:
        return list(marks)
    falling = sorted(marks, key=lambda mark: -mark.probability)
    if rules.keeps_ties_at_cut:
        return falling[: rules.max_marks]
    return [mark for mark in marks if mark.probability > falling[rules.max_marks].probability]


@dataclass(frozen=True)
class _ScanMatches:
    entries: list[tuple[float, bool]]
    num_ignored: int
    num_repeats: int


def _group(things: Iterable[Placed], scans: Sequence[str]) -> dict[str, list[Placed]]:
    grouped: dict[str, list[Placed]] = {scan: [] for scan in scans}
    for thing in things:
        if thing.scan in grouped:
            grouped[thing.scan].append(thing)
    return grouped


def _match_scan(
    marks: Sequence[Mark], included: Sequence[Lesion], excluded: Sequence[Lesion], rules: FrocRules
) -> _ScanMatches:
    if not all(np.isfinite(mark.probability) for mark in marks):
        raise ValueError("the probability of a mark is not finite")
    marks = cut_marks(marks, rules)
    probability = np.array([mark.probability for mark in marks])
    distance = _squared_distances(marks, included)
    holds = _within(distance, included, rules)
    finder = _surest(holds, probability) if rules.one_mark_hits_many else _one_to_one(holds, distance, probability)
    found = finder >= 0
    in_lesion = holds.any(axis=1)
    repeats = in_lesion & ~np.isin(np.arange(len(marks)), finder[found])
    in_excluded = _within(_squared_distances(marks, excluded), excluded, rules).any(axis=1) & ~in_lesion
    false = ~in_lesion & ~(in_excluded & rules.ignores_excluded) | repeats & rules.repeats_are_false
    hits = [(float(value), True) for value in probability[finder[found]]]
    return _ScanMatches(
        entries=hits + [(float(value), False) for value in probability[false]],
        num_ignored=int(in_excluded.sum()) if rules.ignores_excluded else 0,
        num_repeats=int(repeats.sum()),
    )


def _squared_distances(marks: Sequence[Mark], lesions: Sequence[Lesion]) -> npt.NDArray[np.float64]:
    """(mark, lesion), mm squared: the script compares squares, and a root would move marks on the surface."""
    one, other = (np.array([(p.x, p.y, p.z) for p in places]).reshape(-1, 3) for places in (marks, lesions))
    return np.asarray(((one[:, None] - other[None]) ** 2).sum(axis=2))


def _within(distance: npt.NDArray[np.float64], lesions: Sequence[Lesion], rules: FrocRules) -> npt.NDArray[np.bool_]:
    """(mark, lesion) whether the mark lies in the ball of the lesion."""
    diameter = np.array([lesion.diameter_mm for lesion in lesions], dtype=np.float64)
    radius = np.where(diameter < 0, rules.unmeasured_diameter_mm, diameter) / 2
    return np.asarray(distance <= radius**2 if rules.hits_on_surface else distance < radius**2)


def _surest(holds: npt.NDArray[np.bool_], probability: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """(lesion,) the number of the surest mark in it, the first of equals; -1 where there is none."""
    if not holds.size:
        return np.full(holds.shape[1], -1, dtype=np.intp)
    surest = np.where(holds, probability[:, None], -np.inf).argmax(axis=0)
    return np.asarray(np.where(holds.any(axis=0), surest, -1))


def _one_to_one(
    holds: npt.NDArray[np.bool_], distance: npt.NDArray[np.float64], probability: npt.NDArray[np.float64]
) -> npt.NDArray[np.intp]:
    """(lesion,) the mark that finds it when each mark finds at most one, the surest mark first; -1 where none does."""
    finder = np.full(holds.shape[1], -1, dtype=np.intp)
    for mark in np.argsort(-probability, kind="stable"):
        open_lesions = np.flatnonzero(holds[mark] & (finder < 0))
        if len(open_lesions):
            finder[open_lesions[distance[mark, open_lesions].argmin()]] = mark
    return finder
