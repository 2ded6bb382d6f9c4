"""How archives are reached: only where the settings say, with certificates checked, and secrets that stay in files."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from archive_studies import SmallStudy
from pydantic import ValidationError

from lung_nodules.archive.config import choose_archive, read_archives
from lung_nodules.archive.dicomweb import DicomwebArchive
from lung_nodules.archive.fetching import fetch_study
from lung_nodules.archive.opening import open_archive
from lung_nodules.archive.protocol import StudyQuery
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DicomwebSettings, DimseSettings, FolderSettings, RetrySettings, origin_of
from lung_nodules.errors import UsageRefusal
from lung_nodules.settings import Settings

ONCE = RetrySettings(max_tries=1)


def web(**options: Any) -> DicomwebSettings:
    return DicomwebSettings.model_validate({"kind": "dicomweb", "url": "https://a.example/dicom-web"} | options)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "ftp://a.example"},
        {"url": "file:///etc/passwd"},
        {"url": "//a.example"},
        {"url": "https://user:word@a.example"},
        {"url": "https://a.example/?x=1"},
        {"url": "http://127.0.0.1:99999"},
        {"url": "http://127.0.0.1:0"},
        {"url": "http://127.0.0.1:abc"},
        {"url": "http://127.0.0.1:-1"},
        {"url": "http://exa mple.invalid"},
        {"url": "http://exa\nmple.invalid"},
        {"url": "http://a..example"},
        {"url": "http://*.example"},
        {"url": "http://[::1"},
        {"url": "http://[::1]:70000"},
        {"url": "http://a.example/a path"},
        {"change_feed": "orthanc", "change_feed_url": "http://127.0.0.1:99999"},
        {"username": "u"},
        {"password_file": "f"},
        {"username": "u", "password_file": "f", "password_variable": "V"},
        {"bearer_token_file": "f", "bearer_token_variable": "V"},
        {"username": "u", "password_file": "f", "bearer_token_file": "f"},
        {"url": "http://a.example", "bearer_token_file": "f"},
        {"change_feed": "orthanc"},
        {"change_feed": "orthanc", "change_feed_url": "http://a.example", "bearer_token_file": "f"},
        {"client_certificate_file": "f"},
        {"password": "secret"},
        {"verify": False},
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        web(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "http://127.0.0.1:8042/dicom-web", "bearer_token_file": "f"},
        {"url": "http://localhost:8042/dicom-web/", "username": "u", "password_variable": "V"},
        {"url": "http://orthanc:8042", "bearer_token_file": "f", "plain_http_allowed": True},
        {"url": "http://my_orthanc.example.:8042"},
        {"url": "http://[::1]:8042"},
        {"url": "https://röntgen.example"},
        {"url": "https://a.example:65535"},
    ],
)
def test_settings_that_are_meant_are_taken(options: dict[str, Any]) -> None:
    assert not web(**options).url.endswith("/")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:99999", "the port of an address is a number from 1 to 65535"),
        ("http://127.0.0.1:abc", "the port of an address is a number from 1 to 65535"),
        ("http://exa mple.invalid", "an address holds no blanks"),
        ("http://a*b.invalid", "a host is a name or an IP address"),
    ],
)
def test_an_address_that_cannot_exist_is_a_wrong_call(url: str, words: str) -> None:
    with pytest.raises(UsageRefusal, match="bad-settings") as caught:
        choose_archive(url, None)
    assert words in caught.value.sentence


def test_a_host_of_dimse_is_a_name_or_an_address() -> None:
    for host in ("", "exa mple", "pacs:104", "http://pacs"):
        with pytest.raises(ValidationError):
            DimseSettings(kind="dimse", host=host, ae_title="PACS")


def test_a_name_that_no_network_can_look_up_is_a_matter_of_settings(results: list[Path]) -> None:
    """The library that encodes names knows more signs that cannot be in one than a check of ours."""
    with DicomwebArchive(web(url="http://a²b.example"), "test") as archive:
        for call in (archive.check, lambda: list(archive.find_studies(StudyQuery())), lambda: archive.push(results)):
            with pytest.raises(ArchiveRefusal, match="archive-settings") as caught:
                call()
            assert not caught.value.heals


def test_an_ae_title_has_its_form() -> None:
    for title in ("", " A", "A\\B", "A" * 17, "Ä"):
        with pytest.raises(ValidationError):
            DimseSettings(kind="dimse", host="h", ae_title=title)
    assert DimseSettings(kind="dimse", host="h", ae_title="MY PACS").port == 104


def test_an_origin_names_its_port() -> None:
    assert origin_of("https://A.example/x") == "https://a.example:443"
    assert origin_of("http://a.example:8042") == "http://a.example:8042"
    assert origin_of("http://[::1]/") == "http://[::1]:80"
    assert origin_of("https://a.example.evil/") != origin_of("https://a.example/")


@contextmanager
def serve(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server on this machine; its origin."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def recorder() -> tuple[type[BaseHTTPRequestHandler], list[dict[str, str]]]:
    """A handler that answers with no match, and the headers that it was sent."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(204)
            self.send_header("Set-Cookie", "a=b")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    return Handler, seen


def test_a_token_is_read_before_every_request(tmp_path: Path) -> None:
    handler, seen = recorder()
    token = tmp_path / "token"
    with serve(handler) as origin, DicomwebArchive(web(url=origin, bearer_token_file=token), "test") as archive:
        for value in ("first", "second"):
            token.write_text(f"{value}\n")
            archive.check()
        token.write_text("")
        with pytest.raises(ArchiveRefusal, match="archive-settings"):
            archive.check()
    assert [headers["Authorization"] for headers in seen] == ["Bearer first", "Bearer second"]
    assert all("Cookie" not in headers for headers in seen)


def test_a_password_comes_from_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, seen = recorder()
    monkeypatch.setenv("ARCHIVE_PASSWORD", "pass")
    with serve(handler) as origin:
        with DicomwebArchive(web(url=origin, username="u", password_variable="ARCHIVE_PASSWORD"), "test") as archive:
            archive.check()
        monkeypatch.delenv("ARCHIVE_PASSWORD")
        with pytest.raises(ArchiveRefusal, match="archive-settings"):
            DicomwebArchive(web(url=origin, username="u", password_variable="ARCHIVE_PASSWORD"), "test")
    assert [headers["Authorization"] for headers in seen] == ["Basic dTpwYXNz"]


def test_the_environment_leads_nowhere_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a proxy nor a .netrc of the environment is used."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password something\n")
    for name, value in (
        ("HOME", str(tmp_path)),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("http_proxy", "http://127.0.0.1:9"),
    ):
        monkeypatch.setenv(name, value)
    handler, seen = recorder()
    with serve(handler) as origin, DicomwebArchive(web(url=origin, retries=ONCE), "test") as archive:
        archive.check()
    assert "Authorization" not in seen[0]


def test_a_certificate_is_checked(certificate: tuple[Path, Path]) -> None:
    handler, seen = recorder()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serve(handler, context) as origin:
        with DicomwebArchive(web(url=origin, retries=ONCE), "test") as archive:
            with pytest.raises(ArchiveRefusal, match="archive-tls") as caught:
                archive.check()
            assert not caught.value.heals
        assert seen == []
        with DicomwebArchive(web(url=origin, ca_file=certificate[0]), "test") as archive:
            archive.check()
        other_name = origin.replace("127.0.0.1", "localhost")
        settings = web(url=other_name, ca_file=certificate[0], retries=ONCE)
        with DicomwebArchive(settings, "test") as archive, pytest.raises(ArchiveRefusal, match="archive-tls"):
            archive.check()


def test_a_missing_certificate_file_has_a_name(tmp_path: Path) -> None:
    settings = web(url="https://127.0.0.1:9", ca_file=tmp_path / "none.pem", retries=ONCE)
    with DicomwebArchive(settings, "test") as archive, pytest.raises(ArchiveRefusal, match="archive-settings"):
        archive.check()


def test_nobody_there_has_a_name() -> None:
    with (
        DicomwebArchive(web(url="http://127.0.0.1:9", retries=ONCE), "test") as archive,
        pytest.raises(ArchiveRefusal, match="archive-unreachable") as caught,
    ):
        list(archive.find_studies(StudyQuery(patient_id="SECRET")))
    assert caught.value.heals
    assert "SECRET" not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.sentence}"


@pytest.mark.service
@pytest.mark.parametrize("kind", ["web", "dimse"])
def test_lines_tell_nothing(
    request: pytest.FixtureRequest, kind: str, study: SmallStudy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with open_archive(request.getfixturevalue(kind), "test") as archive:
        list(archive.find_studies(StudyQuery(patient_id="LZ 127")))
        fetch_study(archive, study.uid, None, tmp_path, Settings())
        archive.push(study.files[:2])
    assert "series fetched" in caplog.text
    for secret in (study.uid, study.thin.series_uid, "LZ", "ZEPPELIN", "PatientID"):
        assert secret not in caplog.text


def test_archives_are_named_in_a_file(tmp_path: Path) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(
        "port: 8080\narchives:\n  here: {kind: folder, path: /data}\n"
        "  pacs: {kind: dimse, host: pacs.example, ae_title: PACS, retrieval: move}\n"
        "  web: {kind: dicomweb, url: 'https://a.example/dicom-web', bearer_token_file: /run/secrets/token}\n"
    )
    named = read_archives(config)
    assert [each.kind for each in named.values()] == ["folder", "dimse", "dicomweb"]
    assert choose_archive("pacs", config) == ("pacs", named["pacs"])


def test_an_archive_may_be_an_address_or_a_folder(tmp_path: Path) -> None:
    assert choose_archive(str(tmp_path), None)[1] == FolderSettings(kind="folder", path=tmp_path)
    chosen = choose_archive("http://127.0.0.1:8042/dicom-web", None)[1]
    assert isinstance(chosen, DicomwebSettings)
    with pytest.raises(UsageRefusal, match="no-archive"):
        choose_archive("pacs", None)
    with pytest.raises(UsageRefusal, match="bad-settings"):
        choose_archive("http://user:word@127.0.0.1/", None)


@pytest.mark.parametrize(
    "text", ["archives: {a: {kind: folder}}", "archives: {a: {kind: other}}", "archives: [", "archives: 3", "- a"]
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(text)
    with pytest.raises(UsageRefusal, match="bad-settings"):
        read_archives(config)


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    config = tmp_path / "service.yaml"
    config.write_text("archives: {a: {kind: dicomweb, url: 'https://a.example', password: hunter2}}")
    with pytest.raises(UsageRefusal) as caught:
        read_archives(config)
    assert "hunter2" not in str(caught.value)
