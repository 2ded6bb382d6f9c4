"""What is in a cohort: patients and nodules, by readers and by side of the split."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lung_nodules.cohorts.crops import TABLE, read_rows
from lung_nodules.cohorts.luna16 import ANNOTATIONS, read_luna16
from lung_nodules.cohorts.scans import REFERENCE, read_reference_scans
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal


@dataclass(frozen=True)
class CountedNodule:
    """What counting needs to know of a nodule."""

    patient_id: str
    num_readers: int  # 0: nobody is known to have rated or outlined it
    diameter_mm: float | None  # None where the table does not say


@dataclass(frozen=True)
class SideCount:
    """One side of the split, or all."""

    name: str
    num_patients: int
    num_nodules: int
    by_readers: dict[int, int]  # number of nodules by number of readers


@dataclass(frozen=True)
class CohortCount:
    """A whole cohort."""

    kind: str
    sides: tuple[SideCount, ...]  # train, validation, test, all
    median_diameter_mm: float | None
    notes: tuple[str, ...] = ()


def count_cohort(folder: Path) -> CohortCount:
    """Count a folder of crops (`nodules.csv`), of scans (`reference.json`) or of LUNA16 (`annotations.csv`).

    Raises:
        InputRefusal: ``no-cohort`` where it is none of these, or what its reader refuses it for.
    """
    if (folder / TABLE).is_file():
        return _count_crops(folder)
    if (folder / REFERENCE).is_file():
        scans = read_reference_scans(folder)
        nodules = [
            CountedNodule(scan.patient_id, nodule.num_readers, nodule.long_axis_mm)
            for scan in scans
            for nodule in scan.nodules
        ]
        return _count("scans", nodules, [scan.patient_id for scan in scans])
    if folder.is_dir() and next(folder.rglob(ANNOTATIONS), None):
        return _count_luna16(folder)
    raise InputRefusal("no-cohort", f"{folder} holds neither {TABLE} nor {REFERENCE} nor {ANNOTATIONS}.")


def _count_crops(folder: Path) -> CohortCount:
    rows = read_rows(folder)
    native = [row for row in rows if row["kind"] == "slices"]  # an iso crop shows a nodule that is there already
    try:
        nodules = [
            CountedNodule(row["patient_id"], int(row["n_readers"]), _diameter(row["diameter_mm"])) for row in native
        ]
        context = [min(int(row["slices_below"] or 0), int(row["slices_above"] or 0)) for row in native]
    except ValueError as error:
        raise InputRefusal("bad-crops", f"A line of {TABLE} has no number where one is due.") from error
    notes = [f"{len(rows) - len(native)} further crops at 1 mm"] if len(rows) > len(native) else []
    notes.append(f"{sum(slices > 0 for slices in context)} nodules with slices above and below the outlines")
    return _count("crops", nodules, [], notes)


def _diameter(cell: str) -> float | None:
    return float(cell) if cell else None


def _count_luna16(folder: Path) -> CohortCount:
    luna16 = read_luna16(folder)
    nodules = [
        CountedNodule(scan.patient_id, 0, nodule.diameter_mm) for scan in luna16.scans for nodule in scan.nodules
    ]
    notes = [
        "LUNA16 counts nodules of at least three readers and does not say how many",
        f"{sum(len(scan.excluded) for scan in luna16.scans)} excluded findings",
        f"images of {len(luna16.images)} of {len(luna16.scans)} scans",
    ]
    if luna16.missing_subsets:
        notes.append(f"subsets that are not there: {', '.join(map(str, luna16.missing_subsets))}")
    return _count("LUNA16", nodules, [scan.patient_id for scan in luna16.scans], notes)


def _count(
    kind: str, nodules: Sequence[CountedNodule], patients: Sequence[str], notes: Sequence[str] = ()
) -> CohortCount:
    """Count by side; `patients` names those without a nodule too."""
    by_side: dict[str, list[CountedNodule]] = defaultdict(list)
    patients_of: dict[str, set[str]] = defaultdict(set)
    for nodule in nodules:
        by_side[split_of(nodule.patient_id)].append(nodule)
    for patient in {*patients, *(nodule.patient_id for nodule in nodules)}:
        patients_of[split_of(patient)].add(patient)
    sides = [_side(side.value, by_side[side], len(patients_of[side])) for side in Split]
    total = _side("all", nodules, sum(map(len, patients_of.values())))
    known_mm = [nodule.diameter_mm for nodule in nodules if nodule.diameter_mm is not None]
    return CohortCount(kind, (*sides, total), statistics.median(known_mm) if known_mm else None, tuple(notes))


def _side(name: str, nodules: Sequence[CountedNodule], num_patients: int) -> SideCount:
    readers = Counter(nodule.num_readers for nodule in nodules)
    return SideCount(name, num_patients, len(nodules), dict(sorted(readers.items())))
