"""The audit log: who saw or did what on which study, who was refused, what failed; and that entries stay."""

from __future__ import annotations

import fcntl
import json
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from api_server import RunningApi
from identity_provider import AUDIENCE, ISSUER, Provider, bearer
from results_maker import STUDY, add_job, add_result

from lung_nodules.service.api.routes import identities, results

pytestmark = pytest.mark.service


def test_the_audit_log_says_who_saw_what_and_who_was_refused(
    serve: Callable[..., RunningApi], guarded: RunningApi, issuer: Provider
) -> None:
    guarded = serve(guarded.settings)  # one that no stranger has asked within the last minute
    job_id = add_result(guarded)
    viewer, admin = bearer(issuer, "viewer", "vera"), bearer(issuer, "admin", "ada")
    guarded.client.get(f"/v1/jobs/{job_id}/report", headers=viewer)
    guarded.client.get(f"/v1/jobs/{job_id}/files/segmentation.dcm", headers=viewer)
    guarded.client.get(f"/v1/jobs/{job_id}/files/DOE-JANE", headers=viewer)
    guarded.client.delete(f"/v1/jobs/{job_id}", headers=viewer)
    guarded.client.get(f"/v1/jobs/{job_id}/report")
    page = guarded.client.get("/v1/audit", params={"job_id": job_id}, headers=admin).json()
    seen = [
        (entry["actor"], entry["action"], entry["status"], entry["outcome"], entry["object"])
        for entry in page["entries"]
    ]
    assert seen == [
        ("-", "show_report", 401, "refused", ""),
        ("vera", "delete_job", 403, "refused", ""),
        ("vera", "download_file", 404, "refused", ""),
        ("vera", "download_file", 200, "done", "segmentation.dcm"),
        ("vera", "show_report", 200, "done", ""),
    ]
    lines = [path.read_text() for path in (guarded.settings.data_folder / "audit").iterdir()]
    assert sum(text.count(f'"job_id": "{job_id}"') for text in lines) == 5
    only_vera = guarded.client.get("/v1/audit", params={"actor": "vera", "limit": 1}, headers=admin).json()
    assert len(only_vera["entries"]) == 1
    next_page = guarded.client.get(
        "/v1/audit", params={"actor": "vera", "limit": 1, "cursor": only_vera["next_cursor"]}, headers=admin
    ).json()
    assert next_page["entries"][0]["id"] < only_vera["entries"][0]["id"]


def test_strangers_do_not_fill_the_audit_log(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], issuer: Provider
) -> None:
    """One entry a minute for what is tried from an address, whichever job is named and whatever the token is."""
    auth = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url}
    api = serve(make_settings(auth=auth, trusted_proxies=["127.0.0.1"]))
    for address in ("198.51.100.7", "198.51.100.8"):
        for _ in range(10):
            told = {"X-Forwarded-For": address}
            assert api.client.get(f"/v1/jobs/{uuid4()}/report", headers=told).status_code == 401
    assert api.query("SELECT address FROM audit_entries ORDER BY id") == [("198.51.100.7",), ("198.51.100.8",)]


def test_slices_are_audited_once_a_minute(guarded: RunningApi, issuer: Provider) -> None:
    job_id = add_result(guarded)
    headers = bearer(issuer, "viewer")
    for _ in range(5):
        assert guarded.client.get(f"/v1/jobs/{job_id}/slices/0", headers=headers).status_code == 200
    assert guarded.query("SELECT count(*) FROM audit_entries WHERE job_id = %s", job_id) == [(1,)]


@pytest.mark.parametrize(
    "change", ["UPDATE audit_entries SET actor = 'x'", "DELETE FROM audit_entries", "TRUNCATE audit_entries"]
)
def test_entries_stay_as_they_are(guarded: RunningApi, change: str) -> None:
    guarded.client.get("/v1/me", headers={"Authorization": ""})
    with pytest.raises(psycopg.errors.RaiseException, match="only ever added"):
        guarded.query(change)


def test_nothing_is_shown_without_an_entry(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    api = serve(make_settings())
    job_id = add_result(api)
    api.query("ALTER TABLE audit_entries RENAME TO away")
    response = api.client.get(f"/v1/jobs/{job_id}/report")
    assert (response.status_code, response.json()["code"]) == (503, "audit-unavailable")
    assert "findings" not in response.text
    api.query("ALTER TABLE away RENAME TO audit_entries")
    time.sleep(0.1)
    assert api.client.get(f"/v1/jobs/{job_id}/report").status_code == 200


def audited_job(api: RunningApi) -> tuple[str, Path]:
    """A job that somebody has looked at, and the file in which that stands."""
    job_id = add_result(api)
    api.client.get(f"/v1/jobs/{job_id}")
    (path,) = (api.settings.data_folder / "audit").iterdir()
    return str(job_id), path


def test_a_file_that_takes_a_part_of_an_entry_takes_none_of_it(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    api = serve(make_settings())
    job_id, path = audited_job(api)
    with path.open("a") as file:  # longer than whatever else this process may write meanwhile
        file.write(json.dumps("x" * 2**22) + "\n")
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 30, hard))
    try:
        response = api.client.get(f"/v1/jobs/{job_id}/report")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (response.status_code, response.json()["code"]) == (503, "audit-unavailable")
    assert path.read_bytes() == before
    assert api.client.get(f"/v1/jobs/{job_id}/report").status_code == 200
    actions = [json.loads(line)["action"] for line in path.read_text().splitlines() if line.startswith("{")]
    assert actions == ["show_job", "show_report"]
    assert api.query("SELECT action FROM audit_entries ORDER BY id") == [("show_job",), ("show_report",)]


def test_processes_append_to_the_file_one_at_a_time(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    api = serve(make_settings())
    job_id, path = audited_job(api)
    before = path.read_bytes()
    with ThreadPoolExecutor(1) as other:
        with path.open("rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            answer = other.submit(api.client.get, f"/v1/jobs/{job_id}/report")
            time.sleep(0.5)
            assert path.read_bytes() == before
            assert not answer.done()
        assert answer.result(20).status_code == 200
    assert path.read_bytes().startswith(before)
    assert len(path.read_bytes()) > len(before)


def test_an_entry_names_the_study_and_outlives_its_job(api: RunningApi) -> None:
    """Of a job of an archive from the beginning, of what was sent when its headers were read."""
    archived = add_job(api, study_key=f"study:{STUDY}")
    unread = add_job(api, source='{"kind": "upload", "path": "u"}', study_key="upload:u")
    for job_id in (archived, unread):
        api.client.get(f"/v1/jobs/{job_id}")
    assert api.client.delete(f"/v1/jobs/{archived}").status_code == 204
    named = "SELECT action, studies FROM audit_entries WHERE job_id = %s ORDER BY id"
    assert api.query(named, archived) == [("show_job", [STUDY]), ("delete_job", [STUDY])]
    assert api.query(named, unread) == [("show_job", [])]
    found = api.client.get("/v1/audit", params={"study_instance_uid": STUDY}).json()["entries"]
    assert {(entry["action"], entry["job_id"]) for entry in found} >= {("show_job", archived), ("delete_job", archived)}
    assert all(entry["studies"] == [STUDY] for entry in found)
    assert not api.client.get("/v1/audit", params={"study_instance_uid": f"{STUDY}.1"}).json()["entries"]


def test_what_fails_by_a_defect_of_ours_is_entered(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(results, "find_results", fail)
    job_id = add_result(api)
    answer = api.client.get(f"/v1/jobs/{job_id}/report")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    entered = api.query("SELECT action, outcome, status, code, request_id FROM audit_entries WHERE job_id = %s", job_id)
    assert entered == [("show_report", "failed", 500, "internal-error", answer.headers["X-Request-ID"])]


def test_a_defect_is_not_answered_as_such_without_an_entry(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(identities, "find_results", fail)
    api = serve(make_settings())
    job_id = add_job(api)
    api.query("DROP TABLE audit_entries")
    answer = api.client.get("/v1/studies", params={"job_id": job_id})
    assert (answer.status_code, answer.json()["code"]) == (503, "audit-unavailable")
