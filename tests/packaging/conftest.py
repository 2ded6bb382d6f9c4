"""A staged copy of what is committed, a small study, and the image."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from dry_docker import FAKE_DOCKER
from programs import REPOSITORY

from lung_nodules.packaging.packager import package_with_monai_deploy
from lung_nodules.packaging.staging import StagedApplication, stage_application
from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> StagedApplication:
    """What is committed, as it is packaged."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("a package is made of a git checkout, and this is none")
    return stage_application(REPOSITORY, tmp_path_factory.mktemp("staged") / "map")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DICOM files of a chest of 100 slices of 128 x 128 pixels with two nodules."""
    settings = PhantomSettings(
        nodules=(NoduleSpec(diameter_mm=24), NoduleSpec(diameter_mm=16)),
        num_slices=100,
        slice_spacing_mm=3.0,
        rows=128,
        columns=128,
        pixel_spacing_mm=2.8,
    )
    return write_phantom(tmp_path_factory.mktemp("study"), settings).dicom_folder


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings for runs of seconds: few candidates, each read once."""
    path = tmp_path_factory.mktemp("config") / "app.yaml"
    settings = {
        "detection": {"max_candidates": 12, "margin_mm": 0},
        "segmentation": {"num_flips": 1, "largest_cube_mm": 48},
        "classification": {"num_flips": 1},
    }
    path.write_text(yaml.safe_dump({"lung_nodules": settings}), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test, `LUNG_NODULES_MAP_IMAGE`; `make test-map` builds it."""
    name = os.environ.get("LUNG_NODULES_MAP_IMAGE", "lung-nodules-map:test")
    if shutil.which("docker") is None:
        pytest.skip("there is no docker command")
    if subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    if subprocess.run(["docker", "image", "inspect", name], capture_output=True, check=False).returncode:
        pytest.skip(f"there is no image {name}: make test-map")
    return name


@pytest.fixture(scope="session")
def context(staged: StagedApplication, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build context that the packager made."""
    folder = tmp_path_factory.mktemp("dry") / "context"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{FAKE_DOCKER}:{os.environ['PATH']}")
        patch.setenv("DRY_CONTEXT", str(folder))
        patch.setenv("HOME", str(folder.parent))
        name = package_with_monai_deploy(staged, "lung-nodules-map:1.2.3")
    assert name == "lung-nodules-map-x64-workstation-dgpu-linux-amd64:1.2.3"
    calls = folder.with_name("context.calls").read_text()
    assert f"--tag {name}" in calls
    assert "--platform linux/amd64" in calls
    return folder
