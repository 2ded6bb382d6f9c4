"""Submitting by UID, listing and steering jobs, and following them by events."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from api_server import RunningApi
from results_maker import add_job

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def pacs(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
) -> RunningApi:
    """A server with two folders as its archives."""
    folders = {name: {"kind": "folder", "path": str(tmp_path_factory.mktemp(name))} for name in ("pacs", "other")}
    return serve(make_settings(archives=folders, destinations=("other",)))


def submit(api: RunningApi, uid: str, **order: object) -> httpx2.Response:
    return api.client.post("/v1/studies", json={"study_instance_uid": uid, "archive": "pacs", **order})


def test_the_same_study_twice_is_one_job(pacs: RunningApi) -> None:
    first, second = submit(pacs, "1.2.3"), submit(pacs, "1.2.3")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert pacs.client.get(first.headers["Location"]).json()["source"] == {
        "kind": "archive",
        "archive": "pacs",
        "study_instance_uid": "1.2.3",
        "path": None,
    }


def test_only_names_of_archives_are_taken(pacs: RunningApi) -> None:
    for archive in ("http://127.0.0.1:8042/dicom-web", "evil.test", "//x", "pacs/../x"):
        response = submit(pacs, "1.2.4", archive=archive)
        assert response.status_code == 422
        assert archive not in response.text
    assert submit(pacs, "1.2.4", archive=None).json()["code"] == "archive-needed"
    assert submit(pacs, "1.2.4", archive="evil").json()["code"] == "archive-unknown"
    assert pacs.client.post("/v1/archives/evil/search", json={}).json()["code"] == "archive-unknown"


def test_archives_are_listed_without_their_addresses(pacs: RunningApi) -> None:
    response = pacs.client.get("/v1/archives")
    entries = {entry["name"]: entry for entry in response.json()}
    assert entries["other"] == {"name": "other", "kind": "folder", "is_destination": True, "is_watched": False}
    assert str(Path("/tmp")) not in response.text


def test_an_empty_archive_has_no_studies(pacs: RunningApi) -> None:
    assert pacs.client.post("/v1/archives/pacs/search", json={"patient_id": "P7"}).json()["studies"] == []


@pytest.mark.parametrize("query", [{"patient_id": "*"}, {"patient_id": "a\\b"}, {"first_date": "soon"}, {"x": "1"}])
def test_a_search_that_cannot_be_asked_is_refused(pacs: RunningApi, query: dict[str, str]) -> None:
    assert pacs.client.post("/v1/archives/pacs/search", json=query).json()["code"] == "invalid-request"


def test_the_alias_takes_a_uid_and_an_upload(pacs: RunningApi) -> None:
    by_uid = pacs.client.post(
        "/generate_report", json={"study_instance_uid": "1.2.9", "archive": "pacs", "priority": 10}
    )
    assert (by_uid.status_code, by_uid.json()["priority"]) == (202, 10)
    assert pacs.client.get(by_uid.headers["Location"]).status_code == 200
    sent = pacs.client.post("/generate_report", files=[("files", ("a.dcm", bytes(200)))])
    assert (sent.status_code, sent.json()["source"]["kind"]) == (202, "upload")
    wrong = pacs.client.post("/generate_report", json={"study_instance_uid": "a"})
    assert wrong.json()["errors"][0]["field"] == "body.study_instance_uid"
    assert pacs.client.post("/generate_report", content=b"x").json()["code"] == "media-type"


def test_jobs_are_found_by_state_text_and_time(api: RunningApi) -> None:
    old = datetime.now(UTC) - timedelta(days=40)
    first = add_job(api, "failed", label="feedface", created_at=old)
    second = add_job(api, "set_aside", label="cafebabe", created_at=old + timedelta(days=2))

    def found(**query: object) -> list[str]:
        return [job["id"] for job in api.client.get("/v1/jobs", params=query).json()["jobs"]]

    assert found(q="feedface") == [first]
    assert found(q=second[:8]) == [second]
    window = {"after": (old - timedelta(1)).isoformat(), "before": (old + timedelta(days=3)).isoformat()}
    assert found(**window) == [second, first]
    assert found(state="failed", **window) == [first]
    assert found(state=["failed", "set_aside"], **window) == [second, first]
    assert found(before=(old - timedelta(1)).isoformat()) == []
    assert found(mine=True, **window) == []


def test_pages_hold_each_job_once(api: RunningApi) -> None:
    wanted = {add_job(api, "cancelled", submitted_by="pager", label="pagepage") for _ in range(7)}
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": "3", "q": "pagepage", **({"cursor": cursor} if cursor else {})}
        page = api.client.get("/v1/jobs", params=query).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == 7
    assert set(seen) == wanted
    assert api.client.get("/v1/jobs", params={"cursor": "zz"}).json()["code"] == "bad-cursor"


def test_a_job_is_cancelled_tried_again_and_put_forward(pacs: RunningApi) -> None:
    job = submit(pacs, "1.2.5").headers["Location"]
    assert pacs.client.put(f"{job}/priority", json={"priority": 20}).json()["priority"] == 20
    assert pacs.client.delete(job).json()["code"] == "job-not-ended"
    assert pacs.client.post(f"{job}/cancel").json()["state"] == "cancelled"
    assert pacs.client.post(f"{job}/cancel").status_code == 409
    assert pacs.client.put(f"{job}/priority", json={"priority": 0}).json()["code"] == "job-not-queued"
    assert pacs.client.post(f"{job}/retry").json()["state"] == "queued"
    assert pacs.client.post(f"{job}/retry").json()["code"] == "job-not-retriable"


def states_of(response: httpx2.Response, uid: str) -> Iterator[str]:
    """The states of a study's job as they come; other jobs may have changed a moment ago."""
    lines = response.iter_lines()
    for line in lines:
        if line.startswith("event: "):
            assert line == "event: job"
            job = json.loads(next(lines).removeprefix("data: "))
            if job["source"]["study_instance_uid"] == uid:
                yield job["state"]


def post_soon(api: RunningApi, path: str, body: object = None) -> None:
    """Post from another connection while this one listens."""
    threading.Timer(0.3, lambda: httpx2.post(f"{api.client.base_url}{path}", json=body, trust_env=False)).start()


def test_events_show_a_job_as_it_is_and_as_it_changes(pacs: RunningApi) -> None:
    job = submit(pacs, "1.2.6").headers["Location"]
    with pacs.client.stream("GET", f"{job}/events") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert response.headers["Cache-Control"] in ("no-cache", "no-store")
        states = states_of(response, "1.2.6")
        assert next(states) == "queued"
        post_soon(pacs, f"{job}/cancel")
        assert next(state for state in states if state != "queued") == "cancelled"


def test_events_of_all_jobs_show_a_new_one(pacs: RunningApi) -> None:
    with pacs.client.stream("GET", "/v1/events") as response:
        post_soon(pacs, "/v1/studies", {"study_instance_uid": "1.2.7", "archive": "pacs"})
        assert next(states_of(response, "1.2.7")) == "queued"


def test_events_of_no_job_are_a_problem(pacs: RunningApi) -> None:
    response = pacs.client.get("/v1/jobs/6c1c2f8e-0000-4000-8000-000000000001/events")
    assert (response.status_code, response.json()["code"]) == (404, "job-not-found")
