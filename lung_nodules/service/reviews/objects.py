"""The corrected SR and SEG of a job.

Their UIDs are derived from the result and from what holds: the same reviews give the same bytes, another one another
object in the same series. Each SR names the line's own as its predecessor.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.uid import SegmentationStorage

from lung_nodules.corrections import (
    Correction,
    Reading,
    Revision,
    write_corrected_report,
    write_corrected_segmentation,
)
from lung_nodules.service.reviews.corrected import CorrectedReport, correct_report, name_objects
from lung_nodules.service.reviews.model import NothingReviewed, NothingToCorrect, Review
from lung_nodules.service.reviews.source import JobSource
from lung_nodules.settings import Settings
from lung_nodules.stages.identifiers import derive_uid, digest_text
from lung_nodules.stages.report_model import DocumentReference, Report, SegmentationReport, StructuredReport

REPORT_FILE = "corrected.dcm"
SEGMENTATION_FILE = "corrected_segmentation.dcm"


def write_report_object(
    source: JobSource, reviews: Sequence[Review], path: Path, settings: Settings, organization: str | None = None
) -> None:
    """Write the corrected SR.

    Args:
        source: The results of the job.
        reviews: What holds.
        path: Where to.
        settings: Of the line.
        organization: The site that verifies what its readers say; None: the document is unverified.

    Raises:
        NothingReviewed: There is no review.
        NothingToCorrect: ``no-structured-report``.
    """
    write_corrected_report(_correct(source, reviews, settings, organization), path, settings)


def write_segmentation_object(source: JobSource, reviews: Sequence[Review], path: Path, settings: Settings) -> None:
    """Write the corrected SEG: the line's own without what was rejected.

    Raises:
        NothingReviewed: There is no review.
        NothingToCorrect: ``nothing-rejected``: the line's own SEG holds; ``no-finding-left``; ``no-segmentation``,
            ``no-structured-report``: the line was set not to write one.
    """
    correction = _correct(source, reviews, settings, None)
    original = source.report()
    if original.segmentation is None:
        raise NothingToCorrect("no-segmentation", "This job has no SEG, so there is none to correct.")
    if correction.report.segmentation is None:
        raise NothingToCorrect("no-finding-left", "Every finding was rejected, so there is nothing to outline.")
    if correction.report.segmentation == original.segmentation:
        raise NothingToCorrect("nothing-rejected", "No finding was rejected, so the job's own SEG holds.")
    write_corrected_segmentation(correction, source.outlines(), path, settings)


def _correct(source: JobSource, reviews: Sequence[Review], settings: Settings, organization: str | None) -> Correction:
    report = source.report()
    corrected = correct_report(report, reviews, settings.report)
    if not corrected.reviews:
        raise NothingReviewed
    document = source.structured_report(report)
    revision = Revision(
        readings={review.finding_id: _reading(review) for review in corrected.reviews},
        words={finding.finding_id: finding.suspicion for finding in corrected.report.findings},
        result=corrected.report.findings[0].suspicion if corrected.report.findings else None,
        organization=organization,
    )
    return Correction(_leave(report, corrected, _name_document(document)), revision, source.volume(report, document))


def _leave(report: Report, corrected: CorrectedReport, predecessor: DocumentReference) -> Report:
    """What is left of the line's report, with the machine's own values, naming the corrected objects."""
    rejected = {finding.finding_id for finding in corrected.rejected}
    left = tuple(finding for finding in report.findings if finding.finding_id not in rejected)
    assert report.structured_report is not None
    said = digest_text(review.model_dump_json() for review in corrected.reviews)
    document = StructuredReport(
        sop_class_uid=report.structured_report.sop_class_uid,
        series_instance_uid=derive_uid(report.result_uid, "corrected structured report series"),
        sop_instance_uid=derive_uid(report.result_uid, "corrected structured report instance", said),
        file_name=REPORT_FILE,
        predecessor=predecessor,
    )
    reduced = report.model_copy(update={"findings": left})
    if not rejected:
        return reduced.model_copy(update={"structured_report": document})
    segmentation = None
    if left and report.segmentation is not None:
        kept = digest_text(finding.finding_id for finding in left)
        segmentation = SegmentationReport(
            sop_class_uid=SegmentationStorage,
            series_instance_uid=derive_uid(report.result_uid, "corrected segmentation series"),
            sop_instance_uid=derive_uid(report.result_uid, "corrected segmentation instance", kept),
            file_name=SEGMENTATION_FILE,
        )
    return name_objects(reduced, document, segmentation)


def _reading(review: Review) -> Reading:
    return Reading(
        verdict=review.verdict.value,
        reader=review.reader_name or review.reviewed_by,
        at=review.reviewed_at,
        comment=review.comment,
        diameter_mm=review.diameter_mm,
        suspicion=review.suspicion,
        characteristics=review.characteristics.rated(),
    )


def _name_document(document: pydicom.Dataset) -> DocumentReference:
    return DocumentReference(
        study_instance_uid=document.StudyInstanceUID,
        series_instance_uid=document.SeriesInstanceUID,
        sop_class_uid=document.SOPClassUID,
        sop_instance_uid=document.SOPInstanceUID,
    )
