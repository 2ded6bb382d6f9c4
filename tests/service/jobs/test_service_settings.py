from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lung_nodules.archive.settings import is_loopback
from lung_nodules.errors import UsageRefusal
from lung_nodules.service.settings import ServiceSettings, read_secret, read_service_settings


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_arguments_beat_the_environment_which_beats_the_file(tmp_path, monkeypatch):
    config = write(tmp_path / "service.yaml", "port: 1\nworkers: {count: 1, time_limit_s: 5}\nqueue: {max_length: 7}\n")
    monkeypatch.setenv("LUNG_NODULES_SERVICE__WORKERS__COUNT", "2")
    monkeypatch.setenv("LUNG_NODULES_SERVICE__PORT", "2")
    settings = read_service_settings(config, {"port": 3})
    assert (settings.port, settings.workers.count, settings.workers.time_limit_s) == (3, 2, 5.0)
    assert settings.queue.max_length == 7
    assert settings.queue.retry_after_s == 60


def test_the_file_may_be_named_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("LUNG_NODULES_SERVICE_CONFIG", str(write(tmp_path / "service.yaml", "port: 4\n")))
    assert read_service_settings().port == 4


@pytest.mark.parametrize(
    "text",
    [
        "port: high",
        "no_such_setting: 1",
        "workers: {lease_s: 5, heartbeat_s: 5}",
        "workers: {analysis: 'os; import'}",
        "destinations: [nowhere]",
        "watch: {archive: nowhere}",
        "webhook: {url: 'file:///etc/passwd'}",
        "[1, 2",
        "just words",
    ],
)
def test_bad_settings_are_a_refusal(tmp_path, text):
    with pytest.raises(UsageRefusal) as caught:
        read_service_settings(write(tmp_path / "service.yaml", text))
    assert caught.value.code == "bad-settings"


@pytest.mark.parametrize(
    "origin",
    [
        *("*", "https://*", "https://*.example", "null", "", "https://", "https:///x", "//a.example", "a.example"),
        *("https://a.example/", "https://a.example/p", "https://a.example?", "https://a.example#x", "ftp://a.example"),
        *("https://u@a.example", "https://u:p@a.example", "https://a b.example", "https://a.example,https://b.example"),
        *("https://a.example:", "https://a.example:0", "https://a.example:70000", "https://a.example:x"),
        "https://ä.example",
    ],
)
def test_what_is_no_origin_may_not_call(origin):
    with pytest.raises(UsageRefusal, match="cors_origins"):
        read_service_settings(None, {"cors_origins": ["https://viewer.example", origin]})


def test_origins_are_written_as_browsers_write_them():
    given = ("http://127.0.0.1:3000", "HTTPS://Viewer.example:443", "http://[::1]:8080", "http://a.example:443")
    wanted = ("http://127.0.0.1:3000", "https://viewer.example", "http://[::1]:8080", "http://a.example:443")
    assert read_service_settings(None, {"cors_origins": given}).cors_origins == wanted


def test_a_missing_file_is_a_refusal(tmp_path):
    with pytest.raises(UsageRefusal, match="no settings file"):
        read_service_settings(tmp_path / "missing.yaml")


@pytest.mark.parametrize("mode", ["none", "static"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", "127.0.0.1.example.org", ""])
def test_nobody_is_served_unasked_on_an_address_that_others_reach(host, mode):
    with pytest.raises(UsageRefusal) as caught:
        read_service_settings(None, {"host": host, "auth": {"mode": mode}})
    assert caught.value.code == "insecure-address"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_loopback_is_for_everybody_on_this_machine(host):
    assert read_service_settings(None, {"host": host}).host == host


def test_with_oidc_any_address_will_do():
    assert read_service_settings(None, {"host": "0.0.0.0", "auth": {"mode": "oidc"}}).host == "0.0.0.0"


@given(st.text(max_size=30))
def test_no_text_is_loopback_by_accident(text):
    assert not is_loopback(text) or text == "localhost" or text.startswith(("127.", "::1", "::ffff:127."))


def test_a_secret_is_the_content_of_its_file(tmp_path):
    assert read_secret(write(tmp_path / "secret", "hunter2\n")) == "hunter2"
    for bad in (tmp_path / "missing", write(tmp_path / "empty", " \n")):
        with pytest.raises(UsageRefusal) as caught:
            read_secret(bad)
        assert "hunter2" not in caught.value.sentence


def test_settings_survive_the_way_to_a_child(tmp_path):
    archives = {"pacs": {"kind": "dicomweb", "url": "http://127.0.0.1:8042/dicom-web"}}
    settings = read_service_settings(None, {"archives": archives, "destinations": ["pacs"], "data_folder": tmp_path})
    path = write(tmp_path / "settings.yaml", settings.model_dump_json())
    assert read_service_settings(path).model_dump() == settings.model_dump()
    assert ServiceSettings.model_validate_json(settings.model_dump_json()).model_dump() == settings.model_dump()
