"""Results of a job as a worker leaves them, and reviews of its findings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from report_examples import PROVENANCE, Study

from lung_nodules.provenance import Provenance
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.preview import write_preview
from lung_nodules.service.reviews.model import Characteristics, Review
from lung_nodules.service.reviews.source import JobSource
from lung_nodules.settings import Settings
from lung_nodules.writers.dicom_seg import write_dicom_seg
from lung_nodules.writers.dicom_sr import write_dicom_sr
from lung_nodules.writers.report_json import write_report_json

JOB = UUID("0d9a1b57-6c5c-4f0e-9d3f-3c8e2f0c0b62")
MONDAY = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


def write_job(
    study: Study,
    data_folder: Path,
    job_id: UUID | None = None,
    settings: Settings | None = None,
    provenance: Provenance = PROVENANCE,
) -> JobSource:
    """Write what the line writes of a study into the results of a job."""
    results = ResultFolder(data_folder, job_id or uuid4())
    results.folder.mkdir(parents=True)
    report = study.report(provenance, settings)
    write_report_json(report, results.folder)
    write_dicom_seg(report, study.volume, study.outlines, results.folder)
    write_dicom_sr(report, study.volume, results.folder)
    labels = [finding.outline_label for finding in report.findings]
    write_preview(study.volume, study.outlines.label_map, labels, results.preview)
    return JobSource(results)


def review(finding_id: str, verdict: str, hours: float = 0, **values: Any) -> Review:
    """A review by Dr Ann Lee, some hours after Monday morning."""
    given: dict[str, Any] = {
        "job_id": JOB,
        "finding_id": finding_id,
        "verdict": verdict,
        "comment": "",
        "diameter_mm": None,
        "suspicion": None,
        "characteristics": Characteristics(),
        "reviewed_by": "Ann Lee",
        "reviewed_at": MONDAY + timedelta(hours=hours),
    }
    return Review(**{**given, **values})
