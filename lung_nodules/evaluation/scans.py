"""Whole scans, read by the whole line: what it marks beside what readers outlined.

LUNA16's rules: nodules of three and more readers are to be found; nodules of fewer, marks for nodules below 3 mm and
marks for what is no nodule are neither right nor wrong. A nodule's diameter is that of the sphere of its consensus'
volume. The outline of a found nodule is, of the findings at the operating point, the one that agrees best with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.ct import read_ct
from lung_nodules.cohorts.scans import Point, ReferenceScan, read_reference_labels
from lung_nodules.evaluation.froc import Lesion, Mark
from lung_nodules.evaluation.outlines import OutlineRow, compare_outline
from lung_nodules.networks.opened import Networks
from lung_nodules.networks.record import ModelRecord, OperatingPoint
from lung_nodules.networks.runtime import Batch, Network
from lung_nodules.pipeline import find_nodules
from lung_nodules.settings import Settings
from lung_nodules.stages.lungs import segment_lungs
from lung_nodules.timings import Stopwatch

MIN_READERS = 3
UNMEASURED_MM = -1.0  # LUNA16's word for a mark without an outline
EVERYTHING = "everything"  # an operating point at which no finding is dropped

LabelMap = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Target:
    """A nodule that is to be found."""

    nodule_id: str
    patient_id: str  # whose nodule it is; of a pasted one not the scan's
    label: int  # in the reference label map
    center_lps: Point
    volume_diameter_mm: float  # of the sphere of the consensus' volume: LUNA16's measure, for hits
    diameter_mm: float  # longest in-plane diameter of the consensus, for size bands


@dataclass(frozen=True)
class Found:
    """A finding of the line, whatever its probability."""

    label: int  # in the line's label map
    center_lps: Point
    probability: float  # 0-1, that it is a nodule


@dataclass(frozen=True)
class JudgedScan:
    """One scan as evidence: what every figure of detection is made from."""

    name: str
    marks: tuple[Mark, ...]
    included: tuple[Lesion, ...]
    excluded: tuple[Lesion, ...]
    matched: tuple[OutlineRow, ...]  # targets that some finding at the operating point overlaps
    every: tuple[OutlineRow, ...]  # all targets, a missed one with an empty outline
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage


class Unfiltered:
    """A classifier with one more operating point, at which no finding is dropped, so that all marks are seen."""

    def __init__(self, classifier: Network) -> None:
        points = {**classifier.record.operating_points, EVERYTHING: OperatingPoint(threshold=0, chosen_on="nothing")}
        self._classifier = classifier
        self.record: ModelRecord = classifier.record.model_copy(update={"operating_points": points})
        self.identity = classifier.identity

    def __call__(self, batch: Batch) -> Batch:
        """See `Network.__call__`."""
        return self._classifier(batch)


def keeping_everything(networks: Networks, settings: Settings) -> tuple[Networks, Settings]:
    """Networks and settings with which the line reports every outlined candidate with its probability."""
    limits = settings.classification.model_copy(update={"operating_point": EVERYTHING, "max_findings": None})
    unfiltered = Networks(networks.finder, networks.outliner, Unfiltered(networks.classifier))
    return unfiltered, settings.model_copy(update={"classification": limits})


def judge_scan(scan: ReferenceScan, networks: Networks, settings: Settings) -> JudgedScan:
    """Run the line on a scan, from its choice of series to its findings, and hold them against the reference.

    Raises:
        InputRefusal: The scan cannot be read.
        ModelRefusal: ``unknown-operating-point``.
    """
    watch = Stopwatch()
    threshold = networks.classifier.record.operating_point(settings.classification.operating_point)[1].threshold
    with watch.stage("volume"):
        volume = read_ct(scan.folder, settings=settings)
    with watch.stage("lungs"):
        lungs = segment_lungs(volume, settings)
    outlines, findings = find_nodules(volume, lungs, *keeping_everything(networks, settings), watch)
    return hold_against(
        scan.patient_id,
        [Found(one.nodule.label, one.nodule.center_lps, one.nodule_probability) for one in findings],
        outlines.label_map,
        targets_of(scan),
        read_reference_labels(scan, volume.geometry),
        excluded_of(scan, scan.patient_id),
        volume.geometry.spacing_mm,
        threshold,
        watch.seconds,
    )


def hold_against(
    name: str,
    found: Sequence[Found],
    label_map: LabelMap,
    targets: Sequence[Target],
    reference: LabelMap,
    excluded: Sequence[Lesion],
    spacing_mm: tuple[float, float, float],
    threshold: float,
    seconds: Mapping[str, float],
) -> JudgedScan:
    """The evidence of one scan.

    Args:
        name: Of the scan, unique in its cohort.
        found: Every finding.
        label_map: The line's outlines, ``[slice, row, column]``.
        targets: Nodules to be found.
        reference: Their consensus masks by label, on the same grid.
        excluded: Findings that count neither way.
        spacing_mm: Of slices, rows and columns.
        threshold: Findings below it have no outline that counts.
        seconds: What each stage took.
    """
    reported = [one.label for one in found if one.probability >= threshold]
    rows = [_best_outline(target, label_map, reported, reference, spacing_mm) for target in targets]
    return JudgedScan(
        name=name,
        marks=tuple(Mark(name, *one.center_lps, one.probability) for one in found),
        included=tuple(Lesion(name, *one.center_lps, one.volume_diameter_mm) for one in targets),
        excluded=tuple(excluded),
        matched=tuple(row for row in rows if row.dice > 0),
        every=tuple(rows),
        seconds=dict(seconds),
    )


def targets_of(scan: ReferenceScan) -> list[Target]:
    """The nodules of a reference scan that are to be found."""
    return [
        Target(
            f"{scan.patient_id}/{nodule.label}",
            scan.patient_id,
            nodule.label,
            nodule.center_lps,
            nodule.equivalent_sphere_diameter_mm,
            nodule.long_axis_mm,
        )
        for nodule in scan.nodules
        if nodule.num_readers >= MIN_READERS
    ]


def excluded_of(scan: ReferenceScan, name: str, *, nodules_of_all: bool = False) -> list[Lesion]:
    """What counts neither way; with `nodules_of_all`, the nodules of three and more readers are among it."""
    nodules = [
        Lesion(name, *nodule.center_lps, nodule.equivalent_sphere_diameter_mm)
        for nodule in scan.nodules
        if nodules_of_all or nodule.num_readers < MIN_READERS
    ]
    marks = [Lesion(name, *place, UNMEASURED_MM) for place in (*scan.small_nodules_lps, *scan.non_nodules_lps)]
    return nodules + marks


def _best_outline(
    target: Target,
    label_map: LabelMap,
    reported: Sequence[int],
    reference: LabelMap,
    spacing_mm: tuple[float, float, float],
) -> OutlineRow:
    """The row of the reported outline that agrees best; of an empty one where none overlaps."""
    consensus = reference == target.label
    touching = sorted(set(np.unique(label_map[consensus]).tolist()) & set(reported))
    outlines = [label_map == label for label in touching] or [np.zeros_like(consensus)]
    rows = [
        compare_outline(target.patient_id, target.nodule_id, target.diameter_mm, outline, consensus, spacing_mm)
        for outline in outlines
    ]
    return max(rows, key=lambda row: row.dice)
