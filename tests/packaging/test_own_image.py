"""The second way, with a docker command that builds nothing, and the script for those without our command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dry_docker import FAKE_DOCKER
from programs import REPOSITORY

from lung_nodules.packaging.image import CPU_WHEELS, HostFiles, ImageOrder, build_arguments, build_image
from lung_nodules.packaging.staging import StagedApplication
from lung_nodules.packaging.tools import PackagingRefusal

ORDER = ImageOrder(tag="lung-nodules-map:1.2.3", base="debian:12-slim")


@pytest.fixture
def host(tmp_path: Path) -> HostFiles:
    """A machine whose pip needs a CA bundle and a folder of wheels."""
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "torch-2.13.0+cpu.whl").touch()
    (tmp_path / "ca.pem").write_text("certificates")
    return HostFiles.from_environment(
        {"PIP_CERT": str(tmp_path / "ca.pem"), "PIP_FIND_LINKS": str(tmp_path / "wheels")}
    )


def test_host_files_are_what_pip_would_use() -> None:
    assert HostFiles.from_environment({}) == HostFiles()
    elsewhere = {"PIP_CERT": "/nowhere/ca.pem", "PIP_FIND_LINKS": "https://example.org/wheels"}
    assert HostFiles.from_environment(elsewhere) == HostFiles()


def test_the_context_holds_what_the_dockerfile_copies(
    staged: StagedApplication, host: HostFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{FAKE_DOCKER}:{os.environ['PATH']}")
    monkeypatch.setenv("DRY_CONTEXT", str(tmp_path / "context"))
    assert build_image(staged, ORDER, host) == "lung-nodules-map:1.2.3"
    (call,) = [line for line in (tmp_path / "context.calls").read_text().splitlines() if line.startswith("build")]
    assert "--tag lung-nodules-map:1.2.3 --build-arg BASE=debian:12-slim" in call
    assert f"REVISION={staged.commit}" in call
    context = tmp_path / "context"
    assert (context / "host" / "ca.crt").read_text() == "certificates"
    assert (context / "host" / "wheels" / "torch-2.13.0+cpu.whl").exists()
    for line in (context / "deploy" / "map.Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            assert (context / line.split()[1]).exists(), line
    assert (context / "deploy" / "map" / "leave_out.txt").exists()


def test_a_machine_without_wheels_takes_the_cpu_build_from_its_makers(
    staged: StagedApplication, host: HostFiles
) -> None:
    assert build_arguments(staged, ORDER, HostFiles())["EXTRA_INDEX"] == CPU_WHEELS
    assert "EXTRA_INDEX" not in build_arguments(staged, ORDER, host)


def test_a_cuda_image_is_built_whole_from_the_index(staged: StagedApplication) -> None:
    order = ImageOrder("lung-nodules-map:1.2.3", "nvidia/cuda:13.0.0-base-ubuntu24.04", cuda=True)
    arguments = build_arguments(staged, order, HostFiles())
    assert "EXTRA_INDEX" not in arguments
    assert arguments["LEAVE_OUT"] == ""


def test_arguments_are_those_that_the_dockerfile_declares(staged: StagedApplication) -> None:
    dockerfile = (staged.build_files / "map.Dockerfile").read_text()
    for cuda in (False, True):
        for name in build_arguments(staged, ImageOrder("a:1", "b", cuda=cuda), HostFiles()):
            assert f"ARG {name}=" in dockerfile, name


def test_a_build_that_fails_is_a_refusal(
    staged: StagedApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{FAKE_DOCKER}:{os.environ['PATH']}")
    monkeypatch.setenv("DRY_CONTEXT", str(tmp_path / "missing" / "context"))
    with pytest.raises(PackagingRefusal, match="docker ended with") as caught:
        build_image(staged, ORDER, HostFiles())
    assert caught.value.code == "build-failed"


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A Python with its standard library alone."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    path.chmod(0o755)
    return path


def test_the_script_needs_nothing_but_python(bare_python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [REPOSITORY / "deploy" / "package.sh", "package", "--stage-only", "--folder", tmp_path / "map"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHON": str(bare_python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "is staged in" in done.stderr
    assert (tmp_path / "map" / "app" / "__main__.py").exists()


def test_the_script_says_what_is_missing(bare_python: Path, tmp_path: Path) -> None:
    (tmp_path / "git").symlink_to("/usr/bin/git")
    for name in ("dirname", "sh"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        [REPOSITORY / "deploy" / "package.sh", "package", "--base", "debian:12-slim", "--folder", tmp_path / "map"],
        env={"PATH": str(tmp_path), "PYTHON": str(bare_python)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("The docker command was not found. Install Docker")
