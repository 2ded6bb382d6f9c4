"""What a replay needs: a study that came through the gateway, an archive, the two runners, and the table at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
import yaml
from programs import IDENTITY
from real_orthanc import Orthanc, need_orthanc, start_orthanc
from replay_gateway import FOLDER, receive
from replay_table import table_lines
from replay_task import DockerRunner, ProcessRunner, Runner
from tiny_models import write_tiny_models

from lung_nodules.gateway.workflow import Workflow, read_workflow
from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec

IMAGE = os.environ.get("LUNG_NODULES_MAP_IMAGE", "lung-nodules-map:test")


@pytest.fixture(scope="session")
def workflow() -> Workflow:
    """The workflow that is shipped."""
    return read_workflow(FOLDER / "workflow-docker.json")


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test; `LUNG_NODULES_MAP_IMAGE` names another one."""
    return IMAGE


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[pydicom.Dataset]:
    """A study as a modality sends it: two localizers, a thin and a thick axial series, a dose report, an identity."""
    settings = PhantomSettings(
        nodules=(NoduleSpec(diameter_mm=24), NoduleSpec(diameter_mm=16)),
        num_slices=100,
        slice_spacing_mm=3.0,
        rows=256,
        columns=256,
        pixel_spacing_mm=1.4,
    )
    return _read(write_phantom(tmp_path_factory.mktemp("study"), settings).dicom_folder)


@pytest.fixture(scope="session")
def received(study: list[pydicom.Dataset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The payload of that study, as it came through the gateway."""
    return receive(study, tmp_path_factory.mktemp("gateway"))


def _read(folder: Path) -> list[pydicom.Dataset]:
    datasets = [pydicom.dcmread(path) for path in sorted(folder.rglob("*")) if path.is_file()]
    for dataset in datasets:
        for keyword, value in IDENTITY.items():
            setattr(dataset, keyword, value)
    return datasets


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """A running Orthanc that knows the gateway and takes objects from nobody else."""
    need_orthanc()
    config = {"DicomModalities": {"GATEWAY": ["MONAISCU", "127.0.0.1", 104]}, "DicomAlwaysAllowStore": False}
    with start_orthanc(tmp_path_factory.mktemp("orthanc"), config=config) as started:
        yield started


@pytest.fixture(scope="session", params=["process", pytest.param("docker", marks=pytest.mark.map)])
def runner(request: pytest.FixtureRequest, workflow: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """Both ways to run what the plug-in asks for."""
    if request.param == "process":
        folder = tmp_path_factory.mktemp("image")
        return ProcessRunner(_image_environment(folder), folder)
    docker = DockerRunner(workflow.tasks[0].args["server_url"])
    if not docker.has_image(IMAGE):
        pytest.skip(f"no Docker engine answers that has the image {IMAGE}: make test-map builds it")
    return docker


def _image_environment(folder: Path) -> dict[str, str]:
    """The ENV that the image has, with models and settings for runs of seconds."""
    models, config = folder / "models", folder / "app.yaml"
    (folder / "input").mkdir()
    write_tiny_models(models)
    settings = {
        "detection": {"max_candidates": 12, "margin_mm": 0},
        "segmentation": {"num_flips": 1, "largest_cube_mm": 48},
        "runtime": {"runtime": "torch", "num_threads": 1},
    }
    config.write_text(yaml.safe_dump({"lung_nodules": settings}), encoding="utf-8")
    return {
        "HOLOSCAN_INPUT_PATH": str(folder / "input"),
        "HOLOSCAN_OUTPUT_PATH": str(folder / "output"),
        "HOLOSCAN_MODEL_PATH": str(models),
        "HOLOSCAN_CONFIG_PATH": str(config),
        "HOLOSCAN_WORKDIR": str(folder),
    }


@pytest.fixture
def payload(received: Path, tmp_path: Path) -> Path:
    """A copy of the payload that a test may change."""
    return Path(shutil.copytree(received, tmp_path / "payload"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was replayed: case, expected, got."""
    if lines := table_lines():
        terminalreporter.section("replay of the gateway")
        for line in lines:
            terminalreporter.write_line(line)
