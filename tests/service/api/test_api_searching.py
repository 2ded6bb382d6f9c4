"""Looking for studies in an archive, and for whose studies were read."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from api_server import RunningApi
from results_maker import add_job, add_result
from studies_maker import write_study

from lung_nodules.service.api import searching

pytestmark = pytest.mark.service

NAMES = ("Doe^Jane", "Doe^John", "Wang^XiaoDong=王^小东", "Roe^Richard", "Doe^Jim")
# the client of these tests, and what the service turns off and caplog hears all the same
NOT_OURS = ("httpcore", "httpx", "uvicorn.access")
PATIENT = {"patient_id": "P-7", "accession_number": "A-7", "study_date": "2024-01-07"}


@pytest.fixture(scope="module")
def pacs(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], tmp_path_factory: pytest.TempPathFactory
) -> RunningApi:
    """A server whose archive has five studies, one a day, the last two of the same."""
    folder = tmp_path_factory.mktemp("pacs")
    for number, name in enumerate(NAMES, 1):
        day = f"202401{min(number, 4):02d}"
        described = {
            "StudyDate": day,
            "StudyTime": "1200",
            "StudyDescription": "Chest",
            "AccessionNumber": f"A-{number}",
        }
        write_study(folder, f"1.2.{number}", PatientName=name, PatientID=f"P-{number}", **described)
    return serve(make_settings(archives={"pacs": {"kind": "folder", "path": str(folder)}}))


def search(api: RunningApi, **query: Any) -> Any:
    return api.client.post("/v1/archives/pacs/search", json=query).json()


def test_studies_are_found_newest_first_and_say_whose_they_are(pacs: RunningApi) -> None:
    found = search(pacs)
    assert [study["study_instance_uid"] for study in found["studies"]] == ["1.2.5", "1.2.4", "1.2.3", "1.2.2", "1.2.1"]
    assert (found["next_cursor"], found["is_cut"]) == (None, False)
    assert found["studies"][2] == {
        "study_instance_uid": "1.2.3",
        "study_date": "2024-01-03",
        "study_time": "1200",
        "modalities": ["CT"],
        "description": "Chest",
        "num_series": 1,
        "num_instances": 1,
        "patient_id": "P-3",
        "patient_name": "Wang^XiaoDong=王^小东",
        "accession_number": "A-3",
    }


@pytest.mark.parametrize(
    ("query", "uids"),
    [
        ({"patient_name": "doe*"}, ["1.2.5", "1.2.2", "1.2.1"]),
        ({"patient_name": "王*"}, ["1.2.3"]),
        ({"patient_name": "Doe^Jane"}, ["1.2.1"]),
        ({"patient_id": "P-4"}, ["1.2.4"]),
        ({"first_date": "2024-01-02", "last_date": "2024-01-03"}, ["1.2.3", "1.2.2"]),
        ({"modality": "MR"}, []),
        ({"description": "*est", "accession_number": "A-2"}, ["1.2.2"]),
    ],
)
def test_a_search_narrows(pacs: RunningApi, query: dict[str, str], uids: list[str]) -> None:
    assert [study["study_instance_uid"] for study in search(pacs, **query)["studies"]] == uids


def test_pages_follow_each_other_without_gap_or_double(pacs: RunningApi) -> None:
    seen, cursor = [], None
    for _ in range(3):
        page = search(pacs, limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [study["study_instance_uid"] for study in page["studies"]]
        cursor = page["next_cursor"]
    assert seen == ["1.2.5", "1.2.4", "1.2.3", "1.2.2", "1.2.1"]
    assert cursor is None


@pytest.mark.parametrize("cursor", ["x", "é", "bnVsbA", "WzEsMiwzXQ", "W1tbW1tb" * 40])
def test_a_cursor_that_no_page_has_given_is_refused(pacs: RunningApi, cursor: str) -> None:
    assert search(pacs, cursor=cursor)["code"] == "bad-cursor"


def test_more_than_can_be_sorted_is_said(pacs: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MAX_SORTED", 3)
    assert search(pacs)["is_cut"]
    assert not search(pacs, patient_name="doe*")["is_cut"]


def test_a_search_is_audited_by_what_it_showed_and_no_name_is_written_anywhere(
    pacs: RunningApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert search(pacs, patient_name="*Jane*", patient_id="P-1")["studies"][0]["patient_name"] == "Doe^Jane"
    last = "SELECT outcome, object, studies FROM audit_entries WHERE action = 'find_studies' ORDER BY id DESC LIMIT 1"
    assert pacs.query(last) == [("done", "pacs", ["1.2.1"])]
    logged = [record.getMessage() for record in caplog.records if not record.name.startswith(NOT_OURS)]
    assert len(logged) >= 1
    written = str(pacs.query("SELECT * FROM audit_entries")) + "".join(logged)
    written += "".join(path.read_text() for path in (pacs.settings.data_folder / "audit").iterdir())
    assert "Jane" not in written
    assert "P-1" not in written


def test_the_audit_log_says_who_was_shown_a_study_of_an_archive(pacs: RunningApi) -> None:
    """The page that was shown, and not what else matches."""
    search(pacs, patient_name="Roe*")
    search(pacs, limit=2)
    shown = pacs.query("SELECT studies FROM audit_entries WHERE action = 'find_studies' ORDER BY id DESC LIMIT 2")
    assert shown == [(["1.2.5", "1.2.4"],), (["1.2.4"],)]
    asked = {"study_instance_uid": "1.2.4", "action": "find_studies", "limit": 2}
    entries = pacs.client.get("/v1/audit", params=asked).json()["entries"]
    assert [entry["studies"] for entry in entries] == [["1.2.5", "1.2.4"], ["1.2.4"]]
    assert [entry["object"] for entry in entries] == ["pacs", "pacs"]


def test_a_search_takes_nothing_from_its_address_which_proxies_log(pacs: RunningApi) -> None:
    found = pacs.client.post("/v1/archives/pacs/search", params={"patient_id": "P-1"}, json={}).json()
    assert len(found["studies"]) == len(NAMES)
    by_address = pacs.client.get("/v1/archives/pacs/studies", params={"patient_id": "P-1"})
    assert (by_address.status_code, by_address.json()["code"]) == (404, "no-such-path")


def with_report(api: RunningApi, **columns: Any) -> str:
    job_id = add_result(api, **columns)
    study = {**PATIENT, "study_instance_uid": "1.2.7", "patient_sex": "F", "series_instance_uid": "1.2.7.1"}
    (api.settings.data_folder / "results" / job_id / "report.json").write_text(json.dumps({"study": study}))
    return job_id


def test_jobs_say_whose_studies_they_have_read(pacs: RunningApi) -> None:
    read = with_report(pacs)
    stored_later = with_report(pacs, state="failed", step="store")
    duplicate = add_job(pacs, "duplicate", duplicate_of=read)
    nothing = [add_job(pacs, "queued"), add_result(pacs), add_job(pacs, "done"), "6c1c2f8e-0000-4000-8000-000000000001"]
    asked = [read, stored_later, duplicate, read, *nothing]
    told = pacs.client.get("/v1/studies", params={"job_id": asked}).json()
    expected = {"study_instance_uid": "1.2.7", **PATIENT}
    assert told == [{"job_id": job_id, **expected} for job_id in (read, stored_later, duplicate)]


def test_the_audit_log_names_each_job_whose_patient_was_shown(pacs: RunningApi) -> None:
    shown, queued = [with_report(pacs), with_report(pacs)], add_job(pacs, "queued")
    for _ in range(3):  # as a work list does that looks again
        pacs.client.get("/v1/studies", params={"job_id": [*shown, queued]})
    entries = pacs.query("SELECT job_id::text, studies FROM audit_entries WHERE action = 'list_studies' ORDER BY id")
    assert [entry for entry in entries if entry[0] in (*shown, queued)] == [(job_id, ["1.2.7"]) for job_id in shown]


@pytest.mark.parametrize("asked", [[], ["x"], ["6c1c2f8e-0000-4000-8000-000000000001"] * 101])
def test_what_names_no_job_or_too_many_is_refused(pacs: RunningApi, asked: list[str]) -> None:
    assert pacs.client.get("/v1/studies", params={"job_id": asked}).json()["code"] == "invalid-request"


def test_a_job_itself_tells_nothing_of_the_patient(pacs: RunningApi) -> None:
    job_id = with_report(pacs)
    text = pacs.client.get(f"/v1/jobs/{job_id}").text + pacs.client.get("/v1/jobs").text
    assert PATIENT["patient_id"] not in text
    assert PATIENT["accession_number"] not in text


@pytest.mark.parametrize(
    ("asked", "told"), [("120", "120"), ("0", "1"), ("9" * 12, "86400"), ("9" * 400, "86400"), ("soon", "60")]
)
def test_a_busy_archive_tells_when_to_come_again(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], asked: str, told: str
) -> None:
    """In whole seconds (RFC 9110, 10.2.3), whatever the archive says."""

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.send_header("Retry-After", asked)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        pacs = {"kind": "dicomweb", "url": url, "retries": {"max_tries": 1}}
        response = serve(make_settings(archives={"pacs": pacs})).client.post("/v1/archives/pacs/search", json={})
        server.shutdown()
    assert (response.status_code, response.json()["code"]) == (503, "archive-busy")
    assert response.headers["Retry-After"] == told
