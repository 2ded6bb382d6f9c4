"""An archive corrects whose a study is, and keeps its UIDs: neither the cache nor a folder hands out the old name."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from ct_files import CTSeries
from pydicom.uid import generate_uid
from real_orthanc import Orthanc, free_port, need_orthanc, start_orthanc

from lung_nodules.archive.cache import InstanceCache
from lung_nodules.archive.fetching import content_of, fetch_study
from lung_nodules.archive.naming import hash_content, hash_content_of
from lung_nodules.archive.opening import open_archive
from lung_nodules.archive.settings import ArchiveSettings, DicomwebSettings, DimseSettings, FolderSettings
from lung_nodules.settings import Settings
from lung_nodules.stages.study import IDENTITY_KEYWORDS, digest_identity

WRONG, RIGHT = "WRONG^NAME", "RIGHT^NAME"


def with_name(name: str) -> Callable[[pydicom.Dataset, int], None]:
    def change(header: pydicom.Dataset, _index: int) -> None:
        header.PatientName, header.PatientID, header.AccessionNumber = name, "P-1", "A-1"

    return change


def names_in(folder: Path) -> set[str]:
    return {str(pydicom.dcmread(path, stop_before_pixels=True).PatientName) for path in folder.rglob("*.dcm")}


class Study:
    """A chest of two series, written under one name or the other."""

    def __init__(self, folder: Path) -> None:
        self.uid = generate_uid()
        self.folder = folder
        self._series = [CTSeries(study_uid=self.uid, spacing_mm=(z, 6.0, 6.0)) for z in (5.0, 10.0)]

    def write(self, name: str) -> list[Path]:
        """Write all files; those of another name are written over."""
        return [
            path
            for number, series in enumerate(self._series)
            for path in series.write(self.folder / str(number), with_name(name))
        ]


def check_correction(settings: ArchiveSettings, study: Study, correct: Callable[[], None], tmp_path: Path) -> None:
    """Fetch, correct, and fetch again: into the same folder, into another one, with and without a cache."""
    cache = InstanceCache(tmp_path / "cache", 10**9)
    folder, alone = tmp_path / "fetched", tmp_path / "alone"
    with open_archive(settings, "pacs") as archive:
        before = fetch_study(archive, study.uid, cache, folder, Settings())
        fetch_study(archive, study.uid, None, alone, Settings())
        assert before.content_hash == content_of(archive, study.uid)
        assert names_in(folder) == names_in(alone) == {WRONG}
        correct()
        assert content_of(archive, study.uid) != before.content_hash
        again = fetch_study(archive, study.uid, cache, folder, Settings())
        fetch_study(archive, study.uid, cache, tmp_path / "other", Settings())
        fetch_study(archive, study.uid, None, alone, Settings())
        assert again.content_hash == content_of(archive, study.uid) != before.content_hash
        for each in (folder, tmp_path / "other", alone):
            assert names_in(each) == {RIGHT}
            assert len(list(each.rglob("*.dcm"))) == again.num_instances == before.num_instances


def test_a_corrected_folder(tmp_path: Path) -> None:
    study = Study(tmp_path / "archive")
    study.write(WRONG)
    check_correction(
        FolderSettings(kind="folder", path=study.folder), study, lambda: bool(study.write(RIGHT)), tmp_path
    )


@pytest.fixture
def orthanc(tmp_path: Path):
    """An Orthanc that lets instances be written over, as one that is corrected has to."""
    need_orthanc(dicomweb=True)
    config = {
        "OverwriteInstances": True,
        "DicomModalities": {"US": ["LUNGNODULES", "127.0.0.1", free_port()]},
    }
    with start_orthanc(tmp_path / "orthanc", dicomweb=True, config=config) as started:
        yield started


def modify_in_place(orthanc: Orthanc, study: Study) -> None:
    """Correct the name as Orthanc does, with all UIDs kept; its index is made anew afterwards."""
    order = {
        "Replace": {"PatientName": RIGHT, "PatientID": "P-1"},
        "Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
        "Force": True,
    }
    (found,) = orthanc.find("Study", StudyInstanceUID=study.uid)
    for instance in orthanc.get(f"/studies/{found}/instances"):
        content = orthanc._open(f"/instances/{instance['ID']}/modify", json_bytes(order), "POST")
        assert pydicom.dcmread(io.BytesIO(content)).PatientName == RIGHT
        orthanc._open("/instances", content, "POST")


def json_bytes(document: object) -> bytes:
    import json

    return json.dumps(document).encode()


@pytest.mark.service
def test_a_corrected_orthanc_by_dicomweb_though_its_index_lags(orthanc: Orthanc, tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    orthanc.add(study.write(WRONG))
    settings = DicomwebSettings(kind="dicomweb", url=orthanc.dicomweb_url)
    check_correction(settings, study, lambda: modify_in_place(orthanc, study), tmp_path)


@pytest.mark.service
def test_a_corrected_orthanc_by_dimse(orthanc: Orthanc, tmp_path: Path) -> None:
    study = Study(tmp_path / "study")
    orthanc.add(study.write(WRONG))
    settings = DimseSettings(kind="dimse", host="127.0.0.1", port=orthanc.dicom_port, ae_title="ORTHANC")

    def correct() -> None:
        modify_in_place(orthanc, study)
        (found,) = orthanc.find("Study", StudyInstanceUID=study.uid)
        orthanc._open(f"/studies/{found}/reconstruct", b"{}", "POST")  # a C-FIND is answered from the index

    check_correction(settings, study, correct, tmp_path)


def test_what_is_uploaded_has_the_content_that_an_archive_tells(tmp_path: Path) -> None:
    study = Study(tmp_path / "archive")
    paths = study.write(WRONG)
    with open_archive(FolderSettings(kind="folder", path=study.folder), "pacs") as archive:
        told = content_of(archive, study.uid)
    assert told == hash_content_of(pydicom.dcmread(path, stop_before_pixels=True) for path in reversed(paths))


@pytest.mark.parametrize("keyword", IDENTITY_KEYWORDS)
def test_each_part_of_an_identity_counts(keyword: str) -> None:
    header = pydicom.Dataset()
    empty = digest_identity(header)
    setattr(header, keyword, "20240101" if keyword.endswith("Date") else "120000" if "Time" in keyword else "M")
    assert digest_identity(header) != empty


def test_empty_parts_of_a_name_do_not_count() -> None:
    digests = set()
    for name in ("DOE^JANE", "DOE^JANE^^^", "DOE^JANE=="):
        header = pydicom.Dataset()
        header.PatientName = name
        digests.add(digest_identity(header))
    assert len(digests) == 1


def test_order_and_repetition_of_instances_do_not_count() -> None:
    assert hash_content(["2", "1", "1"], ["b", "a"]) == hash_content(["1", "2"], ["a", "b", "b"])
    assert hash_content(["1", "a"], []) != hash_content(["1"], ["a"])
