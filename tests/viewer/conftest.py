"""A real Orthanc with DICOMweb, the real OHIF before it, and studies in it with what the line found in them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from ohif_package import DIST, OUTPUT
from programs import REPOSITORY, command_line
from real_orthanc import need_orthanc, start_orthanc
from shared_folder import SHARED_DATA
from viewer_server import serve_viewer

from lung_nodules.stages.report_model import Report

APP_CONFIG = REPOSITORY / "deploy" / "compose" / "ohif.js"  # the one that is deployed


@dataclass(frozen=True)
class ReadStudy:
    """A study, and what the line wrote about it."""

    name: str
    files: tuple[Path, ...]
    results: Path

    @property
    def report(self) -> Report:
        return Report.model_validate_json((self.results / "report.json").read_bytes())


@dataclass(frozen=True)
class OpenStudy:
    """A study that is in the archive, with the address of the viewer."""

    study: ReadStudy
    address: str
    pictures: Path


@pytest.fixture(scope="session")
def parts() -> None:
    """Skip where a part is missing that this machine would have to have installed."""
    need_orthanc(dicomweb=True)
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright: pip install playwright")
    from ohif_page import CHROMIUM

    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    if not (DIST / "index.html").is_file():
        pytest.skip(f"no OHIF in {DIST}: make test-viewer fetches it")


@pytest.fixture(scope="session", params=["phantom", pytest.param("LIDC-IDRI-0001", marks=pytest.mark.real_data)])
def study(request: pytest.FixtureRequest, parts: None, tmp_path_factory: pytest.TempPathFactory) -> ReadStudy:
    """A synthetic study with companions, or a real scan, read by the line with the committed models."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "phantom":
        order = [sys.executable, "-m", "lung_nodules", "phantom", str(folder / "study"), "--slices", "120"]
        subprocess.run(order, check=True, capture_output=True, cwd=REPOSITORY)
        images = folder / "study" / "dicom"
    else:
        images = SHARED_DATA / "lidc-scans" / request.param
        if not images.is_dir():
            pytest.skip(f"no shared data at {SHARED_DATA}; set LUNG_NODULES_DATA to the folder that holds lidc-scans/")
    order = [*command_line("pipeline"), "-i", str(images), "-o", str(folder / "results"), "-m", "models"]
    subprocess.run(order, check=True, capture_output=True, cwd=REPOSITORY, env=os.environ)
    files = tuple(sorted(path for path in images.rglob("*") if path.is_file() and path.suffix in {"", ".dcm"}))
    return ReadStudy(request.param, files, folder / "results")


@pytest.fixture(scope="session")
def opened(study: ReadStudy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStudy]:
    """The study and its results in an archive of their own, with the viewer before it."""
    with start_orthanc(tmp_path_factory.mktemp("orthanc"), dicomweb=True) as orthanc:
        orthanc.add([*study.files, *sorted(study.results.glob("*.dcm"))])
        with serve_viewer(DIST, APP_CONFIG, orthanc.url) as address:
            yield OpenStudy(study, address, OUTPUT / study.name)
