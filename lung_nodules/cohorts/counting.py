"""What is in a cohort: patients and nodules, by readers and by side of the split."""

from __future__ import annotations

import csv
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lung_nodules.cohorts.luna16 import ANNOTATIONS, read_luna16
from lung_nodules.cohorts.scans import read_reference_scans
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal


@dataclass(frozen=True)
class CountedNodule:
    """What counting needs to know of a nodule."""

    patient_id: str
    num_readers: int  # 0: nobody is known to have rated or outlined it
    diameter_mm: float


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
    if (folder / "nodules.csv").is_file():
        return _count_crops(folder / "nodules.csv")
    if (folder / "reference.json").is_file():
        scans = read_reference_scans(folder)
        nodules = [
            CountedNodule(scan.patient_id, nodule.num_readers, nodule.long_axis_mm)
            for scan in scans
            for nodule in scan.nodules
        ]
        return _count("scans", nodules, [scan.patient_id for scan in scans])
    if folder.is_dir() and next(folder.rglob(ANNOTATIONS), None):
        return _count_luna16(folder)
    raise InputRefusal("no-cohort", f"{folder} holds neither nodules.csv nor reference.json nor {ANNOTATIONS}.")


def _count_crops(table: Path) -> CohortCount:
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    try:
        # an iso crop shows a nodule that is there already
        native = [row for row in rows if row["kind"] == "slices"]
        nodules = [CountedNodule(row["patient_id"], int(row["n_readers"]), float(row["diameter_mm"])) for row in native]
        context = [min(int(row["slices_below"]), int(row["slices_above"])) for row in native]
    except (KeyError, ValueError, TypeError) as error:
        raise InputRefusal("bad-table", "A row of nodules.csv cannot be read.") from error
    notes = [f"{len(rows) - len(native)} further crops at 1 mm"] if len(rows) > len(native) else []
    notes.append(f"{sum(slices > 0 for slices in context)} nodules with slices above and below the outlines")
    return _count("crops", nodules, [], notes)


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
    diameter_mm = statistics.median(nodule.diameter_mm for nodule in nodules) if nodules else None
    return CohortCount(kind, (*sides, total), diameter_mm, tuple(notes))


def _side(name: str, nodules: Sequence[CountedNodule], num_patients: int) -> SideCount:
    readers = Counter(nodule.num_readers for nodule in nodules)
    return SideCount(name, num_patients, len(nodules), dict(sorted(readers.items())))
