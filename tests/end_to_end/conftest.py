"""A small synthetic study and models that run in milliseconds, for runs of the real commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pydicom
import pytest
import yaml
from programs import IDENTITY, Command, command_line
from tiny_models import write_tiny_models

from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec

NODULES = (NoduleSpec(diameter_mm=24), NoduleSpec(diameter_mm=16))


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chest of 100 slices of 128 x 128 pixels with two nodules and an identity; `dicom/` and `truth.json` in it."""
    folder = tmp_path_factory.mktemp("study")
    settings = PhantomSettings(
        nodules=NODULES,
        num_slices=100,
        slice_spacing_mm=3.0,
        rows=128,
        columns=128,
        pixel_spacing_mm=2.8,
    )
    write_phantom(folder, settings)
    for path in (folder / "dicom").rglob("*"):
        if path.is_file():
            dataset = pydicom.dcmread(path)
            for keyword, value in IDENTITY.items():
                setattr(dataset, keyword, value)
            dataset.save_as(path)
    return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_models(folder)
    return folder


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app.yaml for runs of seconds: few candidates, one thread, nothing converted or kept in the user's cache."""
    path = tmp_path_factory.mktemp("config") / "app.yaml"
    settings = {
        "detection": {"max_candidates": 12, "margin_mm": 0},
        "segmentation": {"num_flips": 1, "largest_cube_mm": 48},
        "runtime": {"runtime": "torch", "num_threads": 1},
    }
    path.write_text(yaml.safe_dump({"lung_nodules": settings}), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Command:
    """Run a program from another directory than the repository, with the configuration above."""

    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run_program(program: str, *arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command_line(program), *map(str, arguments)],
            cwd=elsewhere,
            env={"PATH": "/usr/bin:/bin", "HOME": str(elsewhere), "HOLOSCAN_CONFIG_PATH": str(config), **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    return run_program
