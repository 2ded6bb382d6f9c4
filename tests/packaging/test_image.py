"""The built image, run as its hosts run it. `make test-map` builds it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import REPOSITORY

from lung_nodules.errors import ExitCode
from lung_nodules.packaging.manifests import ENVIRONMENT, Software, render_manifests
from lung_nodules.packaging.sizes import measure_image
from lung_nodules.packaging.staging import StagedApplication

pytestmark = [pytest.mark.map, pytest.mark.slow]

LARGEST_BYTES = 2.5e9
RESULTS = {"report.json", "segmentation.dcm", "findings.png"}

Docker = Callable[..., "subprocess.CompletedProcess[str]"]


def docker(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=500)


def inspect(image: str) -> dict[str, Any]:
    (found,) = json.loads(docker("image", "inspect", image).stdout)
    return found["Config"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@pytest.fixture
def mounts(study: Path, config: Path, out: Path) -> list[str]:
    """The study, settings for a short run, and a folder for the results."""
    return [
        *("--network", "none"),
        *("-v", f"{study}:/var/holoscan/input:ro"),
        *("-v", f"{config}:/var/holoscan/app.yaml:ro"),
        *("-v", f"{out}:/var/holoscan/output"),
    ]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_is_described_by_labels_environment_and_entry(image: str) -> None:
    config = inspect(image)
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "Lung nodules"
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])
    assert {"base", "tag", "org.nvidia.holoscan", "org.monai.deploy.app-sdk"} <= set(labels)
    environment = dict(line.split("=", 1) for line in config["Env"])
    assert environment.items() >= ENVIRONMENT.items()
    assert not [name for name in environment if name.startswith(("PIP_", "SSL_")) or "PROXY" in name.upper()]
    assert config["Entrypoint"] == ["/var/holoscan/tools"]
    assert not config["Cmd"], "without parameters the application runs"
    assert config["WorkingDir"].rstrip("/") == "/var/holoscan"


def test_show_prints_what_the_specification_asks_for(image: str, staged: StagedApplication) -> None:
    expected = render_manifests(staged.application / "app.yaml", staged.models, Software("4.0.0", "2.13.0+cpu"))
    for name in ("app", "pkg"):
        done = docker("run", "--rm", "--network", "none", image, "show", name)
        assert json.loads(done.stdout) == expected[f"{name}.json"], done.stderr
    version = inspect(image)["Labels"]["org.opencontainers.image.version"]
    assert expected["app.json"]["version"] == expected["pkg.json"]["version"] == version
    both = docker("run", "--rm", "--network", "none", image, "show").stdout
    assert '"command"' in both
    assert '"resources"' in both


def test_extract_copies_everything(image: str, staged: StagedApplication, tmp_path: Path) -> None:
    done = docker("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/var/run/holoscan/export", image, "extract")
    assert done.returncode == 0, done.stderr
    assert names_in(tmp_path) == {"app", "config", "models", "docs"}
    assert names_in(tmp_path / "config") == {"app.yaml", "app.json", "pkg.json"}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "third-party"} <= names_in(tmp_path / "docs")
    for name in ("detection", "segmentation", "classification"):
        weights = Path("models") / name / "weights.safetensors"
        assert (tmp_path / weights).read_bytes() == (staged.folder / weights).read_bytes()
    assert (tmp_path / "app" / "__main__.py").read_bytes() == (staged.application / "__main__.py").read_bytes()


def test_extract_fills_the_parts_that_are_mounted(image: str, tmp_path: Path) -> None:
    for part in ("config", "models"):
        (tmp_path / part).mkdir()
    exports = [f"-v{tmp_path / part}:/var/run/holoscan/export/{part}" for part in ("config", "models")]
    done = docker("run", "--rm", "--network", "none", *exports, image, "extract")
    assert done.returncode == 0, done.stderr
    assert names_in(tmp_path / "config") == {"app.yaml", "app.json", "pkg.json"}
    assert names_in(tmp_path / "models") == {"detection", "segmentation", "classification"}


def test_it_runs_for_a_stranger_on_a_closed_system(image: str, mounts: list[str], out: Path) -> None:
    """An unknown user without a home, 64 MB of shared memory, no network, and nothing to write to but /tmp and OUT."""
    out.chmod(0o777)
    closed = ["--user", "54321:54321", "--read-only", "--tmpfs", "/tmp", "--shm-size", "64m", "--cap-drop", "ALL"]
    home = ["--entrypoint", "/usr/bin/env", image, "-u", "HOME", "/var/holoscan/tools"]
    done = docker("run", "--rm", *closed, "--security-opt", "no-new-privileges", *mounts, *home)
    assert done.returncode == 0, done.stderr
    assert names_in(out) >= RESULTS
    assert (out / "report.json").stat().st_uid == 54321
    networks = re.search(r"networks: ([\d.]+) s", done.stderr)
    assert networks
    assert float(networks[1]) < 10, "the converted networks are in the image: nothing is converted, nothing is stored"


def test_the_gateways_entry_runs_the_application(image: str, mounts: list[str], out: Path) -> None:
    """The Task Manager always replaces the image's entry by its own."""
    done = docker("run", "--rm", "--entrypoint", "/bin/bash", *mounts, image, "-c", "python3 /opt/holoscan/app")
    assert done.returncode == 0, done.stderr
    assert names_in(out) >= RESULTS


@pytest.mark.parametrize(
    ("given", "arguments", "code"),
    [
        ([], ["--nonsense"], ExitCode.BAD_USAGE),
        (["-v", "{empty}:/var/holoscan/input:ro"], [], ExitCode.NO_USABLE_CT),
        ([], ["--model", "/nowhere"], ExitCode.BAD_MODEL),
        (["-v", "{empty}:/var/holoscan/output:ro"], [], ExitCode.OUTPUT_NOT_WRITTEN),
    ],
)
def test_exit_codes_arrive(image: str, tmp_path: Path, given: list[str], arguments: list[str], code: ExitCode) -> None:
    options = [text.format(empty=tmp_path) for text in given]
    done = docker("run", "--rm", "--network", "none", *options, image, *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("waited_for", ["", "instances:", "results"])
def test_a_stop_reaches_the_application_and_leaves_nothing(
    image: str, mounts: list[str], out: Path, waited_for: str
) -> None:
    """Right after the start, while it reads, and while it writes."""
    name = f"lung-nodules-stop-{os.getpid()}-{time.monotonic_ns()}"
    started = docker("run", "--detach", "--name", name, *mounts, image)
    assert started.returncode == 0, started.stderr
    try:
        marker = {"results": "report:"}.get(waited_for, waited_for)
        while marker not in docker("logs", name).stderr:
            assert docker("container", "top", name).returncode == 0, docker("logs", name).stderr
            time.sleep(0.05)
        begun = time.monotonic()
        docker("stop", "--time", "10", name)
        seconds = time.monotonic() - begun
        (state,) = json.loads(docker("container", "inspect", name).stdout)
        said = docker("logs", name).stderr
    finally:
        docker("rm", "--force", name)
    ended_before = state["State"]["ExitCode"] == 0
    assert ended_before or state["State"]["ExitCode"] == 128 + 15, said
    assert seconds < 1 + 0.5, "a second for the application, and the engine's own time"
    assert names_in(out) >= RESULTS if ended_before else names_in(out) == set()
    assert ended_before == ("Results are in" in said)
    assert not ended_before or waited_for == "results"


@pytest.mark.real_data
def test_it_finds_in_a_real_scan_what_the_application_finds_outside(
    image: str, staged: StagedApplication, shared_data: Path, out: Path, tmp_path: Path
) -> None:
    scan = shared_data / "lidc-scans" / "LIDC-IDRI-0001"
    outside = subprocess.run(
        [sys.executable, staged.application, "-i", scan, "-o", tmp_path / "outside", "-m", staged.models],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert outside.returncode == 0, outside.stderr
    folders = ["-v", f"{scan}:/var/holoscan/input:ro", "-v", f"{out}:/var/holoscan/output"]
    inside = docker("run", "--rm", "--network", "none", *folders, image)
    assert inside.returncode == 0, inside.stderr
    one, other = (json.loads((folder / "report.json").read_text()) for folder in (out, tmp_path / "outside"))
    assert one["findings"]
    assert json.dumps(one["findings"]) == json.dumps(other["findings"])
    for report in (one, other):
        report.pop("run")
    assert one == other
    for path in (tmp_path / "outside").glob("*.dcm"):
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_nothing_of_the_machine_that_built_it_is_in_it(image: str) -> None:
    look = "ls -d /host; find / -xdev -name '*.whl' -not -path '/usr/*'; env; cat /etc/pip.conf"
    seen = docker("run", "--rm", "--network", "none", "--entrypoint", "/bin/sh", image, "-c", look).stdout
    assert "/host" not in seen
    assert ".whl" not in seen
    assert "PIP_" not in seen
    history = docker("history", "--no-trunc", image).stdout
    assert "pip install" not in history, "only the finished environment is copied"


def test_its_size_is_within_bounds_and_stated(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = measure_image(image)
    assert sizes.total_bytes < LARGEST_BYTES
    assert sum(part.num_bytes for part in sizes.parts) == pytest.approx(sizes.total_bytes, rel=0.03)
    with capsys.disabled():
        sys.stdout.write(f"\n{image}: {sizes.total_bytes / 1e9:.2f} GB uncompressed\n")


def test_it_starts_quickly(image: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From `docker run` to where the application has looked at its (empty) input: container, imports, networks."""
    begun = time.monotonic()
    done = docker("run", "--rm", "--network", "none", "-v", f"{tmp_path}:/var/holoscan/input:ro", image)
    seconds = time.monotonic() - begun
    assert done.returncode == ExitCode.NO_USABLE_CT, done.stderr
    with capsys.disabled():
        sys.stdout.write(f"\n{image}: starts in {seconds:.1f} s\n")
    assert seconds < 60


def test_the_repository_names_no_host_of_its_build() -> None:
    for path in (REPOSITORY / "deploy" / "map").iterdir():
        assert "PIP_CERT=" not in path.read_text(encoding="utf-8")
