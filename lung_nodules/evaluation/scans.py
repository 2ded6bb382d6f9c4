"""Whole scans, read by the whole line: what it marks beside what readers outlined.

LUNA16's rules: nodules of three and more readers are to be found; nodules of fewer, marks for nodules below 3 mm and
marks for what is no nodule are neither right nor wrong. A nodule's diameter is that of the sphere of its consensus'
volume. The outline of a found nodule is, of the findings at an operating point, the one that agrees best with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.scans import Point, ReferenceScan, read_reference_ct, read_reference_labels
from lung_nodules.evaluation.froc import Lesion, Mark
from lung_nodules.evaluation.key_slices import KeySlice, cut_key_slice
from lung_nodules.evaluation.outlines import OutlineRow, compare_outline
from lung_nodules.networks.opened import Networks
from lung_nodules.networks.record import ModelRecord, OperatingPoint
from lung_nodules.networks.runtime import Batch, Network
from lung_nodules.pipeline import find_nodules
from lung_nodules.settings import Settings
from lung_nodules.stages.diameters import measure_diameters
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
    diameter_mm: float | None  # longest in-plane diameter of the consensus, for size bands; None: to be measured


@dataclass(frozen=True)
class Found:
    """A finding of the line, whatever its probability."""

    label: int  # in the line's label map
    center_lps: Point
    probability: float  # 0-1, that it is a nodule


@dataclass(frozen=True)
class Drawn:
    """A finding's outline beside a target that it overlaps."""

    probability: float  # of the finding
    row: OutlineRow
    key_slice: KeySlice = field(repr=False)


@dataclass(frozen=True)
class Outlined:
    """A target with every outline that overlaps it."""

    missed: OutlineRow  # that of an empty outline
    overlapping: tuple[Drawn, ...]

    def best(self, threshold: float) -> Drawn | None:
        """Of the findings whose probability reaches the threshold, the one whose outline agrees best."""
        drawn = [one for one in self.overlapping if one.probability >= threshold]
        return max(drawn, key=lambda one: one.row.dice, default=None)

    def at(self, threshold: float) -> OutlineRow:
        """How the best outline agrees; where there is none, how an empty one does."""
        best = self.best(threshold)
        return best.row if best else self.missed


@dataclass(frozen=True)
class JudgedScan:
    """One scan as evidence: what every figure of detection is made from."""

    name: str
    marks: tuple[Mark, ...]
    included: tuple[Lesion, ...]
    excluded: tuple[Lesion, ...]
    targets: tuple[Outlined, ...]  # of `included`, those whose outline by the readers is known
    threshold: float  # of the operating point that the scan was read at
    seconds: Mapping[str, float] = field(default_factory=dict)  # by stage

    def outlines_at(self, threshold: float) -> list[OutlineRow]:
        """A row a target that readers' outlines are known of; that of an empty outline where it is missed."""
        return [target.at(threshold) for target in self.targets]

    @property
    def matched(self) -> list[Drawn]:
        """The best outline of each target that some finding at the operating point overlaps."""
        return [best for target in self.targets if (best := target.best(self.threshold))]


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
        InputRefusal: The scan or its consensus mask cannot be read.
        ModelRefusal: ``unknown-operating-point``.
    """
    watch = Stopwatch()
    threshold = networks.classifier.record.operating_point(settings.classification.operating_point)[1].threshold
    with watch.stage("volume"):
        volume = read_reference_ct(scan, settings)
    with watch.stage("lungs"):
        lungs = segment_lungs(volume, settings)
    outlines, findings = find_nodules(volume, lungs, *keeping_everything(networks, settings), watch)
    return hold_against(
        scan.patient_id,
        volume.array,
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
    hu: npt.NDArray[np.int16],
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
        hu: Its voxels, ``[slice, row, column]``.
        found: Every finding.
        label_map: The line's outlines, ``[slice, row, column]``.
        targets: Nodules to be found.
        reference: Their consensus masks by label, on the same grid; of a target without one, no outline is judged.
        excluded: Findings that count neither way.
        spacing_mm: Of slices, rows and columns.
        threshold: Of the operating point.
        seconds: What each stage took.
    """
    probabilities = {one.label: one.probability for one in found}
    return JudgedScan(
        name=name,
        marks=tuple(Mark(name, *one.center_lps, one.probability) for one in found),
        included=tuple(Lesion(name, *one.center_lps, one.volume_diameter_mm) for one in targets),
        excluded=tuple(excluded),
        targets=tuple(
            _outlined(target, hu, label_map, probabilities, consensus, spacing_mm)
            for target in targets
            if (consensus := reference == target.label).any()
        ),
        threshold=threshold,
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


def _outlined(
    target: Target,
    hu: npt.NDArray[np.int16],
    label_map: LabelMap,
    probabilities: Mapping[int, float],
    consensus: npt.NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
) -> Outlined:
    """The target with the outline of each finding, named by its label, that overlaps the consensus."""
    diameter_mm = target.diameter_mm
    if diameter_mm is None:
        diameter_mm = measure_diameters(consensus, spacing_mm).long_axis_mm

    def compare(outline: npt.NDArray[np.bool_]) -> OutlineRow:
        return compare_outline(target.patient_id, target.nodule_id, diameter_mm, outline, consensus, spacing_mm)

    def draw(label: int) -> Drawn:
        outline = label_map == label
        key_slice = cut_key_slice(hu, consensus, [consensus], outline, spacing_mm, diameter_mm)
        return Drawn(probabilities[label], compare(outline), key_slice)

    touching = sorted(set(np.unique(label_map[consensus]).tolist()) & set(probabilities))
    return Outlined(compare(np.zeros_like(consensus)), tuple(map(draw, touching)))
