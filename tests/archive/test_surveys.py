"""What an archive tells of the series that are not fetched reaches whoever reads the study, or why it is not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from archive_studies import SmallStudy, write_study
from ct_files import CTSeries, select, set_pixels
from pydicom.uid import generate_uid

from lung_nodules.archive.fetching import content_of, fetch_study
from lung_nodules.archive.folder import FolderArchive
from lung_nodules.archive.settings import FolderSettings
from lung_nodules.settings import Settings
from lung_nodules.stages.series import NoUsableSeries
from lung_nodules.stages.survey import SURVEY_FILE


def archive_of(folder: Path) -> FolderArchive:
    return FolderArchive(FolderSettings(kind="folder", path=folder), "test")


@pytest.fixture
def ours(tmp_path: Path) -> SmallStudy:
    """A study of this test alone, which it may change."""
    return write_study(tmp_path / "study", generate_uid())


def test_a_study_without_ct_says_what_it_holds(tmp_path: Path, study: SmallStudy) -> None:
    uid = generate_uid()
    report = pydicom.dcmread(study.write_report(tmp_path / "study" / "0.dcm", generate_uid()))
    report.StudyInstanceUID = uid
    report.save_as(tmp_path / "study" / "0.dcm")
    archive = archive_of(tmp_path / "study")
    for ask in (content_of, lambda *asked: fetch_study(*asked, None, tmp_path / "fetched", Settings())):
        with pytest.raises(NoUsableSeries, match="not-ct") as caught:
            ask(archive, uid)
        told = [(each.modality, each.series_number, each.num_instances) for each in caught.value.considered]
        assert told == [("SR", 9, 1)]


def test_a_study_that_is_refused_says_so_of_every_series(tmp_path: Path, study: SmallStudy) -> None:
    def fill_with_water(header: pydicom.Dataset, _index: int) -> None:
        set_pixels(header, np.zeros((header.Rows, header.Columns)))

    water = CTSeries(study_uid=study.uid)
    water.write(tmp_path / "study" / "water", fill_with_water)
    study.write_results(tmp_path / "study" / "report", 1)
    with pytest.raises(NoUsableSeries, match="not-hu") as caught:
        fetch_study(archive_of(tmp_path / "study"), study.uid, None, tmp_path / "fetched", Settings())
    assert [each.code for each in caught.value.considered] == ["not-hu", "not-ct"]
    assert not (tmp_path / "fetched" / SURVEY_FILE).exists()


def test_the_survey_is_that_of_the_last_fetch(tmp_path: Path, ours: SmallStudy) -> None:
    archive = archive_of(ours.folder)
    fetch_study(archive, ours.uid, None, tmp_path / "fetched", Settings())
    assert len(select(tmp_path / "fetched").considered) == 4
    for path in (ours.folder / "thick").iterdir():
        path.unlink()
    again = fetch_study(archive_of(ours.folder), ours.uid, None, tmp_path / "fetched", Settings())
    assert [each.code for each in again.considered] == ["chosen", "localizer", "not-ct"]
    assert select(tmp_path / "fetched").considered == again.considered


def test_slices_that_the_archive_has_no_more_are_not_read(tmp_path: Path, ours: SmallStudy) -> None:
    fetch_study(archive_of(ours.folder), ours.uid, None, tmp_path / "fetched", Settings())
    sorted((ours.folder / "thin").iterdir())[0].unlink()
    again = fetch_study(archive_of(ours.folder), ours.uid, None, tmp_path / "fetched", Settings())
    assert len(select(tmp_path / "fetched").instances) == again.num_instances == ours.thin.num_slices - 1
