"""How one study of a batch ended: a line of its table, and the note by which a later start knows what is done."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from lung_nodules.publication import writing
from lung_nodules.stages.report_model import AnyReport, Report

_REPORT: TypeAdapter[AnyReport] = TypeAdapter(Annotated[AnyReport, Field(discriminator="status")])


class RowState(StrEnum):
    """How a study ended."""

    DONE = "done"
    REFUSED = "refused"  # it cannot be read, and will not be at another try
    FAILED = "failed"  # an error of ours or of the machine: tried again at the next start


class Row(BaseModel):
    """One study of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study: str
    """Name of its folder among the results."""
    source: str
    state: RowState
    code: str = ""
    """Why it was refused or failed, in kebab case; empty where it is done."""
    sentence: str = ""
    num_findings: int | None = None
    classification_result: str = ""
    """Of the study, in a word."""
    highest_suspicion: float | None = None
    """0 to 1; how suspicious readers would find the most suspicious finding, times that it is a nodule."""
    quality: str = ""
    """Codes of the checks that did not pass."""
    seconds: float
    study_instance_uid: str = ""
    content_sha256: str
    """Of the sorted SOP Instance UIDs that went in."""
    setup_sha256: str
    """Of software, models and settings."""

    @property
    def is_final(self) -> bool:
        """Whether another try with the same input could only end the same way."""
        return self.state is not RowState.FAILED


def read_report(results: Path) -> AnyReport | None:
    """The report of a result folder; None where there is none."""
    try:
        return _REPORT.validate_json((results / "report.json").read_bytes())
    except (OSError, ValidationError):
        return None


def describe(report: AnyReport) -> dict[str, object]:
    """What a row takes from a report."""
    if not isinstance(report, Report):
        return {"state": RowState(report.status), "code": report.code, "sentence": report.sentence}
    return {
        "state": RowState.DONE,
        "num_findings": len(report.findings),
        "classification_result": str(report.classification_result),
        "highest_suspicion": report.classification_confidence,
        "quality": " ".join(check.code for check in report.quality if check.outcome != "pass"),
        "study_instance_uid": report.study.study_instance_uid,
    }


def read_row(path: Path) -> Row | None:
    """A row that an earlier start has left; None where there is none that can be read."""
    try:
        return Row.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def write_row(row: Row, path: Path) -> None:
    """Write a row, all of it or nothing."""
    write_whole(path, row.model_dump_json(indent=1))


def write_rows_json(rows: Sequence[Row], path: Path) -> None:
    """Write the rows of a batch as one JSON list."""
    write_whole(path, json.dumps([row.model_dump(mode="json") for row in rows], indent=1))


def write_whole(path: Path, text: str) -> None:
    """Write a text file under another name first, so that a kill leaves the old one or the new one.

    Raises:
        OutputRefusal: ``output-not-written``.
    """
    with writing("The rows", path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        beside.write_text(f"{text}\n", encoding="utf-8")
        beside.replace(path)
