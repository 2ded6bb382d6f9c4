"""Reviews as training labels: one reader's part of the table that `lung_nodules.cohorts.crops` reads.

A finding that was accepted or corrected is a nodule with one reader: its outline is mask 0, its ratings are those that
the reader gave, and empty where none was. A rejected one is a place that is no nodule. A finding that nobody has
reviewed is neither. The outlines are the machine's: a reader has agreed to them and has not drawn them.

A patient is named by a pseudonym, a keyed digest, so that nobody can try out patient IDs; the key lies in the data
folder and makes the same pseudonym of the same patient in every export.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from pydantic import BaseModel, ConfigDict

from lung_nodules.cohorts.building import LoadedScan, ScanSource, build_crops, load_upright
from lung_nodules.cohorts.cutting import CropName, CropSettings, cut_crop
from lung_nodules.cohorts.marks import SCALES
from lung_nodules.cohorts.nodules import ReadNodule
from lung_nodules.progress import SilentProgress
from lung_nodules.service.reviews.model import NothingReviewed, NothingToCorrect, Review, Verdict
from lung_nodules.service.reviews.source import JobSource
from lung_nodules.stages.report_model import FindingReport, Report

KEY_FILE = "labels.key"
_SNAKE = {"internalStructure": "internal_structure"}  # of the table's names those that the report spells otherwise


class NotANodule(BaseModel):
    """A place that a reader has rejected."""

    model_config = ConfigDict(frozen=True)

    finding_id: str
    center_lps_mm: tuple[float, float, float]
    diameter_mm: float
    """Of the outline."""


class Labels(BaseModel):
    """The labels of one scan."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    job_id: UUID
    patient_id: str
    """A pseudonym."""
    series_instance_uid: str
    nodules: tuple[dict[str, str], ...]
    """Rows of `nodules.csv` by its columns, without the file that holds the crop, and `finding_id`."""
    not_nodules: tuple[NotANodule, ...]
    not_reviewed: tuple[str, ...]
    """Findings of which nothing is known."""


def list_labels(source: JobSource, job_id: UUID, reviews: Sequence[Review], data_folder: Path) -> Labels:
    """The labels of a job as rows.

    Args:
        source: The results of the job.
        job_id: The job.
        reviews: What holds.
        data_folder: The service's, with the key of the pseudonyms.

    Raises:
        NothingReviewed: There is no review.
    """
    report = source.report()
    verdicts = _verdicts(report, reviews)
    patient = pseudonym(report, data_folder)
    scan = _scan_source(source, report, verdicts, patient)
    loaded = load_upright(scan)
    kept = _kept(report, verdicts)
    rows = []
    for number, (finding, nodule) in enumerate(zip(kept, loaded.nodules, strict=True)):
        name = CropName(f"{patient}_n{number}", patient, scan.series_instance_uid)
        rows.append({**cut_crop(loaded.volume, nodule, name, CropSettings()).row, "finding_id": finding.finding_id})
    rejected = [each for each in report.findings if _verdict(verdicts, each) is Verdict.rejected]
    return Labels(
        job_id=job_id,
        patient_id=patient,
        series_instance_uid=scan.series_instance_uid,
        nodules=tuple(rows),
        not_nodules=tuple(_describe_rejected(finding) for finding in rejected),
        not_reviewed=tuple(each.finding_id for each in report.findings if each.finding_id not in verdicts),
    )


def write_crops(source: JobSource, reviews: Sequence[Review], folder: Path, data_folder: Path) -> None:
    """Write the nodules as a cohort: `nodules.csv` and its `.npz`, as `read_crops` takes them.

    Args:
        source: The results of the job.
        reviews: What holds.
        folder: Missing or empty.
        data_folder: The service's.

    Raises:
        NothingReviewed: There is no review.
        NothingToCorrect: ``no-nodule``: what was reviewed was rejected.
    """
    report = source.report()
    verdicts = _verdicts(report, reviews)
    if not _kept(report, verdicts):
        raise NothingToCorrect("no-nodule", "No finding of this job was accepted or corrected.")
    scan = _scan_source(source, report, verdicts, pseudonym(report, data_folder))
    build_crops([scan], folder, CropSettings(), SilentProgress())


def pack_labels(source: JobSource, job_id: UUID, reviews: Sequence[Review], path: Path, data_folder: Path) -> None:
    """Write the cohort and `labels.json` as a ZIP.

    Args:
        source: The results of the job.
        job_id: The job.
        reviews: What holds.
        path: Where to; the cohort lies beside it meanwhile.
        data_folder: The service's.

    Raises:
        NothingReviewed: There is no review.
        NothingToCorrect: ``no-nodule``.
    """
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, zipfile.ZipFile(path, "w") as archive:
        cohort = Path(folder) / "cohort"
        write_crops(source, reviews, cohort, data_folder)
        for part in sorted(cohort.iterdir()):
            archive.write(part, part.name)
        archive.writestr("labels.json", list_labels(source, job_id, reviews, data_folder).model_dump_json())


def pseudonym(report: Report, data_folder: Path) -> str:
    """A name for a patient that nobody can trace back without the key; of a study without a patient ID its own."""
    known = report.study.patient_id or report.study.study_instance_uid
    return f"P-{hmac.new(_key(data_folder), known.encode(), hashlib.sha256).hexdigest()[:16]}"


def _key(data_folder: Path) -> bytes:
    """The key of the pseudonyms; made when it is first wanted, for its owner's eyes alone."""
    path = data_folder / KEY_FILE
    fresh = path.with_name(f".{KEY_FILE}.{secrets.token_hex(4)}")
    if not path.exists():
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as target:
            target.write(secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was first
            os.link(fresh, path)
        fresh.unlink()
    return bytes.fromhex(path.read_text(encoding="ascii"))


def _verdicts(report: Report, reviews: Sequence[Review]) -> dict[str, Review]:
    known = {finding.finding_id for finding in report.findings}
    verdicts = {review.finding_id: review for review in reviews if review.finding_id in known}
    if not verdicts:
        raise NothingReviewed
    return verdicts


def _verdict(verdicts: dict[str, Review], finding: FindingReport) -> Verdict | None:
    review = verdicts.get(finding.finding_id)
    return review.verdict if review else None


def _kept(report: Report, verdicts: dict[str, Review]) -> list[FindingReport]:
    nodules = {Verdict.accepted, Verdict.corrected}
    return [finding for finding in report.findings if _verdict(verdicts, finding) in nodules]


def _scan_source(source: JobSource, report: Report, verdicts: dict[str, Review], patient: str) -> ScanSource:
    def load() -> LoadedScan:
        scan = source.scan()
        label_map = source.outlines().label_map
        nodules = [_read_nodule(label_map, each, verdicts[each.finding_id]) for each in _kept(report, verdicts)]
        return LoadedScan(scan, nodules)

    return ScanSource(patient, report.study.series_instance_uid, load)


def _read_nodule(label_map: Any, finding: FindingReport, review: Review) -> ReadNodule:
    """What a reader has agreed to; slice by slice, because the label map is as large as the CT."""
    slices = [index for index, plane in enumerate(label_map) if (plane == finding.outline_label).any()]
    mask = label_map[slices[0] : slices[-1] + 1] == finding.outline_label
    places = np.argwhere(mask)
    first, last = places.min(axis=0), places.max(axis=0) + 1
    block = mask[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    diameter_mm = review.diameter_mm or finding.size.long_axis_mm
    return ReadNodule(
        (slices[0] + int(first[0]), int(first[1]), int(first[2])),
        np.ascontiguousarray(block, dtype=np.uint8),
        (_ratings(review),),
        (diameter_mm,),
        (None,),
    )


def _ratings(review: Review) -> dict[str, int]:
    rated = review.characteristics.rated()
    ratings = {name: rated[_SNAKE.get(name, name)] for name in SCALES if _SNAKE.get(name, name) in rated}
    return ratings if review.suspicion is None else {"malignancy": review.suspicion, **ratings}


def _describe_rejected(finding: FindingReport) -> NotANodule:
    return NotANodule(
        finding_id=finding.finding_id,
        center_lps_mm=finding.position.center_lps_mm,
        diameter_mm=finding.size.mean_diameter_mm,
    )
