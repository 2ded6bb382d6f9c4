"""What is fetched is what the line would choose from the whole study: by headers first, then by pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from ct_files import Change, CTSeries, read_volume, set_pixels
from pydicom.uid import generate_uid

from lung_nodules.archive.fetching import fetch_study
from lung_nodules.archive.folder import FolderArchive
from lung_nodules.archive.naming import hash_content_of
from lung_nodules.archive.protocol import StudyQuery
from lung_nodules.archive.settings import FolderSettings
from lung_nodules.errors import Refusal
from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import Selection, select_series


def choose(folder: Path) -> Selection:
    return select_series(read_instances(folder, Settings()), Settings())


def fill_with_water(header: pydicom.Dataset, _index: int) -> None:
    set_pixels(header, np.zeros((header.Rows, header.Columns)))


def derive(header: pydicom.Dataset, _index: int) -> None:
    header.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]


def hide_orientation(header: pydicom.Dataset, _index: int) -> None:
    del header.ImageOrientationPatient


CASES: dict[str, list[tuple[dict[str, tuple[float, ...]], Change | None, int]]] = {
    # spacing and extent, a change of the headers, and how many series are fetched once the study holds it
    "thinner": [({"spacing_mm": (2.5, 6.0, 6.0)}, None, 0), ({}, None, 0)],
    "derived": [({"spacing_mm": (2.5, 6.0, 6.0)}, derive, 0), ({}, None, 0)],
    "without lungs": [({"spacing_mm": (2.5, 6.0, 6.0)}, fill_with_water, 1), ({}, None, 0)],
    "less coverage": [({"spacing_mm": (2.5, 6.0, 6.0), "extent_mm": (70.0, 264.0, 264.0)}, None, 0), ({}, None, 0)],
    "without orientation": [({"spacing_mm": (2.5, 6.0, 6.0)}, hide_orientation, 1), ({}, None, 0)],
    "coronal": [({"columns": (0, 0, -1), "spacing_mm": (2.5, 6.0, 6.0)}, None, 0), ({}, None, 0)],
}


@pytest.mark.parametrize("case", CASES)
def test_the_choice_is_that_of_the_whole_study(case: str, tmp_path: Path) -> None:
    study = generate_uid()
    for number, (places, change, _) in enumerate(CASES[case]):
        CTSeries(study_uid=study, **places).write(tmp_path / "whole" / str(number), change)  # type: ignore[arg-type]
    archive = FolderArchive(FolderSettings(kind="folder", path=tmp_path / "whole"), "test")
    fetched = fetch_study(archive, study, None, tmp_path / "fetched", Settings())
    whole = choose(tmp_path / "whole")
    assert fetched.series_instance_uid == whole.series_instance_uid
    assert [each.code for each in fetched.considered] == [each.code for each in whole.considered]
    read = choose(tmp_path / "fetched")
    assert (read.series_instance_uid, read.considered) == (whole.series_instance_uid, whole.considered)
    num_folders = len([path for path in (tmp_path / "fetched").iterdir() if path.is_dir()])
    assert num_folders == 1 + sum(is_fetched for _, _, is_fetched in CASES[case])


def content_in(folder: Path) -> str:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return hash_content_of(pydicom.dcmread(path, stop_before_pixels=True) for path in files)


def test_content_counts_every_ct_instance_of_the_study(tmp_path: Path) -> None:
    study = generate_uid()
    thin, thick = CTSeries(study_uid=study), CTSeries(study_uid=study, spacing_mm=(10.0, 6.0, 6.0))
    thin.write(tmp_path / "whole" / "thin")
    thick.write(tmp_path / "whole" / "thick", indices=range(13))
    archive = FolderArchive(FolderSettings(kind="folder", path=tmp_path / "whole"), "test")
    first = fetch_study(archive, study, None, tmp_path / "first", Settings())
    assert first.content_hash == content_in(tmp_path / "whole")
    thick.write(tmp_path / "whole" / "late", indices=[13])
    second = fetch_study(archive, study, None, tmp_path / "second", Settings())
    assert second.content_hash == content_in(tmp_path / "whole") != first.content_hash
    assert second.series_instance_uid == first.series_instance_uid == thin.series_uid


@pytest.mark.real_data
@pytest.mark.slow
def test_odd_studies_are_chosen_from_alike(shared_data: Path, tmp_path: Path) -> None:
    """Each folder of the collection that holds one study: the same series, or a refusal on both sides."""
    num_compared = 0
    for folder in sorted(path for path in (shared_data / "dicom-robustness").iterdir() if path.is_dir()):
        archive = FolderArchive(FolderSettings(kind="folder", path=folder), folder.name)
        studies = list(archive.find_studies(StudyQuery()))
        if len(studies) != 1:
            continue
        num_compared += 1
        assert fetched_series(archive, studies[0].study_instance_uid, tmp_path / folder.name) == chosen_series(
            folder
        ), folder.name
    assert num_compared > 50


def fetched_series(archive: FolderArchive, study: str, folder: Path) -> tuple[str, ...] | None:
    try:
        fetch_study(archive, study, None, folder, Settings())
    except Refusal:
        return None
    return chosen_series(folder)


def chosen_series(folder: Path) -> tuple[str, ...] | None:
    """The instances that become a volume; None where there is none."""
    try:
        return read_volume(folder).geometry.sop_instance_uids
    except Refusal:
        return None
