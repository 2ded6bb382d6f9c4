"""Reviews of results that an earlier release has written, or that nobody can read any more."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from api_server import RunningApi

pytestmark = pytest.mark.service

DOWNLOADS = ["corrected.json", "corrected.dcm", "corrected_segmentation.dcm", "labels.json", "labels.zip"]


@pytest.fixture
def review(reviews_api: RunningApi, reviewed: SimpleNamespace) -> Any:
    return lambda finding, verdict: reviews_api.client.put(
        f"{reviewed.path}/findings/{finding}/review", json={"verdict": verdict}
    )


@pytest.fixture
def stored(reviewed: SimpleNamespace) -> Path:
    """The report of the reviewed job."""
    return Path(reviewed.source.results.folder) / "report.json"


def write_as_1_3(path: Path) -> None:
    report = json.loads(path.read_bytes())
    assert report["structured_report"].pop("predecessor") is None
    path.write_text(json.dumps({**report, "report_version": "1.3"}))


def content_of(api: RunningApi, path: str) -> object:
    """What a download holds, whenever it was packed."""
    answer = api.client.get(path)
    assert answer.status_code == 200, answer.text
    if not path.endswith(".zip"):
        return answer.content
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_report_of_version_1_3_exports_as_one_of_today(
    reviews_api: RunningApi, reviewed: SimpleNamespace, review: Any, stored: Path, name: str
) -> None:
    review("N1", "accepted")
    review("N2", "rejected")
    today = content_of(reviews_api, f"{reviewed.path}/{name}")
    write_as_1_3(stored)
    assert content_of(reviews_api, f"{reviewed.path}/{name}") == today


def test_a_finding_of_version_1_3_is_reviewed(
    reviews_api: RunningApi, reviewed: SimpleNamespace, review: Any, stored: Path
) -> None:
    write_as_1_3(stored)
    said = review("N1", "rejected").json()
    assert reviews_api.client.get(f"{reviewed.path}/reviews").json() == [said]
    assert reviews_api.client.get(f"{reviewed.path}/report").json()["report_version"] == "1.3"


@pytest.mark.parametrize("name", DOWNLOADS)
@pytest.mark.parametrize("change", [{"report_version": "9.0"}, {"report_version": "1.3", "lungs": "Doe^Jane"}])
def test_an_export_of_a_version_that_is_unknown_says_so(
    reviews_api: RunningApi, reviewed: SimpleNamespace, review: Any, stored: Path, name: str, change: dict[str, str]
) -> None:
    review("N1", "rejected")
    stored.write_text(json.dumps({**json.loads(stored.read_bytes()), **change}))
    answer = reviews_api.client.get(f"{reviewed.path}/{name}")
    assert (answer.status_code, answer.json()["code"]) == (409, "report-unreadable")
    assert "Doe" not in answer.text


@pytest.mark.parametrize("text", ["", "null", "{}", '{"result_uid": "1.2", "findings"', "\0\0"])
def test_a_damaged_report_is_said(
    reviews_api: RunningApi, reviewed: SimpleNamespace, review: Any, stored: Path, text: str
) -> None:
    stored.write_text(text)
    asked = [reviews_api.client.get(f"{reviewed.path}/{name}") for name in ("reviews", *DOWNLOADS)]
    for answer in [review("N1", "accepted"), *asked]:
        assert (answer.status_code, answer.json()["code"]) == (409, "report-unreadable")
