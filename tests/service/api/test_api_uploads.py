"""Uploads: what is taken, what is refused, and that nothing stays of what is refused."""

from __future__ import annotations

import logging
import random
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path
from uuid import UUID

import httpx2
import psycopg
import pytest
from api_server import RunningApi
from hostile_uploads import KINDS, MARK, dicom_like, form_of, good_zip, hostile, zip_of
from results_maker import add_job

from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.model import Job, JobOrder, QueueFull

pytestmark = pytest.mark.service

MIB = 1024 * 1024
LIMITS = {"max_mib": 2, "max_files": 200, "max_ratio": 200.0, "quota_per_user_mib": 64}


@pytest.fixture(scope="module")
def small(serve: Callable[..., RunningApi], make_settings: Callable[..., object]) -> RunningApi:
    """A server with limits that a test can reach."""
    return serve(
        make_settings(
            uploads=LIMITS,
            queue={"max_length": 1_000_000},
            rate_limit={"per_minute": 1_000_000, "burst": 1_000_000},
        )
    )


def spool_of(api: RunningApi) -> Path:
    return api.settings.data_folder / "spool"


def spooled(api: RunningApi) -> set[str]:
    return {str(path.relative_to(spool_of(api))) for path in spool_of(api).rglob("*")}


def send_zip(api: RunningApi, body: bytes) -> httpx2.Response:
    return api.client.post("/v1/uploads", content=body, headers={"Content-Type": "application/zip"})


def folder_of(api: RunningApi, response: httpx2.Response) -> Path:
    rows = api.query("SELECT source->>'path' FROM jobs WHERE id = %s", UUID(response.json()["id"]))
    return spool_of(api) / rows[0][0]


def test_a_zip_is_unpacked_under_names_of_ours(small: RunningApi) -> None:
    contents = [dicom_like(random.Random(n)) for n in range(3)]
    response = send_zip(small, zip_of([(f"{MARK}/IM{n}", data) for n, data in enumerate(contents)]))
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/jobs/{response.json()['id']}"
    files = sorted(folder_of(small, response).iterdir())
    assert [path.name for path in files] == ["000000.dcm", "000001.dcm", "000002.dcm"]
    assert [path.read_bytes() for path in files] == contents


def test_files_of_a_form_keep_their_bytes_and_lose_their_names(small: RunningApi) -> None:
    contents = [dicom_like(random.Random(n), size=50_000) for n in range(4)]
    files = [("files", (f"{MARK}-{n}.dcm", data)) for n, data in enumerate(contents)]
    response = small.client.post("/v1/uploads?priority=20", files=files, data={"comment": "x"})
    assert response.status_code == 202
    assert response.json()["priority"] == 20
    assert [path.read_bytes() for path in sorted(folder_of(small, response).iterdir())] == contents


def test_one_zip_in_a_form_counts_as_the_zip(small: RunningApi) -> None:
    response = small.client.post("/v1/uploads", files=[("files", ("study.zip", good_zip(random.Random(1))))])
    assert response.status_code == 202
    assert all(path.suffix == ".dcm" for path in folder_of(small, response).iterdir())


def test_the_place_of_an_upload_is_not_shown(small: RunningApi) -> None:
    response = send_zip(small, good_zip(random.Random(2)))
    assert response.json()["source"]["path"] is None
    assert folder_of(small, response).name not in small.client.get("/v1/jobs").text


@pytest.mark.slow
def test_a_thousand_hostile_uploads(small: RunningApi, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    before = spooled(small)
    taken = 0
    for number in range(1000):
        upload = hostile(number)
        response = small.client.post("/v1/uploads", content=upload.body, headers={"Content-Type": upload.content_type})
        where = f"upload {number}, {upload.kind}: {response.status_code} {response.text[:200]}"
        if response.status_code == 202:
            assert upload.may_be_taken, where
            taken += 1
            small.client.post(f"{response.headers['Location']}/cancel")
            assert small.client.delete(response.headers["Location"]).status_code == 204
        else:
            assert 400 <= response.status_code < 500, where
            assert response.headers["Content-Type"] == "application/problem+json", where
            assert MARK not in response.text
        assert spooled(small) == before, where
    assert 0 < taken < 150
    assert MARK not in caplog.text
    assert small.query("SELECT count(*) FROM uploads WHERE NOT EXISTS (SELECT FROM jobs)") == [(0,)]
    assert small.client.get("/health/live").status_code == 200


CODES = {
    "truncated": {"zip-damaged"},
    "bomb": {"zip-bomb"},
    "overlapping": {"zip-overlap"},
    "lying size": {"zip-damaged"},
    "encrypted": {"zip-encrypted"},
    "many entries": {"upload-too-many-files"},
    "claimed count": {"upload-too-many-files"},
    "escaping": {"zip-path"},
    "linked": {"zip-link"},
    "doubled": {"zip-duplicate-names"},
    "nested": {"zip-nested"},
    "other method": {"zip-method"},
    "empty archive": {"upload-empty"},
    "empty files": {"upload-empty"},
    "many files": {"upload-too-many-files"},
    "large": {"upload-too-large"},
    "no files": {"multipart-damaged", "upload-empty"},
    "not closed": {"upload-truncated"},
    "zip among files": {"zip-nested"},
    "bad boundary": {"multipart-damaged"},
    "foreign type": {"media-type"},
    "raw deflate": {"zip-damaged"},
}


@pytest.mark.parametrize("number", [n for n in range(len(KINDS)) if hostile(n).kind in CODES])
def test_each_kind_is_refused_by_its_own_code(small: RunningApi, number: int) -> None:
    upload = hostile(number)
    response = small.client.post("/v1/uploads", content=upload.body, headers={"Content-Type": upload.content_type})
    assert response.json()["code"] in CODES[upload.kind]


def test_a_length_that_is_too_large_is_refused_before_the_body_is_sent(small: RunningApi) -> None:
    with socket.create_connection(small.address) as connection:
        connection.sendall(
            b"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/zip\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        assert answer_on(connection)[0] == 413


def test_a_body_without_a_length_is_held_to_the_limit(small: RunningApi) -> None:
    before = spooled(small)
    pieces = (bytes(65536) for _ in range(200))
    response = small.client.post("/v1/uploads", content=pieces, headers={"Content-Type": "application/zip"})
    assert (response.status_code, response.json()["code"]) == (413, "upload-too-large")
    assert spooled(small) == before


def test_a_sender_that_goes_leaves_nothing(small: RunningApi) -> None:
    before = spooled(small)
    body, content_type = form_of([("a.dcm", bytes(500_000))])
    with socket.create_connection(small.address) as connection:
        head = f"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:300_000])
        wait_for(lambda: spooled(small) != before)
    wait_for(lambda: spooled(small) == before)
    wait_for(lambda: small.query("SELECT count(*) FROM uploads u WHERE num_bytes = %s", len(body)) == [(0,)])
    assert spooled(small) == before


def test_a_quota_counts_what_waits_and_frees_what_is_deleted(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    api = serve(make_settings(uploads={**LIMITS, "quota_per_user_mib": 3}))
    big = [("files", ("a.dcm", random.Random(3).randbytes(2 * MIB - 1000)))]
    first = api.client.post("/v1/uploads", files=big)
    assert first.status_code == 202
    second = api.client.post("/v1/uploads", files=big)
    assert (second.status_code, second.json()["code"]) == (413, "quota-exceeded")
    assert len(list(spool_of(api).iterdir())) == 1
    api.client.post(f"{first.headers['Location']}/cancel")
    assert api.client.delete(first.headers["Location"]).status_code == 204
    assert api.client.post("/v1/uploads", files=big).status_code == 202


def test_uploads_at_once_do_not_overrun_a_quota_by_what_they_unpack_to(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    """Each of two ZIPs has passed every check when the other one is unpacked; together they are too much."""
    api = serve(make_settings(uploads={**LIMITS, "quota_per_user_mib": 3}))
    body = zip_of([(str(number), bytes(random.Random(number).choices(b"ACGT", k=900_000))) for number in range(2)])
    head = "POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/zip\r\n"
    with ExitStack() as stack:
        senders = [stack.enter_context(socket.create_connection(api.address)) for _ in range(2)]
        for sender in senders:
            sender.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:-1])
        wait_for(lambda: api.query("SELECT count(*) FROM uploads WHERE num_bytes = %s", len(body)) == [(2,)])
        for sender in senders:
            sender.sendall(body[-1:])
        taken, refused = sorted(answer_on(sender) for sender in senders)
    assert (taken[0], refused[0]) == (202, 413)
    assert b"quota-exceeded" in refused[1]
    assert api.query("SELECT num_bytes FROM uploads") == [(1_800_000,)]
    assert len(list(spool_of(api).iterdir())) == 1


def test_a_full_queue_refuses_an_upload_and_keeps_nothing(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    api = serve(make_settings(queue={"max_length": 1, "retry_after_s": 7}))
    assert send_zip(api, good_zip(random.Random(1))).status_code == 202
    refused = send_zip(api, good_zip(random.Random(2)))
    assert (refused.status_code, refused.json()["code"]) == (503, "queue-full")
    assert refused.headers["Retry-After"] == "7"
    assert len(list(spool_of(api).iterdir())) == 1


def test_a_start_takes_away_what_a_killed_process_has_left(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    settings = make_settings()
    api = serve(settings)
    kept = send_zip(api, good_zip(random.Random(1)))
    half = spool_of(api) / ".partial-6c1c2f8e-0000-4000-8000-000000000000"
    half.mkdir()
    (half / "000000.dcm").write_bytes(b"x")
    lost = "6c1c2f8e-0000-4000-8000-000000000001"
    (spool_of(api) / lost).mkdir()
    api.query("INSERT INTO uploads (id, owner, num_bytes) VALUES (%s, 'local', 5)", lost)
    foreign = spool_of(api) / "listener-7"
    foreign.mkdir()
    serve(settings)
    assert {path.name for path in spool_of(api).iterdir()} == {folder_of(api, kept).name, "listener-7"}
    assert api.query("SELECT count(*) FROM uploads") == [(1,)]


def test_a_start_leaves_alone_what_another_process_is_receiving(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    settings = make_settings()
    api = serve(settings)
    body, content_type = form_of([("a.dcm", bytes(3 * MIB))])
    with socket.create_connection(api.address) as connection:
        head = f"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: 2 * MIB])
        wait_for(lambda: any(path.name == "000000.dcm" for path in spool_of(api).rglob("*")))
        serve(settings)
        connection.sendall(body[2 * MIB :])
        assert answer_on(connection)[0] == 202


def test_a_start_leaves_alone_an_upload_whose_job_has_come_since_it_looked(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object]
) -> None:
    """The list of uploads waits, with what it sees of the database, for a lock that is held here."""
    settings = make_settings()
    api = serve(settings)
    upload = "6c1c2f8e-0000-4000-8000-000000000001"
    (spool_of(api) / upload).mkdir()
    api.query("INSERT INTO uploads (id, owner, num_bytes) VALUES (%s, 'local', 5)", upload)
    api.query(
        "ALTER TABLE uploads RENAME TO listed;"
        "CREATE VIEW uploads AS SELECT listed.* FROM (SELECT pg_advisory_xact_lock_shared(1) OFFSET 0) lock, listed"
    )
    assert settings.database.url_file is not None
    with ThreadPoolExecutor(1) as other, psycopg.connect(settings.database.url_file.read_text()) as holding:
        holding.execute("SELECT pg_advisory_xact_lock(1)")
        started = other.submit(serve, settings)
        wait_for(lambda: api.query("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)])
        add_job(api, "queued", source=f'{{"kind": "upload", "path": "{upload}"}}', study_key=f"upload:{upload}")
        holding.rollback()
        started.result(30)
    assert (spool_of(api) / upload).is_dir()
    assert api.query("SELECT id::text FROM listed") == [(upload,)]


@pytest.mark.parametrize("is_taken", [True, False])
def test_an_upload_stays_where_the_answer_to_its_submission_is_lost_and_a_job_has_it(
    serve: Callable[..., RunningApi],
    make_settings: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    is_taken: bool,
) -> None:
    submit = JobDesk.submit

    async def submit_and_lose(desk: JobDesk, order: JobOrder) -> Job:
        if is_taken:
            await submit(desk, order)
        raise psycopg.OperationalError

    monkeypatch.setattr(JobDesk, "submit", submit_and_lose)
    settings = make_settings()
    api = serve(settings)
    body = dicom_like(random.Random(1), size=5000)
    sent = api.client.post("/v1/uploads", files=[("files", ("a.dcm", body))])
    assert (sent.status_code, sent.json()["code"]) == (503, "database-unavailable")
    jobs = api.query("SELECT source->>'path' FROM jobs")
    assert len(jobs) == is_taken
    assert [(path.name,) for path in spool_of(api).iterdir()] == jobs
    assert [path.read_bytes() for path in spool_of(api).glob("*/*")] == [body] * is_taken
    assert api.query("SELECT id::text, num_bytes FROM uploads") == [(path, len(body)) for (path,) in jobs]


def test_a_queue_that_fills_while_an_upload_comes_refuses_it_and_keeps_nothing(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_desk: JobDesk, _order: JobOrder) -> Job:
        raise QueueFull(7)

    monkeypatch.setattr(JobDesk, "submit", refuse)
    api = serve(make_settings())
    assert send_zip(api, good_zip(random.Random(1))).json()["code"] == "queue-full"
    assert spooled(api) == set()
    assert api.query("SELECT * FROM uploads") == []


def test_an_upload_stays_until_the_next_start_where_nobody_knows_whether_a_job_has_it(
    serve: Callable[..., RunningApi],
    make_settings: Callable[..., object],
    database_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings()
    database = {**settings.database.model_dump(), "connect_timeout_s": 1.0}
    settings = settings.model_copy(update={"database": type(settings.database)(**database)})
    api = serve(settings)
    ((name,),) = api.query("SELECT current_database()")

    with psycopg.connect(database_server, autocommit=True) as server:

        async def lose(_desk: JobDesk, _order: JobOrder) -> Job:
            server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
            raise psycopg.OperationalError

        monkeypatch.setattr(JobDesk, "submit", lose)
        assert send_zip(api, good_zip(random.Random(1))).status_code == 503
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    (kept,) = spool_of(api).iterdir()
    assert api.query("SELECT id::text FROM uploads") == [(kept.name,)]
    serve(settings)
    assert spooled(api) == set()
    assert api.query("SELECT * FROM uploads") == []


def answer_on(connection: socket.socket) -> tuple[int, bytes]:
    """Status and whole body of the answer to a request that was written by hand."""
    connection.settimeout(20)
    with HTTPResponse(connection) as response:
        response.begin()
        return response.status, response.read()


def wait_for(holds: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < ends_at
        time.sleep(0.02)
