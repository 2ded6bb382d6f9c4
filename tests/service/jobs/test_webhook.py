import json
import threading
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from uuid import uuid4

import pytest

from lung_nodules.service.jobs.model import Job, JobState, Source
from lung_nodules.service.jobs.webhook import WebhookRefusal, send_webhook, sign
from lung_nodules.service.settings import WebhookSettings

UID = "1.2.826.0.1.3680043.9.7"
JOB = Job(
    id=uuid4(),
    source=Source(kind="archive", archive="pacs", study_instance_uid=UID),
    label="0123abcd",
    priority=0,
    state=JobState.running,
    submitted_by="dr.who",
    created_at=datetime.now(UTC),
)


@contextmanager
def receiver(code: int, location: str | None = None):
    """A server that keeps what it is sent and always answers the same."""
    received = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(code)
            if location:
                self.send_header("Location", location)
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", received
    finally:
        server.shutdown()
        server.server_close()


def test_the_end_of_a_job_is_told_signed_and_without_patient_data(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("key\n")
    with receiver(204) as (url, received):
        settings = WebhookSettings(url=url, secret_file=secret)
        send_webhook(settings, JOB, JobState.done)
        send_webhook(settings, JOB, JobState.done)
    (headers, body), (again, _) = received
    assert headers["X-Lung-Nodules-Signature"] == sign("key", headers["X-Lung-Nodules-Timestamp"], body)
    assert headers["X-Lung-Nodules-Signature"] != sign("other", headers["X-Lung-Nodules-Timestamp"], body)
    assert headers["Idempotency-Key"] == again["Idempotency-Key"]
    assert json.loads(body)["state"] == "done"
    assert UID not in body.decode()
    assert "dr.who" not in body.decode()


def test_a_signature_by_hand():
    """HMAC-SHA-256 with key `key` over `1.{}`, from `printf '1.{}' | openssl dgst -sha256 -hmac key`."""
    assert sign("key", "1", b"{}") == "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224"


@pytest.mark.parametrize(("code", "heals"), [(500, True), (503, True), (429, True), (400, False), (404, False)])
def test_what_can_heal_is_told_from_what_cannot(code, heals):
    with receiver(code) as (url, _), pytest.raises(WebhookRefusal) as caught:
        send_webhook(WebhookSettings(url=url), JOB, JobState.failed, "archive-unreachable")
    assert caught.value.heals is heals


def test_a_redirect_is_not_followed():
    with receiver(200) as (elsewhere, never), receiver(307, elsewhere) as (url, received):
        with pytest.raises(WebhookRefusal):
            send_webhook(WebhookSettings(url=url), JOB, JobState.done)
        assert len(received) == 1
        assert never == []


def test_nobody_there_may_heal():
    with receiver(200) as (url, _):
        pass
    with pytest.raises(WebhookRefusal) as caught:
        send_webhook(WebhookSettings(url=url), JOB, JobState.done)
    assert caught.value.heals


def test_without_a_url_nobody_is_told(monkeypatch):
    opened = []
    monkeypatch.setattr(urllib.request, "build_opener", lambda *handlers: opened.append(handlers))
    send_webhook(WebhookSettings(), JOB, JobState.done)
    assert opened == []
