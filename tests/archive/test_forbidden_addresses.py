"""Where no connection is used, whatever name leads there: tested with names that are let point at servers of ours."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from pydantic import ValidationError
from real_orthanc import free_port

from lung_nodules.archive import addresses
from lung_nodules.archive.addresses import is_forbidden
from lung_nodules.archive.opening import open_archive
from lung_nodules.archive.protocol import Archive
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DicomwebSettings, DimseSettings
from lung_nodules.service.jobs.model import JobState
from lung_nodules.service.jobs.webhook import JobEnd, WebhookRefusal, send_webhook
from lung_nodules.service.security.keys import IssuerKeys
from lung_nodules.service.settings import AuthSettings, WebhookSettings


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
    with pytest.raises(ValidationError, match="never asked"):
        DimseSettings(kind="dimse", host=address, ae_title="PACS")
    for name in ("issuer", "jwks_url"):
        with pytest.raises(ValidationError, match="never asked"):
            AuthSettings.model_validate({name: f"https://{host}/keys"})


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


@contextmanager
def dimse(port: int) -> Iterator[Archive]:
    retries = {"max_tries": 3, "first_wait_s": 0.01}
    values = {"kind": "dimse", "host": "pacs.example", "port": port, "ae_title": "PACS", "retries": retries}
    with open_archive(DimseSettings.model_validate(values)) as archive:
        yield archive


def test_a_name_of_a_dimse_archive_is_not_followed_to_a_forbidden_address(
    pointing: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pointing("127.0.0.1")
    monkeypatch.setattr(addresses, "METADATA", frozenset([ipaddress.ip_address("127.0.0.1")]))
    with victim() as there, dimse(there.port) as archive:
        with pytest.raises(ArchiveRefusal, match="never asked") as caught:
            archive.check()
        assert not caught.value.heals
        assert there.num_connections == 0


def test_what_was_looked_at_is_what_a_dimse_archive_is_asked_at(
    pointing: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere when it is looked up again: it is not looked up again."""
    pointing("127.0.0.1")
    resolve = socket.getaddrinfo
    looked_up = []

    def note(host: Any, *arguments: Any, **more: Any) -> Any:
        looked_up.append(host)
        return resolve(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", note)
    with dimse(free_port()) as archive, pytest.raises(ArchiveRefusal, match="archive-unreachable"):
        archive.check()  # an association, and then why it failed
    assert looked_up.count("pacs.example") == 1


def test_a_name_that_leads_nowhere_is_an_archive_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", find_nothing)
    with dimse(104) as archive, pytest.raises(ArchiveRefusal, match="archive-unreachable") as caught:
        archive.check()
    assert caught.value.heals


def test_no_keys_come_from_a_forbidden_address(
    pointing: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pointing("127.0.0.1")
    monkeypatch.setattr(addresses, "METADATA", frozenset([ipaddress.ip_address("127.0.0.1")]))
    with victim() as there:
        keys = IssuerKeys(f"https://pacs.example:{there.port}/keys")
        for why in ("forbidden address", "a moment ago"):
            with pytest.raises(jwt.PyJWKClientConnectionError, match=why):
                keys.fetch_data()
        there.wait_until_over(1)
        assert (there.num_connections, there.received) == (1, []), "asked once, and nothing was said, not even a hello"


@contextmanager
def serving_keys(certificate: tuple[Path, Path]) -> Iterator[int]:
    """An issuer that lists no keys, by TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"keys": []}')

        def log_message(self, *_: Any) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_certificates_are_checked_where_keys_come_from(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_keys(certificate) as port:
        with pytest.raises(jwt.PyJWKClientConnectionError, match="certificate verify failed"):
            IssuerKeys(f"https://127.0.0.1:{port}/keys").fetch_data()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        with pytest.raises(jwt.PyJWKClientConnectionError, match="certificate verify failed"):
            IssuerKeys(f"https://localhost:{port}/keys").fetch_data()
        with pytest.raises(jwt.PyJWKSetError, match="any keys"):
            IssuerKeys(f"https://127.0.0.1:{port}/keys").fetch_data()
