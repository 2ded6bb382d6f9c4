"""What the tests of archives share: studies on disk, a real Orthanc, and archives that are opened on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_studies import SmallStudy, write_study
from pydicom.uid import generate_uid
from real_orthanc import Orthanc, free_port, need_orthanc, start_orthanc

from lung_nodules.archive.settings import DicomwebSettings, DimseSettings, RetrySettings

QUICK = RetrySettings(max_tries=4, first_wait_s=0.01, max_wait_s=0.05)


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> SmallStudy:
    """A study with a thin series to read, a thick one, a localizer and a report."""
    return write_study(tmp_path_factory.mktemp("study"), generate_uid())


@pytest.fixture(scope="session")
def move_port() -> int:
    """Where Orthanc moves instances to."""
    return free_port()


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory, study: SmallStudy, move_port: int) -> Iterator[Orthanc]:
    """A running Orthanc that holds the study and knows our AE title."""
    need_orthanc(dicomweb=True)
    config = {"DicomModalities": {"US": ["LUNGNODULES", "127.0.0.1", move_port]}}
    with start_orthanc(tmp_path_factory.mktemp("orthanc"), dicomweb=True, config=config) as started:
        started.add(study.files)
        yield started


@pytest.fixture
def web(orthanc: Orthanc) -> DicomwebSettings:
    """Orthanc by DICOMweb."""
    return DicomwebSettings(kind="dicomweb", url=orthanc.dicomweb_url, retries=QUICK, page_size=7)


@pytest.fixture
def dimse(orthanc: Orthanc, move_port: int) -> DimseSettings:
    """Orthanc by DIMSE."""
    return DimseSettings(
        kind="dimse",
        host="127.0.0.1",
        port=orthanc.dicom_port,
        ae_title="ORTHANC",
        store_port=move_port,
        retries=QUICK,
    )


@pytest.fixture
def results(tmp_path: Path, study: SmallStudy) -> list[Path]:
    """Two objects of a new series of the study, as a run would write them."""
    return study.write_results(tmp_path / "results", 2)
