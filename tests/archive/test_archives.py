"""What every archive does alike: DICOMweb and DIMSE against a real Orthanc, and a folder."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pydicom
import pytest
from archive_studies import PATIENT, SmallStudy, uids_of, uids_of_files

from lung_nodules.archive.cache import InstanceCache
from lung_nodules.archive.fetching import content_of, fetch_study
from lung_nodules.archive.opening import open_archive
from lung_nodules.archive.protocol import Archive, InstanceKey, StudyQuery
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import ArchiveSettings, FolderSettings
from lung_nodules.archive.study_folder import StudyFolder
from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import select_series

SERVERS = [pytest.param(kind, marks=pytest.mark.service) for kind in ("dicomweb", "c-get", "c-move")]


@pytest.fixture(params=[*SERVERS, "folder"])
def settings(request: pytest.FixtureRequest, study: SmallStudy) -> ArchiveSettings:
    """How to reach an archive that holds the study."""
    if request.param == "folder":
        return FolderSettings(kind="folder", path=study.folder)
    if request.param == "dicomweb":
        return request.getfixturevalue("web")
    retrieval = request.param.removeprefix("c-")
    return request.getfixturevalue("dimse").model_copy(update={"retrieval": retrieval})


@pytest.fixture
def archive(settings: ArchiveSettings) -> Iterator[Archive]:
    """An archive that holds the study."""
    with open_archive(settings, "test") as opened:
        yield opened


class Counting(StudyFolder):
    """A sink that counts what it takes."""

    received = 0

    def receive(self, key: InstanceKey, chunks: object) -> None:
        super().receive(key, chunks)  # type: ignore[arg-type]
        self.received += 1


def test_it_answers(archive: Archive) -> None:
    archive.check()


@pytest.mark.parametrize(
    "query",
    [
        StudyQuery(patient_id=PATIENT["PatientID"]),
        StudyQuery(first_date=date(2024, 1, 1), last_date=date(2024, 1, 1), accession_number="A-1"),
        StudyQuery(first_date=date(2023, 12, 31), modality="CT", accession_number="A-1"),
        StudyQuery(description="Chest*", modality="CT", last_date=date(2024, 1, 2)),
        StudyQuery(description="Chest routine"),
        StudyQuery(description="*h?st rout*"),
        StudyQuery(patient_name="Zeppelin^Graf"),
        StudyQuery(patient_name="*pelin*", modality="CT"),
    ],
)
def test_a_study_is_found_by_what_it_is(archive: Archive, study: SmallStudy, query: StudyQuery) -> None:
    (entry,) = [each for each in archive.find_studies(query) if each.study_instance_uid == study.uid]
    assert entry.study_date == date(2024, 1, 1)
    assert entry.study_id == ""
    assert (entry.patient_id, entry.patient_name) == (PATIENT["PatientID"], PATIENT["PatientName"])
    assert PATIENT["PatientName"] not in repr(entry) + repr(query)
    assert set(entry.modalities) == {"CT", "SR"}


@pytest.mark.parametrize(
    "query",
    [
        StudyQuery(study_instance_uid="1.2.3.4"),
        StudyQuery(patient_id="LZ 126"),
        StudyQuery(patient_id="LZ-127"),
        StudyQuery(first_date=date(2024, 1, 2), accession_number="A-1"),
        StudyQuery(last_date=date(2023, 12, 31), accession_number="A-1"),
        StudyQuery(modality="MR", accession_number="A-1"),
        StudyQuery(description="Abdomen*", accession_number="A-1"),
        StudyQuery(patient_name="*hindenburg*"),
    ],
)
def test_a_study_is_not_found_by_what_it_is_not(archive: Archive, study: SmallStudy, query: StudyQuery) -> None:
    assert study.uid not in {entry.study_instance_uid for entry in archive.find_studies(query)}


@pytest.mark.parametrize(
    "query",
    [
        StudyQuery(patient_id="LZ*"),
        StudyQuery(modality="C?"),
        StudyQuery(description="\\"),
        StudyQuery(patient_name="A\\B"),
    ],
)
def test_a_wildcard_where_a_value_is_exact_is_refused(archive: Archive, query: StudyQuery) -> None:
    with pytest.raises(ArchiveRefusal, match="bad-query"):
        list(archive.find_studies(query))


@pytest.mark.parametrize("uid", ["", "1.2/../3", "1.2.3*", "1.2\\1.3", "1." * 33])
def test_a_uid_that_is_none_is_refused(archive: Archive, uid: str) -> None:
    for ask in (
        lambda: archive.find_series(uid),
        lambda: archive.find_instances("1.2", uid),
        lambda: archive.fetch_series("1.2", uid, StudyFolder(Path("/nowhere"), "", None)),
    ):
        with pytest.raises(ArchiveRefusal, match="bad-uid"):
            ask()


def test_an_unknown_study_is_not_found(archive: Archive) -> None:
    with pytest.raises(ArchiveRefusal, match="study-not-found") as caught:
        archive.find_series("1.2.3.4")
    assert not caught.value.heals


def test_series_come_with_their_counts(archive: Archive, study: SmallStudy) -> None:
    entries = {entry.series_instance_uid: entry for entry in archive.find_series(study.uid)}
    assert entries[study.thin.series_uid].num_instances == study.thin.num_slices
    assert entries[study.thick.series_uid].num_instances == study.thick.num_slices
    assert entries[study.thin.series_uid].modality == "CT"
    assert len(archive.find_instances(study.uid, study.thin.series_uid)) == study.thin.num_slices


def test_only_what_is_read_is_fetched(archive: Archive, study: SmallStudy, tmp_path: Path) -> None:
    cache = InstanceCache(tmp_path / "cache", 10**9)
    fetched = fetch_study(archive, study.uid, cache, tmp_path / "fetched", Settings())
    whole = select_series(read_instances(study.folder, Settings()), Settings())
    assert fetched.series_instance_uid == whole.series_instance_uid == study.thin.series_uid
    assert fetched.num_fetched == fetched.num_instances == study.thin.num_slices
    assert fetched.num_listed == study.num_ct
    assert uids_of(tmp_path / "fetched") == sorted(str(each.header.SOPInstanceUID) for each in whole.instances)
    codes = [each.code for each in fetched.considered]  # others may have stored more into the study meanwhile
    assert codes == ["chosen", "thicker-slices", "localizer", *["not-ct"] * (len(codes) - 3)]
    assert fetched.considered[:3] == whole.considered
    assert ("SR", 1) in [(each.modality, each.num_instances) for each in fetched.considered[3:]]
    read = select_series(read_instances(tmp_path / "fetched", Settings()), Settings())
    assert read.considered == fetched.considered
    assert fetched.content_hash == content_of(archive, study.uid)


def test_what_is_fetched_is_what_was_stored(archive: Archive, study: SmallStudy, tmp_path: Path) -> None:
    into = StudyFolder(tmp_path, "test", None)
    archive.fetch_series(study.uid, study.thin.series_uid, into)
    original = {str(each.SOPInstanceUID): each for each in map(pydicom.dcmread, study.files) if "PixelData" in each}
    for path in into.series_folder(study.thin.series_uid).iterdir():
        fetched = pydicom.dcmread(path)
        assert fetched == original[str(fetched.SOPInstanceUID)]
        assert path.read_bytes()[:128] == bytes(128)


def test_what_was_fetched_is_not_fetched_again(archive: Archive, study: SmallStudy, tmp_path: Path) -> None:
    cache = InstanceCache(tmp_path / "cache", 10**9)
    first, second, third = (Counting(tmp_path / name, "test", cache) for name in "abb")
    assert archive.fetch_series(study.uid, study.thin.series_uid, first) == study.thin.num_slices
    lost = sorted(first.series_folder(study.thin.series_uid).iterdir())[:3]
    for path in lost:
        path.unlink()
    archive.fetch_series(study.uid, study.thin.series_uid, second)
    archive.fetch_series(study.uid, study.thin.series_uid, third)
    assert (first.received, second.received, third.received) == (study.thin.num_slices, 0, 0)
    without_cache = Counting(tmp_path / "a", "test", None)
    archive.fetch_series(study.uid, study.thin.series_uid, without_cache)
    assert without_cache.received == len(lost)


def test_names_of_files_tell_nothing(archive: Archive, study: SmallStudy, tmp_path: Path) -> None:
    fetch_study(archive, study.uid, InstanceCache(tmp_path / "cache", 10**9), tmp_path / "fetched", Settings())
    names = "\n".join(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*"))
    assert study.uid not in names
    assert study.thin.series_uid not in names
    assert "LZ" not in names


def test_representations_tell_nothing(archive: Archive, study: SmallStudy, tmp_path: Path) -> None:
    query = StudyQuery(patient_id=PATIENT["PatientID"])
    told = [query, *archive.find_studies(query), *archive.find_series(study.uid)]
    told.append(fetch_study(archive, study.uid, None, tmp_path, Settings()))
    assert not {"LZ", "ZEPPELIN"} & set(repr(told).replace("'", " ").split())


def test_a_study_without_ct_is_refused_before_anything_is_fetched(
    settings: ArchiveSettings, results: list[Path], tmp_path: Path
) -> None:
    folder = FolderSettings(kind="folder", path=results[0].parent)
    with open_archive(folder, "results") as archive, pytest.raises(InputRefusal, match="not-ct"):
        fetch_study(archive, str(pydicom.dcmread(results[0]).StudyInstanceUID), None, tmp_path / "to", Settings())
    assert not (tmp_path / "to").exists()


def test_results_arrive_and_are_found(
    settings: ArchiveSettings, results: list[Path], study: SmallStudy, tmp_path: Path
) -> None:
    if isinstance(settings, FolderSettings):
        settings = FolderSettings(kind="folder", path=tmp_path / "to")
        settings.path.mkdir()
    with open_archive(settings, "test") as archive:
        for _ in range(2):  # the second time they are there already
            outcome = archive.push(results)
            assert outcome.is_complete
            assert outcome.num_confirmed == len(results)
        series = str(pydicom.dcmread(results[0]).SeriesInstanceUID)
        assert list(archive.find_instances(study.uid, series)) == uids_of_files(results)


def test_nothing_and_no_dicom_are_not_pushed(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    for files in ([], [tmp_path / "text"]):
        with pytest.raises(ArchiveRefusal, match="push-nothing"):
            archive.push(files)
