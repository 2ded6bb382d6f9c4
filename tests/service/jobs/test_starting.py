"""What is looked at before the service starts: a set-up that cannot work is one sentence and an exit code."""

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager

import fixed_analysis
import httpx2
import pytest
from service_fixtures import TESTS, short_folder

from lung_nodules.errors import ExitCode, UsageRefusal
from lung_nodules.service.settings import read_service_settings
from lung_nodules.service.starting import check_address, check_data_folder, join_address
from lung_nodules.service.supervisor import Child, PartRefused, Supervisor


@contextmanager
def taken_port():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def free_port(family=socket.AF_INET, host="127.0.0.1"):
    with socket.socket(family) as free:
        free.bind((host, 0))
        return free.getsockname()[1]


def order_to_serve(folder, values, *arguments):
    config = folder / "service.yaml"
    analysis = {"workers": {"analysis": fixed_analysis.NAME}}
    config.write_text(json.dumps({"data_folder": str(folder / "data"), "port": free_port(), **analysis, **values}))
    return [sys.executable, "-m", "lung_nodules", "serve", "--config", str(config), *arguments]


def serve(folder, values, *arguments):
    """What `serve` says, and the code that it ends with, of itself."""
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    order = order_to_serve(folder, values, *arguments)
    ended = subprocess.run(order, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stderr.splitlines()


def test_a_data_folder_is_made_and_has_to_be_one(tmp_path):
    check_data_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageRefusal) as caught:
            check_data_folder(path)
        assert caught.value.code == "data-folder-unusable"


def test_an_address_is_tried_and_left():
    port = free_port()
    check_address("The API", "127.0.0.1", port)
    check_address("The API", "127.0.0.1", port)
    with taken_port() as taken, pytest.raises(UsageRefusal, match=f"The API cannot listen on 127.0.0.1:{taken}: Addr"):
        check_address("The API", "127.0.0.1", taken)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "a" * 70, "a..b"])
def test_a_host_that_is_not_this_machine_is_refused(host):
    with pytest.raises(UsageRefusal) as caught:
        check_address("The API", host, 8080)
    assert caught.value.code == "address-unusable"


@pytest.mark.parametrize(
    ("host", "expected"), [("127.0.0.1", "127.0.0.1:80"), ("::1", "[::1]:80"), ("localhost", "localhost:80")]
)
def test_an_ipv6_address_stands_in_brackets(host, expected):
    assert join_address(host, 80) == expected


@pytest.mark.parametrize(
    ("num_starts", "code", "ends"), [(1, 2, True), (1, 4, True), (1, 1, False), (1, 3, False), (2, 2, False)]
)
def test_only_a_first_start_that_is_refused_ends_the_service(tmp_path, num_starts, code, ends):
    with subprocess.Popen([sys.executable, "-c", f"raise SystemExit({code})"]) as process:
        process.wait()
    supervisor = Supervisor(read_service_settings(None, {"data_folder": tmp_path}), frozenset({"api"}))
    child = Child("api", (), process, num_starts=num_starts)
    child.started_at = float("inf")  # it has lived for less than any time
    if not ends:
        supervisor._bury(child)
        assert child.process is None
        return
    with pytest.raises(PartRefused) as caught:
        supervisor._bury(child)
    assert caught.value.exit_code is ExitCode(code)


@pytest.mark.service
def test_serving_on_a_port_that_is_taken_ends(tmp_path):
    with taken_port() as port:
        code, said = serve(tmp_path, {"port": port})
        assert (code, len(said)) == (2, 1)
        assert "[address-unusable]" in said[0]
        for parts in ((), ("--only", "listener")):
            code, said = serve(tmp_path, {"listener": {"port": port}}, *parts)
            assert (code, len(said)) == (2, 1)
            assert "The listener cannot listen" in said[0]


@pytest.mark.service
def test_serving_without_models_ends(tmp_path):
    workers = {"workers": {"count": 1}}
    code, said = serve(tmp_path, workers, "--model", str(tmp_path / "nomodels"))
    assert (code, len(said)) == (4, 1)
    assert "[model-missing]" in said[0]


@pytest.mark.service
@pytest.mark.parametrize("parts", [(), ("--only", "api"), ("--only", "listener")])
def test_serving_from_a_file_ends(tmp_path, parts):
    (tmp_path / "file").touch()
    code, said = serve(tmp_path, {"listener": {"port": free_port()}}, "--data", str(tmp_path / "file"), *parts)
    assert (code, len(said)) == (2, 1)
    assert "[data-folder-unusable]" in said[0]


@pytest.mark.service
@pytest.mark.parametrize("parts", [("api",), ("api", "workers"), ("listener",)])
def test_serving_without_a_database_ends(tmp_path, parts):
    more = {"database": {"connect_timeout_s": 1}, "listener": {"port": free_port()}}
    code, said = serve(tmp_path, more, *[word for part in parts for word in ("--only", part)])
    assert (code, len(said)) == (2, 1)
    assert "[database-unreachable]" in said[0]


@pytest.mark.service
def test_a_part_that_cannot_run_as_it_is_set_up_ends_the_service(settings, tmp_path):
    more = {"database": {"url_file": str(settings.database.url_file)}, "watch": {"archive": "files"}}
    archives = {"archives": {"files": {"kind": "folder", "path": str(tmp_path)}}}
    code, said = serve(tmp_path, {**more, **archives}, "--only", "watch")
    assert code == 2
    assert "[nothing-to-watch]" in said[0]
    assert "[part-refused]" in said[-1]
    assert "Traceback" not in "".join(said)


@pytest.mark.service
def test_port_0_is_refused(tmp_path):
    code, said = serve(tmp_path, {}, "--port", "0")
    assert (code, len(said)) == (2, 1)
    assert "setting port is not valid" in said[0]


@pytest.mark.service
@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_the_address_that_is_told_can_be_asked():
    with short_folder() as folder:
        port = free_port(socket.AF_INET6, "::1")
        order = order_to_serve(folder, {"port": port}, "--host", "::1", "--only", "database", "--only", "api")
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        process = subprocess.Popen(order, env=environment, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        with closing(process.stderr):
            try:
                address = process.stderr.readline().split()[-1]
                assert address == f"http://[::1]:{port}"
                with httpx2.Client(trust_env=False) as client:
                    assert ask_patiently(client, f"{address}/health/live") == 200
            finally:
                process.terminate()
                process.wait(30)


def ask_patiently(client, url):
    deadline = time.monotonic() + 30
    while True:
        try:
            return client.get(url).status_code
        except httpx2.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
