"""Self-training: what the line is sure of in unlabelled scans becomes nodules that the outliner learns from.

The models in hand read the scans; findings that pass filters of confidence and size are cut out as crops with one
outline, the line's own, and are drawn with a lower weight than the readers' (pseudo-labels, Lee 2013; with a fixed
teacher as in noisy student, Xie 2020, arXiv:1911.04252). A scan whose patient tests or tunes, or whose patient is not
known, is never read; nor is one that readers outlined already.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import Field

from lung_nodules.cohorts.building import CropWriter
from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.ct import turned_axes, upright
from lung_nodules.cohorts.cutting import CropName, CropSettings, cut_crop
from lung_nodules.cohorts.nodules import ReadNodule
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal, UsageRefusal
from lung_nodules.networks.opened import Networks
from lung_nodules.pipeline import Analysis, analyse
from lung_nodules.progress import Progress
from lung_nodules.publication import publish
from lung_nodules.settings import Section, Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.report_model import FindingReport
from lung_nodules.stages.series import select_series
from lung_nodules.stages.study import read_text

PSEUDO = "pseudo"  # the kind of such a crop
COUNTS_FILE = "counts.json"


class PseudoSettings(Section):
    """Which findings are trusted, and how much."""

    weight: float = Field(0.3, ge=0, le=10, description="Sampling weight; a nodule that three readers outlined has 1.")
    min_nodule_probability: float = Field(0.9, ge=0, le=1)
    min_candidate_score: float = Field(0.9, ge=0, le=1)
    min_diameter_mm: float = Field(4.0, ge=0, description="Long axis of the outline.")
    max_diameter_mm: float = Field(30.0, gt=0, description="Long axis of the outline.")


@dataclass
class PseudoCounts:
    """What became of the scans and of the findings in them."""

    scans_read: int = 0
    scans_left_out: Counter[str] = field(default_factory=Counter)  # by coded reason
    findings_kept: int = 0
    findings_left_out: Counter[str] = field(default_factory=Counter)  # by coded reason

    def __str__(self) -> str:
        scans, findings = (_listed(counts) for counts in (self.scans_left_out, self.findings_left_out))
        kept = f"{self.findings_kept} pseudo nodules from {self.scans_read} scans"
        return f"{kept}; scans left out: {scans}; findings left out: {findings}"


@dataclass(frozen=True)
class _Scan:
    folder: Path
    patient_id: str
    series_instance_uid: str


def write_pseudo_crops(
    source: Path,
    folder: Path,
    networks: Networks,
    labelled_series: Collection[str],
    settings: PseudoSettings,
    progress: Progress,
    line: Settings | None = None,
) -> PseudoCounts:
    """Read unlabelled scans and write what is kept as a folder of crops, with its counts.

    Args:
        source: One folder a study, its DICOM files at any depth; or the files of one study.
        folder: For the crops and `counts.json`; what an earlier run left there goes.
        networks: The models in hand.
        labelled_series: Series Instance UIDs of scans that readers outlined.
        settings: See `PseudoSettings`.
        progress: Told of each scan.
        line: Settings of the line; its defaults where not given.

    Raises:
        UsageRefusal: ``no-pseudo-labels`` where nothing is kept, with the counts.
    """
    line, counts = line or Settings(), PseudoCounts()
    scans = list(_eligible(source, labelled_series, line, counts))
    shutil.rmtree(folder, ignore_errors=True)
    with publish(folder) as staging, progress.stage("pseudo labels", len(scans)) as advance:
        with CropWriter(staging, [scan.patient_id for scan in scans]) as writer:
            for scan in scans:
                _read_scan(scan, networks, line, settings, counts, writer)
                advance(1)
        (staging / COUNTS_FILE).write_text(json.dumps(vars(counts), indent=2) + "\n", encoding="utf-8")
        if not counts.findings_kept:
            raise UsageRefusal("no-pseudo-labels", f"Nothing was kept of the unlabelled scans: {counts}.")
    return counts


def read_pseudo_crops(folder: Path) -> tuple[NoduleCrop, ...]:
    """The crops that `write_pseudo_crops` wrote, of kind `PSEUDO`; again only of patients who train."""
    return tuple(replace(crop, kind=PSEUDO) for crop in read_crops(folder, [Split.TRAIN]))


def read_pseudo_counts(folder: Path) -> PseudoCounts:
    """What `write_pseudo_crops` counted."""
    counts = json.loads((folder / COUNTS_FILE).read_text(encoding="utf-8"))
    return PseudoCounts(
        counts["scans_read"],
        Counter(counts["scans_left_out"]),
        counts["findings_kept"],
        Counter(counts["findings_left_out"]),
    )


def _eligible(source: Path, labelled: Collection[str], line: Settings, counts: PseudoCounts) -> Iterator[_Scan]:
    """The scans that may train; the others are counted."""
    folders = sorted(path for path in source.iterdir() if path.is_dir()) or [source]
    for folder in folders:
        try:
            selection = select_series(read_instances(folder, line), line)
        except InputRefusal as refusal:
            counts.scans_left_out[refusal.code] += 1
            continue
        patient_id = read_text(selection.instances[0].header, "PatientID")
        known = {series.series_instance_uid for series in selection.considered} & set(labelled)
        reason = _reason_against(patient_id, is_labelled=bool(known))
        if reason:
            counts.scans_left_out[reason] += 1
        elif patient_id:
            yield _Scan(folder, patient_id, selection.series_instance_uid)


def _reason_against(patient_id: str | None, *, is_labelled: bool) -> str | None:
    if not patient_id:
        return "no-patient-id"
    side = split_of(patient_id)
    if side is not Split.TRAIN:
        return f"{side}-patient"
    return "labelled-already" if is_labelled else None


def _read_scan(
    scan: _Scan,
    networks: Networks,
    line: Settings,
    settings: PseudoSettings,
    counts: PseudoCounts,
    writer: CropWriter,
) -> None:
    """Read one scan and write its trusted findings."""
    try:
        analysis = analyse(scan.folder, networks, line)
        axes = turned_axes(analysis.volume.geometry)
    except InputRefusal as refusal:
        counts.scans_left_out[refusal.code] += 1
        return
    counts.scans_read += 1
    volume, shape = upright(analysis.volume), analysis.volume.geometry.shape
    for finding in analysis.report.findings:
        reason = _reason_to_doubt(finding, settings)
        if reason:
            counts.findings_left_out[reason] += 1
            continue
        name = CropName(f"pseudo-{counts.findings_kept}", scan.patient_id, scan.series_instance_uid)
        writer.write(cut_crop(volume, _outlined(finding, analysis).mirrored(axes, shape), name, CropSettings()))
        counts.findings_kept += 1


def _reason_to_doubt(finding: FindingReport, settings: PseudoSettings) -> str | None:
    if finding.nodule_probability < settings.min_nodule_probability:
        return "low-nodule-probability"
    if finding.candidate_score < settings.min_candidate_score:
        return "low-candidate-score"
    if finding.size.long_axis_mm < settings.min_diameter_mm:
        return "too-small"
    return "too-large" if finding.size.long_axis_mm > settings.max_diameter_mm else None


def _outlined(finding: FindingReport, analysis: Analysis) -> ReadNodule:
    """The finding's outline as that of one reader who rated nothing."""
    inside = analysis.outlines.label_map == finding.outline_label
    places = np.argwhere(inside)
    first, last = places.min(axis=0), places.max(axis=0) + 1
    mask = inside[tuple(slice(a, b) for a, b in zip(first, last, strict=True))].astype(np.uint8)
    return ReadNodule((int(first[0]), int(first[1]), int(first[2])), mask, ({},))


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {code}" for code, count in counts.most_common()) or "none"
