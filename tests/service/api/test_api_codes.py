"""The table of codes in docs/api.md against the source, in both directions."""

from __future__ import annotations

import re

from programs import REPOSITORY

from lung_nodules.service.api.problems import status_of
from lung_nodules.service.jobs.model import JobConflict, JobNotFound, QueueFull
from lung_nodules.service.reviews.model import (
    FindingNotFound,
    NothingReviewed,
    NothingToCorrect,
    ReportUnreadable,
    ResultsChanged,
)

SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((REPOSITORY / "lung_nodules").rglob("*.py")))
OF_ONE_CODE = (QueueFull(60), JobNotFound(), FindingNotFound(), ResultsChanged(), ReportUnreadable(), NothingReviewed())
# what is called with a code alone, by the status that it becomes
OF_ONE_STATUS = {
    "JobConflict": status_of(JobConflict("any-code", "No.")),
    "NothingToCorrect": status_of(NothingToCorrect("any-code", "No.")),
    "token_refusal": 401,
    "raise _refusal": 422,
}


def read_table() -> dict[str, set[str]]:
    """Codes by status, as docs/api.md lists them."""
    section = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8").partition("\n## Problems\n")[2]
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE)
    return {status: set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", codes)) for status, codes in rows}


def test_the_table_lists_what_the_source_refuses() -> None:
    raised = {(str(status_of(each)), each.code) for each in OF_ONE_CODE}
    raised |= set(re.findall(r'(?:Refusal|problem)\(\s*([45]\d\d),\s*"([a-z-]+)"', SOURCE))
    for name, status in OF_ONE_STATUS.items():
        raised |= {(str(status), code) for code in re.findall(rf'\b{name}\(\s*"([a-z-]+)"', SOURCE)}
    assert len(raised) > 50
    table = read_table()
    assert sorted(pair for pair in raised if pair[1] not in table.get(pair[0], ())) == []


def test_the_table_lists_nothing_that_the_source_does_not_know() -> None:
    codes = {code for listed in read_table().values() for code in listed}
    assert sorted(code for code in codes if f'"{code}"' not in SOURCE) == []
