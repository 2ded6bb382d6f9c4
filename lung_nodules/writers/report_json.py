"""The report, or the reason why there is none, as JSON; and the JSON Schema that both follow.

The schema is committed beside this module. After a change of the model it is written anew with
``python -m lung_nodules.writers.report_json``.
"""

from __future__ import annotations

import json
from pathlib import Path

from lung_nodules.stages.report_model import FailureReport, Report, report_schema

FILE_NAME = "report.json"
SCHEMA_PATH = Path(__file__).with_name("report.schema.json")


def write_report_json(report: Report | FailureReport, folder: Path) -> tuple[Path, ...]:
    """Write ``report.json`` in UTF-8.

    Args:
        report: Of a study, or of a refusal.
        folder: Where to; it exists.

    Returns:
        The path of the file.

    Raises:
        OSError: It cannot be written.
    """
    path = folder / FILE_NAME
    path.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return (path,)


def write_schema(path: Path = SCHEMA_PATH) -> None:
    """Write the JSON Schema of ``report.json``."""
    path.write_text(json.dumps(report_schema(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema()
