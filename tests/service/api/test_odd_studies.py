"""An archive that tells of a study whose UID is none: the others are found all the same, and audited."""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from api_server import RunningApi

from lung_nodules.service.settings import ServiceSettings

pytestmark = pytest.mark.service

# of digits at random, which do not compress to what a row of an index may hold
LONG = "1." + "".join(random.Random(7).choices("123456789", k=18_000))
SOUND = ["1.2.1", "1.2.2"]


class _Qido(BaseHTTPRequestHandler):
    """Answers every search with the studies that a test lists, on one page."""

    uids: tuple[str, ...] = ()

    def do_GET(self) -> None:
        told = () if "offset=" in self.path and "offset=0" not in self.path else self.uids
        body = json.dumps([{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in told]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/dicom+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def odd_pacs(serve: Callable[..., RunningApi], make_settings: Callable[..., ServiceSettings]) -> Iterator[RunningApi]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Qido) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        yield serve(make_settings(archives={"pacs": {"kind": "dicomweb", "url": url, "retries": {"max_tries": 1}}}))
        server.shutdown()


@pytest.mark.parametrize("odd", ["1.2.3\0", LONG, "\ud800", "1.2.x"], ids=["nul", "long", "surrogate", "letter"])
def test_a_study_whose_uid_is_none_hides_no_other(
    odd_pacs: RunningApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, odd: str
) -> None:
    monkeypatch.setattr(_Qido, "uids", (SOUND[0], odd, SOUND[1]))
    answer = odd_pacs.client.post("/v1/archives/pacs/search", json={})
    assert answer.status_code == 200
    assert sorted(study["study_instance_uid"] for study in answer.json()["studies"]) == SOUND
    last = "SELECT outcome, studies FROM audit_entries WHERE action = 'find_studies' ORDER BY id DESC LIMIT 1"
    ((outcome, audited),) = odd_pacs.query(last)
    assert (outcome, sorted(audited)) == ("done", SOUND)
    (warning,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert warning.getMessage().endswith(": 1.")
    assert odd not in warning.getMessage()


def test_of_sound_studies_nothing_is_said(
    odd_pacs: RunningApi, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_Qido, "uids", tuple(SOUND))
    assert len(odd_pacs.client.post("/v1/archives/pacs/search", json={}).json()["studies"]) == 2
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
