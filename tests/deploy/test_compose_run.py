"""The services of deploy/compose.yaml, built from Debian's packages and npm's, started and used for real.

A study is sent to the archive as a scanner would; the watcher, a worker and the API do the rest. `make test-compose`.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from programs import REPOSITORY
from pydicom.uid import CTImageStorage
from pynetdicom.ae import ApplicationEntity

from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec

pytestmark = [pytest.mark.compose, pytest.mark.timeout(3000)]

FILES = ("deploy/compose.yaml", "deploy/compose.debian.yaml")
OURS = ("api", "worker", "watcher")


@dataclass(frozen=True)
class Stack:
    """The running services."""

    command: tuple[str, ...]
    environment: dict[str, str]
    page: str
    viewer: str
    dicom_port: int

    def compose(self, *words: str) -> str:
        """Run docker-compose; what it says on standard output."""
        done = subprocess.run(
            [*self.command, *words], cwd=REPOSITORY, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).split()[0]
        told = subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True)
        found: dict[str, Any] = json.loads(told.stdout)[0]
        return found

    def get(self, url: str) -> Any:
        """JSON from an address; None where it does not answer yet."""
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def wait_for(what: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(1)
    return None


def quickened(folder: Path) -> Path:
    """A compose file that lets a study be complete, and read, in seconds; nothing else differs."""
    line = {"detection": {"max_candidates": 12}, "segmentation": {"num_flips": 1}, "classification": {"num_flips": 1}}
    (folder / "line.yaml").write_text(yaml.safe_dump({"lung_nodules": line}), encoding="utf-8")
    orthanc = json.loads((REPOSITORY / "deploy" / "compose" / "orthanc.json").read_text(encoding="utf-8"))
    (folder / "orthanc.json").write_text(json.dumps({**orthanc, "StableAge": 5}), encoding="utf-8")
    ours = {
        "environment": {"LUNG_NODULES_SERVICE__LINE_CONFIG": "/configuration/line.yaml"},
        "volumes": [f"{folder}/line.yaml:/configuration/line.yaml:ro"],
    }
    archive = {"volumes": [f"{folder}/orthanc.json:/configuration/orthanc.json:ro"]}
    path = folder / "compose.yaml"
    path.write_text(yaml.safe_dump({"services": {**dict.fromkeys(OURS, ours), "archive": archive}}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    program = shutil.which("docker-compose")
    if program is None or subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers, or there is no docker-compose: make test-compose")
    subprocess.run([REPOSITORY / "deploy" / "compose" / "prepare.sh"], check=True)
    page, viewer, dicom = free_port(), free_port(), free_port()
    environment = {
        **os.environ,
        "LUNG_NODULES_PAGE": f"127.0.0.1:{page}",
        "LUNG_NODULES_VIEWER": f"127.0.0.1:{viewer}",
        "LUNG_NODULES_DICOM": f"127.0.0.1:{dicom}",
        "LUNG_NODULES_IMAGE": "lung-nodules-service:test",
    }
    folder = tmp_path_factory.mktemp("compose")
    folder.chmod(0o755)  # a container's user reads what is in it
    files = [word for name in (*FILES, str(quickened(folder))) for word in ("-f", name)]
    command = (program, "-p", "lung-nodules-test", *files)
    started = Stack(command, environment, f"http://127.0.0.1:{page}", f"http://127.0.0.1:{viewer}", dicom)
    started.compose("down", "--volumes")
    started.compose("up", "--build", "--detach")
    try:
        yield started
        if log := os.environ.get("LUNG_NODULES_COMPOSE_LOG"):
            Path(log).write_text(started.compose("logs", "--no-color"), encoding="utf-8")
    finally:
        started.compose("down", "--volumes", "--timeout", "30")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[pydicom.Dataset]:
    """A chest CT of 100 slices of 128 x 128 pixels with two nodules."""
    settings = PhantomSettings(
        nodules=(NoduleSpec(diameter_mm=24), NoduleSpec(diameter_mm=16)),
        num_slices=100,
        slice_spacing_mm=3.0,
        rows=128,
        columns=128,
        pixel_spacing_mm=2.8,
    )
    folder = write_phantom(tmp_path_factory.mktemp("study"), settings).dicom_folder
    read = [pydicom.dcmread(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    return [dataset for dataset in read if dataset.SOPClassUID == CTImageStorage]


def test_it_becomes_ready(stack: Stack) -> None:
    health = wait_for(lambda: _ready(stack), 600)
    assert health, stack.compose("logs", "--tail", "30")
    assert wait_for(lambda: stack.inspect("api")["State"]["Health"]["Status"] == "healthy", 120)


def _ready(stack: Stack) -> Any:
    health = stack.get(f"{stack.page}/health/ready")
    return health if health and health["ready"] else None


def test_the_page_and_the_viewer_are_served(stack: Stack) -> None:
    for address, word in ((stack.page, "<html"), (stack.viewer, "OHIF")):
        with urllib.request.urlopen(f"{address}/", timeout=10) as answer:
            assert word.lower() in answer.read().decode().lower()
    with urllib.request.urlopen(f"{stack.viewer}/app-config.js", timeout=10) as answer:
        assert "/dicom-web" in answer.read().decode()


def test_the_metrics_stay_behind_the_door(stack: Stack) -> None:
    for path in ("/metrics", "/metrics/", "//metrics", "/%6detrics", "/metrics?x=1"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{stack.page}{path}", timeout=10)


def test_the_door_lets_a_viewer_read_and_nobody_write(stack: Stack) -> None:
    assert stack.get(f"{stack.viewer}/dicom-web/studies") is not None
    request = urllib.request.Request(f"{stack.viewer}/dicom-web/studies", data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=10)
    foreign = urllib.request.Request(f"{stack.viewer}/dicom-web/studies", headers={"Host": "name.example:8081"})
    with pytest.raises(urllib.error.HTTPError, match="421"):
        urllib.request.urlopen(foreign, timeout=10)


def test_a_study_that_is_sent_comes_back_with_results(stack: Stack, study: list[pydicom.Dataset]) -> None:
    """By C-STORE into the archive; found by its change feed, read by a worker, stored by STOW-RS, told by the API."""
    entity = ApplicationEntity("SCANNER")
    for syntax in {dataset.file_meta.TransferSyntaxUID for dataset in study}:
        entity.add_requested_context(CTImageStorage, syntax)
    association = entity.associate("127.0.0.1", stack.dicom_port, ae_title="ORTHANC")
    assert association.is_established
    assert {association.send_c_store(dataset).Status for dataset in study} == {0}
    association.release()
    job = wait_for(lambda: _ended(stack), 900)
    assert job, stack.compose("logs", "--tail", "40", "watcher", "worker")
    assert job["state"] == "done", job["reason"]
    series = stack.get(f"{stack.viewer}/dicom-web/studies/{study[0].StudyInstanceUID}/series")
    assert {each["00080060"]["Value"][0] for each in series} == {"CT", "SEG", "SR"}
    report = stack.get(f"{stack.page}/v1/jobs/{job['id']}/report")
    assert report["study"]["study_instance_uid"] == study[0].StudyInstanceUID
    assert report["findings"]


def _ended(stack: Stack) -> Any:
    jobs = (stack.get(f"{stack.page}/v1/jobs") or {}).get("jobs") or []
    return next((job for job in jobs if job["state"] not in ("queued", "running")), None)


def test_a_worker_that_is_killed_comes_back(stack: Stack) -> None:
    state = stack.inspect("worker")["State"]
    os.kill(state["Pid"], 9)
    assert wait_for(lambda: stack.inspect("worker")["State"]["Pid"] not in (0, state["Pid"]), 60)
    assert wait_for(lambda: _ready(stack), 120)


def test_the_containers_are_as_closed_as_the_file_says(stack: Stack) -> None:
    for service in (*OURS, "database", "archive", "viewer"):
        container = stack.inspect(service)
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"] is True
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert min(host["Memory"], host["NanoCpus"], host["PidsLimit"]) > 0
        assert not container["Config"]["User"].startswith("0")
        status = Path(f"/proc/{container['State']['Pid']}/status").read_text(encoding="utf-8")
        fields = dict(line.split(":", 1) for line in status.splitlines())
        assert fields["Uid"].split()[0] != "0"
        assert int(fields["CapEff"], 16) == 0
        assert fields["NoNewPrivs"].strip() == "1"
        for bindings in (container["NetworkSettings"]["Ports"] or {}).values():
            assert all(binding["HostIp"] == "127.0.0.1" for binding in bindings or ())


def test_no_secret_is_in_an_image_or_a_log(stack: Stack) -> None:
    secrets = [
        path.read_text(encoding="utf-8")
        for path in (REPOSITORY / "deploy" / "compose" / "secrets").iterdir()
        if path.name.endswith("password")
    ]
    assert len(secrets) == 2
    said = stack.compose("logs", "--no-color")
    for service in (*OURS, "database", "archive", "viewer"):
        container = stack.inspect(service)
        said += json.dumps(container["Config"])
        history = ["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", container["Image"]]
        said += subprocess.run(history, capture_output=True, text=True, check=True).stdout
    assert not any(secret in said for secret in secrets)


def test_logs_name_no_patient(stack: Stack, study: list[pydicom.Dataset]) -> None:
    said = stack.compose("logs", "--no-color", *OURS, "viewer")
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID"):
        assert str(study[0][keyword].value) not in said


def test_the_image_lists_what_is_in_it(stack: Stack) -> None:
    command = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "cat", "lung-nodules-service:test"]
    done = subprocess.run([*command, "/opt/lung-nodules/sbom.cdx.json"], capture_output=True, check=True)
    listed = {component["name"] for component in json.loads(done.stdout)["components"]}
    assert {"torch", "fastapi", "psycopg", "pydicom"} <= listed
    assert "holoscan-cu13" not in listed
    assert stack.inspect("worker")["Config"]["Image"] == "lung-nodules-service:test"
