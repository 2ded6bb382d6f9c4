"""A job's report as it lies on the disk, where an earlier release may have written it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.reviews.model import ReportUnreadable
from lung_nodules.stages.report_model import Report


class _NamedFinding(BaseModel):
    finding_id: str


class _ReportNames(BaseModel):
    result_uid: str
    findings: tuple[_NamedFinding, ...]


def read_names(results: ResultFolder) -> tuple[str, frozenset[str]]:
    """The result UID of a report of any version, and the names of its findings.

    Raises:
        FileNotFoundError: There are no results.
        ReportUnreadable: It is damaged.
    """
    try:
        names = _ReportNames.model_validate(results.report())
    except ValueError:
        raise ReportUnreadable from None  # the error quotes values
    return names.result_uid, frozenset(finding.finding_id for finding in names.findings)


def read_report(results: ResultFolder) -> Report:
    """A report as this release writes it.

    Raises:
        FileNotFoundError: There are no results.
        ReportUnreadable: It is damaged, or of a version that cannot be lifted to this release's.
    """
    try:
        return Report.model_validate(_lift(results.report()))
    except ValueError:
        raise ReportUnreadable from None  # the error quotes values


def _lift(document: Any) -> Any:
    """A report of version 1.3 as one of 1.4, where the SR names its predecessor: none is known; others as they are."""
    if not isinstance(document, dict) or document.get("report_version") != "1.3":
        return document
    names = document.get("structured_report")
    with_predecessor = {**names, "predecessor": None} if isinstance(names, dict) else names
    return {**document, "report_version": "1.4", "structured_report": with_predecessor}
