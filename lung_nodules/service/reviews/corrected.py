"""The report as the reviews leave it: rejected findings set apart, corrected values in place and marked as a reader's.

A reader's suspicion s of 1 to 5 becomes the score (s - 1) / 4, as training takes it, and the finding's probability of
being a nodule 1: who rates a nodule has seen one. Words and order follow from these as in the line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from lung_nodules.service.reviews.model import Review, Verdict
from lung_nodules.settings import ReportSettings
from lung_nodules.stages.report_model import (
    FindingReport,
    Report,
    SegmentationReport,
    SegmentReference,
    StructuredReport,
    Suspicion,
)


class CorrectedValue(BaseModel):
    """A value that is a reader's."""

    model_config = ConfigDict(frozen=True)

    machine: float | None
    """What the line had found; null: nothing."""
    human: float
    """What stands in the report now."""
    reviewed_by: str


class CorrectedReport(BaseModel):
    """A report with what readers have changed in it."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)

    report: Report
    """Without the rejected findings, with the corrected values."""
    rejected: tuple[FindingReport, ...]
    """As the line had reported them."""
    corrected: dict[str, dict[str, CorrectedValue]]
    """By finding, then by the place of the value in it."""
    reviews: tuple[Review, ...]
    """What holds."""
    not_reviewed: tuple[str, ...]
    """Findings that nobody has looked at: they stand as the line has reported them."""


def correct_report(report: Report, reviews: Sequence[Review], settings: ReportSettings) -> CorrectedReport:
    """Apply the reviews to a report.

    Args:
        report: As the line has written it.
        reviews: One a finding at most; those of findings that it does not have are passed over.
        settings: The words of suspicion.
    """
    by_finding = {review.finding_id: review for review in reviews}
    kept, rejected, corrected = [], [], {}
    for finding in report.findings:
        review = by_finding.get(finding.finding_id)
        if review is not None and review.verdict is Verdict.rejected:
            rejected.append(finding)
            continue
        changed = _changes_of(finding, review)
        kept.append(_change(finding, changed, settings))
        if changed:
            corrected[finding.finding_id] = changed
    kept.sort(key=lambda finding: -finding.overall_suspicion)
    known = {finding.finding_id for finding in report.findings}
    return CorrectedReport(
        report=report.model_copy(update={"findings": tuple(kept), **_classify(kept)}),
        rejected=tuple(rejected),
        corrected=corrected,
        reviews=tuple(review for review in reviews if review.finding_id in known),
        not_reviewed=tuple(each.finding_id for each in report.findings if each.finding_id not in by_finding),
    )


def name_objects(
    report: Report, structured_report: StructuredReport, segmentation: SegmentationReport | None
) -> Report:
    """Let a report name other objects: segments are numbered in the order of its findings."""
    findings = [
        finding.model_copy(update={"segment": _segment(segmentation, number)})
        for number, finding in enumerate(report.findings, start=1)
    ]
    return report.model_copy(
        update={"findings": tuple(findings), "structured_report": structured_report, "segmentation": segmentation}
    )


def _segment(segmentation: SegmentationReport | None, number: int) -> SegmentReference | None:
    if segmentation is None:
        return None
    return SegmentReference(sop_instance_uid=segmentation.sop_instance_uid, segment_number=number)


def _changes_of(finding: FindingReport, review: Review | None) -> dict[str, CorrectedValue]:
    if review is None or review.verdict is not Verdict.corrected:
        return {}
    new: dict[str, tuple[float | None, float]] = {}
    if review.diameter_mm is not None:
        new["size.mean_diameter_mm"] = (finding.size.mean_diameter_mm, review.diameter_mm)
    if review.suspicion is not None:
        score = (review.suspicion - 1) / 4
        new["suspicion_score"] = (finding.suspicion_score, score)
        new["nodule_probability"] = (finding.nodule_probability, 1.0)
        new["overall_suspicion"] = (finding.overall_suspicion, score)
    for name, rating in review.characteristics.rated().items():
        new[f"characteristics.{name}"] = (finding.characteristics.get(name), float(rating))
    return {
        place: CorrectedValue(machine=machine, human=human, reviewed_by=review.reviewed_by)
        for place, (machine, human) in new.items()
    }


def _change(finding: FindingReport, changed: Mapping[str, CorrectedValue], settings: ReportSettings) -> FindingReport:
    document = finding.model_dump()
    for place, value in changed.items():
        *folders, name = place.split(".")
        part: dict[str, Any] = document
        for folder in folders:
            part = part[folder]
        part[name] = value.human
    if "overall_suspicion" in changed:
        document["suspicion"] = _word(document["overall_suspicion"], settings)
    return FindingReport.model_validate(document)


def _word(overall: float, settings: ReportSettings) -> Suspicion:
    if overall >= settings.suspicious_from_score:
        return "suspicious"
    return "indeterminate" if overall >= settings.indeterminate_from_score else "unlikely"


def _classify(findings: Sequence[FindingReport]) -> dict[str, Any]:
    first = findings[0] if findings else None
    return {
        "classification_result": first.suspicion if first else "no nodule found",
        "classification_finding_id": first.finding_id if first else None,
        "classification_confidence": first.overall_suspicion if first else None,
    }
