"""Results, slices and files of a job, and what is not given."""

from __future__ import annotations

import json

import numpy as np
import pytest
from api_server import RunningApi
from psycopg.types.json import Jsonb
from results_maker import LABELS, PIXELS, REPORT, add_job, add_result

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def job(api: RunningApi) -> str:
    return f"/v1/jobs/{add_result(api)}"


def test_the_report_comes_as_it_was_written(api: RunningApi, job: str) -> None:
    response = api.client.get(f"{job}/report")
    assert response.json() == REPORT
    assert response.headers["Content-Type"] == "application/json"
    assert response.headers["Cache-Control"] == "no-store"


def test_files_are_listed_with_kind_and_size(api: RunningApi, job: str) -> None:
    assert api.client.get(f"{job}/files").json() == [
        {"name": "overview.png", "media_type": "image/png", "bytes": 8},
        {"name": "report.json", "media_type": "application/json", "bytes": len(json.dumps(REPORT))},
        {"name": "segmentation.dcm", "media_type": "application/dicom", "bytes": 196},
    ]


def test_a_file_is_downloaded_under_its_name_and_in_parts(api: RunningApi, job: str) -> None:
    response = api.client.get(f"{job}/files/segmentation.dcm")
    assert (len(response.content), response.headers["Content-Type"]) == (196, "application/dicom")
    assert response.headers["Content-Disposition"] == 'attachment; filename="segmentation.dcm"'
    part = api.client.get(f"{job}/files/segmentation.dcm", headers={"Range": "bytes=128-131"})
    assert (part.status_code, part.content) == (206, b"DICM")


@pytest.mark.parametrize(
    "name",
    ["origin.json", "preview", "none.dcm", "%2e%2e", "%2e", "%2e%2e%2freport.json", "a/b", "..%5cx", "%00"],
)
def test_no_other_name_is_a_file(api: RunningApi, job: str, name: str) -> None:
    response = api.client.get(f"{job}/files/{name}")
    assert response.status_code in (404, 422)
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("state", "step"), [("failed", "store"), ("queued", "store")])
def test_results_that_could_not_be_stored_are_there(api: RunningApi, state: str, step: str) -> None:
    job = f"/v1/jobs/{add_result(api, state=state, step=step)}"
    assert api.client.get(f"{job}/report").json()["report_version"] == REPORT["report_version"]


def test_a_job_that_is_read_anew_shows_no_older_results(api: RunningApi) -> None:
    job = f"/v1/jobs/{add_result(api, state='queued', step='analyse')}"
    assert api.client.get(f"{job}/report").json()["code"] == "no-results"


def test_slices_and_labels_come_as_numbers(api: RunningApi, job: str) -> None:
    assert api.client.get(f"{job}/slices").json()["labels"] == [1]
    response = api.client.get(f"{job}/slices/1")
    assert response.headers["Content-Encoding"] == "gzip"
    np.testing.assert_array_equal(np.frombuffer(response.content, "<i2").reshape(3, 4), PIXELS + 1)
    labels = api.client.get(f"{job}/labels/1").content
    np.testing.assert_array_equal(np.frombuffer(labels, "<u2").reshape(3, 4), LABELS)


@pytest.mark.parametrize("path", ["slices/2", "labels/0"])
def test_a_slice_or_labels_that_are_not_there_are_a_problem(api: RunningApi, job: str, path: str) -> None:
    response = api.client.get(f"{job}/{path}")
    assert (response.status_code, response.json()["code"]) == (404, "no-such-file")


@pytest.mark.parametrize("path", ["slices/-1", "slices/x", "labels/100000"])
def test_a_slice_has_a_number(api: RunningApi, job: str, path: str) -> None:
    assert api.client.get(f"{job}/{path}").json()["code"] == "invalid-request"


@pytest.mark.parametrize(
    ("state", "columns", "words"),
    [
        ("queued", {}, "no results yet"),
        ("refused", {}, "ended without"),
        ("done", {}, "ended without"),
        ("done", {"pruned": True}, "make room"),
    ],
)
@pytest.mark.parametrize("path", ["report", "files", "files/report.json", "slices", "slices/0", "labels/0"])
def test_a_job_without_results_says_why(
    api: RunningApi, state: str, columns: dict[str, object], words: str, path: str
) -> None:
    response = api.client.get(f"/v1/jobs/{add_job(api, state, **columns)}/{path}")
    assert (response.status_code, response.json()["code"]) == (404, "no-results")
    assert words in response.json()["detail"]


def test_a_duplicate_shows_the_results_of_its_original(api: RunningApi, job: str) -> None:
    duplicate = add_job(api, "duplicate", duplicate_of=job.rpartition("/")[2])
    assert api.client.get(f"/v1/jobs/{duplicate}/report").status_code == 200


def test_a_duplicate_of_a_job_that_is_not_done_says_so(api: RunningApi) -> None:
    original = add_job(api, "queued")
    duplicate = add_job(api, "duplicate", duplicate_of=original)
    shown = api.client.get(f"/v1/jobs/{duplicate}").json()
    assert (shown["state"], shown["duplicate_of"]) == ("duplicate", original)
    answer = api.client.get(f"/v1/jobs/{duplicate}/report")
    assert (answer.status_code, answer.json()["code"]) == (404, "no-results")
    assert "duplicate_of" in answer.json()["detail"]
    assert api.client.post(f"/v1/jobs/{duplicate}/retry").json()["code"] == "job-not-retriable"
    listed = api.client.get("/v1/jobs", params={"state": "duplicate"}).json()["jobs"]
    assert duplicate in [job["id"] for job in listed]
    assert duplicate not in [job["id"] for job in api.client.get("/v1/jobs?state=done").json()["jobs"]]


def test_a_deleted_job_is_gone_with_its_files(api: RunningApi) -> None:
    job_id = add_result(api)
    assert api.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert api.client.get(f"/v1/jobs/{job_id}").json()["code"] == "job-not-found"
    assert not (api.settings.data_folder / "results" / job_id).exists()


def test_duplicates_go_with_the_job_that_they_point_at_and_the_audit_log_names_each(api: RunningApi) -> None:
    original = add_result(api)
    spool = api.settings.data_folder / "spool" / "twice"
    spool.mkdir(parents=True)
    sent = Jsonb({"kind": "upload", "path": "twice"})
    doubles = [add_job(api, "duplicate", duplicate_of=original, **more) for more in ({}, {"source": sent})]
    other = add_result(api)
    assert api.client.delete(f"/v1/jobs/{original}").status_code == 204
    for job_id in (original, *doubles):
        assert api.client.get(f"/v1/jobs/{job_id}").json()["code"] == "job-not-found"
        logged = api.client.get("/v1/audit", params={"job_id": job_id, "action": "delete_job"}).json()["entries"]
        assert [entry["outcome"] for entry in logged] == ["done"]
    assert not spool.exists()
    assert api.client.get(f"/v1/jobs/{other}").status_code == 200


def test_deleting_a_duplicate_leaves_the_job_that_it_points_at(api: RunningApi, job: str) -> None:
    duplicate = add_job(api, "duplicate", duplicate_of=job.rpartition("/")[2])
    assert api.client.delete(f"/v1/jobs/{duplicate}").status_code == 204
    assert api.client.get(f"{job}/report").status_code == 200
