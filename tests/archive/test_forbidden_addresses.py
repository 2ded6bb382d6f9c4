"""Where no connection is used, whatever name leads there: tested with names that are let point at servers of ours."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from lung_nodules.archive import addresses
from lung_nodules.archive.addresses import is_forbidden
from lung_nodules.archive.opening import open_archive
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DicomwebSettings
from lung_nodules.service.jobs.model import JobState
from lung_nodules.service.jobs.webhook import JobEnd, WebhookRefusal, send_webhook
from lung_nodules.service.settings import WebhookSettings


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
    ],
)
def test_no_such_address_is_asked_or_set(address: str) -> None:
    assert is_forbidden(address)
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(ValidationError, match="never asked"):
        DicomwebSettings(kind="dicomweb", url=f"https://{host}/dicom-web")
    with pytest.raises(ValidationError, match="never asked"):
        WebhookSettings(url=f"https://{host}/hook")


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "10.0.0.7", "192.168.1.4", "172.16.0.1", "fd00::7", "8.8.8.8", "2001:db8::1", "pacs"],
)
def test_archives_are_asked_where_they_are(address: str) -> None:
    assert not is_forbidden(address)


class Victim:
    """A server on this machine that notes what is sent to it, and answers 200."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.num_connections = self.num_over = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            self.num_connections += 1
            with connection, suppress(OSError):
                connection.settimeout(5)
                if received := connection.recv(65536):
                    self.received.append(received)
                    connection.sendall(b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.num_over += 1

    def wait_until_over(self, num_connections: int) -> None:
        """Wait until so many connections have come and gone."""
        deadline = time.monotonic() + 10
        while self.num_over < num_connections and time.monotonic() < deadline:
            time.sleep(0.01)


@contextmanager
def victim() -> Iterator[Victim]:
    made = Victim()
    try:
        yield made
    finally:
        made.listening.close()


def ask_archive(url: str) -> None:
    retries = {"max_tries": 3, "first_wait_s": 0.01}
    settings = DicomwebSettings.model_validate({"kind": "dicomweb", "url": url, "retries": retries})
    with open_archive(settings) as archive:
        archive.check()


def tell_webhook(url: str) -> None:
    end = JobEnd(
        key=uuid4(),
        job_id=uuid4(),
        label="0123abcd",
        version=1,
        replaces=None,
        duplicate_of=None,
        state=JobState.done,
        reason_code=None,
        ended_at=datetime.now(UTC),
    )
    send_webhook(WebhookSettings(url=url), end)


@pytest.fixture
def pointing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the name pacs.example point at an address."""
    resolve = socket.getaddrinfo

    def point(address: str) -> None:
        def answer(host: Any, *arguments: Any, **more: Any) -> Any:
            return resolve(address if host in ("pacs.example", b"pacs.example") else host, *arguments, **more)

        monkeypatch.setattr(socket, "getaddrinfo", answer)

    return point


ASKING = pytest.mark.parametrize(
    ("ask", "refusal"), [(ask_archive, ArchiveRefusal), (tell_webhook, WebhookRefusal)], ids=["archive", "webhook"]
)


@ASKING
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_comes_to_point_at_a_forbidden_address_is_sent_nothing(
    ask: Callable[[str], None],
    refusal: type[Exception],
    scheme: str,
    pointing: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address of the victim stands for that of a cloud's credentials."""
    with victim() as there:
        pointing("127.0.0.1")
        if scheme == "http":
            ask(f"http://pacs.example:{there.port}/x")
            there.wait_until_over(1)
            assert len(there.received) == 1
        monkeypatch.setattr(addresses, "METADATA", frozenset([ipaddress.ip_address("127.0.0.1")]))
        there.received.clear()
        there.num_connections = there.num_over = 0
        with pytest.raises(refusal, match="never asked") as caught:
            ask(f"{scheme}://pacs.example:{there.port}/x")
        assert not getattr(caught.value, "heals", False)
        there.wait_until_over(1)
        assert (there.num_connections, there.received) == (1, []), "asked once, and nothing was said, not even a hello"


@ASKING
@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "127.1", "[::ffff:127.0.0.1]"])
def test_an_address_in_another_dress_is_the_same(
    ask: Callable[[str], None], refusal: type[Exception], host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with victim() as there:
        monkeypatch.setattr(addresses, "METADATA", frozenset([ipaddress.ip_address("127.0.0.1")]))
        with pytest.raises((refusal, ValidationError)):
            ask(f"http://{host}:{there.port}/x")
        assert there.received == []


@ASKING
@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_proxies_of_the_environment_are_not_used(
    ask: Callable[[str], None], refusal: type[Exception], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del refusal
    with victim() as there, victim() as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        ask(f"http://127.0.0.1:{there.port}/x")
        assert (len(there.received), proxy.num_connections) == (1, 0)
