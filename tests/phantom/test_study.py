"""The written study: valid DICOM, the right geometry, the same bytes every time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from small_phantoms import SMALL

from lung_nodules.errors import OutputRefusal, UsageRefusal
from lung_nodules.phantom import NoduleSpec, Phantom, PhantomTruth, write_phantom

SERIES = ("scout", "thin", "thick", "dose")
TINY = SMALL.model_copy(update={"num_slices": 12, "rows": 64, "columns": 80, "pixel_spacing_mm": 5.6, "nodules": ()})


def files(phantom: Phantom, series: str = "") -> list[Path]:
    return sorted(path for path in (phantom.dicom_folder / series).rglob("*") if path.is_file())


def first(phantom: Phantom, series: str) -> pydicom.Dataset:
    return pydicom.dcmread(files(phantom, series)[0])


def test_the_same_settings_write_the_same_bytes(small: Phantom, tmp_path: Path) -> None:
    again = write_phantom(tmp_path, SMALL)
    assert [path.relative_to(again.dicom_folder) for path in files(again)] == [
        path.relative_to(small.dicom_folder) for path in files(small)
    ]
    for one, other in zip(files(small), files(again), strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert small.truth_path.read_bytes() == again.truth_path.read_bytes()


def test_another_seed_is_another_study_of_another_patient(small: Phantom, tmp_path: Path) -> None:
    other = write_phantom(tmp_path, TINY.model_copy(update={"seed": 4}))
    assert other.truth.study_instance_uid != small.truth.study_instance_uid
    assert first(other, "thin").PatientID == "PHANTOM-4"
    assert first(small, "thin").PatientID == "PHANTOM-3"


@pytest.mark.parametrize("series", SERIES)
def test_dciodvfy_finds_no_error(small: Phantom, series: str) -> None:
    checker = Path(sys.executable).parent / "dciodvfy"
    for path in files(small, series)[:2]:
        found = subprocess.run([checker, path], capture_output=True, text=True, check=False)
        lines = [line for line in (found.stdout + found.stderr).splitlines() if line.startswith(("Error", "Warning"))]
        assert not lines


def test_simpleitk_reads_the_same_geometry_and_finds_the_nodules(small: Phantom) -> None:
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(small.dicom_folder / "thin"))
    image = SimpleITK.ReadImage(names)
    assert image.GetSize() == (SMALL.columns, SMALL.rows, SMALL.num_slices)
    np.testing.assert_allclose(image.GetSpacing(), small.truth.spacing_mm[::-1])
    np.testing.assert_allclose(image.GetDirection(), np.eye(3).ravel())
    np.testing.assert_allclose(image.GetOrigin(), (-63.5 * 2.8, -63.5 * 2.8, -23.5 * 5), atol=1e-3)
    for nodule in small.truth.nodules:
        hu = image[image.TransformPhysicalPointToIndex(nodule.center_lps)]
        assert hu > -720, nodule.nodule_id
        assert nodule.side == ("right" if nodule.center_lps[0] < 0 else "left")


def test_every_series_belongs_to_one_study_and_is_told_apart(small: Phantom) -> None:
    heads = {series: first(small, series) for series in SERIES}
    assert {head.StudyInstanceUID for head in heads.values()} == {small.truth.study_instance_uid}
    assert len({head.SeriesInstanceUID for head in heads.values()}) == 4
    assert heads["thin"].SeriesInstanceUID == small.truth.thin_series_instance_uid
    assert heads["scout"].ImageType[2] == "LOCALIZER"
    assert heads["dose"].Modality == "SR"
    frames = {heads[series].FrameOfReferenceUID for series in ("scout", "thin", "thick")}
    assert frames == {small.truth.frame_of_reference_uid}


def test_every_instance_has_its_own_identity(small: Phantom) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in files(small)]
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert all(header.SOPInstanceUID.is_valid for header in headers)
    assert all(header.SOPInstanceUID == header.file_meta.MediaStorageSOPInstanceUID for header in headers)


def test_the_thick_series_averages_the_thin_one_in_place(small: Phantom) -> None:
    thin, thick = (
        sorted((pydicom.dcmread(path) for path in files(small, series)), key=lambda d: d.ImagePositionPatient[2])
        for series in ("thin", "thick")
    )
    assert float(thick[0].SliceThickness) == 10  # two of 5 mm
    assert len(thick) == len(thin) // 2
    heights = [np.mean([float(d.ImagePositionPatient[2]) for d in thin[2 * k : 2 * k + 2]]) for k in range(len(thick))]
    np.testing.assert_allclose([float(d.ImagePositionPatient[2]) for d in thick], heights, atol=1e-3)
    mean = np.mean([d.pixel_array for d in thin[20:22]], axis=0)
    assert np.abs(mean - thick[10].pixel_array).max() < 1.5


def test_a_localizer_stands_upright_and_shows_two_dark_lungs(small: Phantom) -> None:
    scout = first(small, "scout")
    assert list(scout.ImageOrientationPatient) == [1, 0, 0, 0, 0, -1]
    middle = scout.pixel_array[scout.Rows // 3]
    column = {side: round((x - float(scout.ImagePositionPatient[0])) / 2.8) for side, x in (("r", -75), ("l", 75))}
    spine = round((0 - float(scout.ImagePositionPatient[0])) / 2.8)
    assert max(middle[column["r"]], middle[column["l"]]) < middle[spine]


def test_truth_lies_beside_the_dicom_folder_and_reads_back(small: Phantom) -> None:
    assert small.truth_path.parent == small.dicom_folder.parent
    assert PhantomTruth.model_validate(json.loads(small.truth_path.read_text(encoding="utf-8"))) == small.truth
    assert len(small.truth.nodules) == SMALL.num_nodules
    assert len({nodule.kind for nodule in small.truth.nodules}) == 6


def test_some_files_have_no_extension(small: Phantom) -> None:
    assert {path.suffix for path in files(small)} == {"", ".dcm"}


def test_a_chinese_name_survives(tmp_path: Path) -> None:
    phantom = write_phantom(tmp_path, TINY.model_copy(update={"patient_name": "Wang^XiaoDong=王^小东"}))
    header = first(phantom, "thin")
    assert header.SpecificCharacterSet == "ISO_IR 192"
    assert str(header.PatientName.ideographic) == "王^小东"


def test_a_phantom_replaces_a_phantom_and_leaves_nothing_beside(tmp_path: Path) -> None:
    write_phantom(tmp_path, TINY.model_copy(update={"num_slices": 14}))
    phantom = write_phantom(tmp_path, TINY)
    assert len(files(phantom, "thin")) == TINY.num_slices
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dicom", "truth.json"]
    assert phantom.truth.nodules == ()


def test_a_folder_that_is_not_a_phantom_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "mine.dcm").write_bytes(b"mine")
    with pytest.raises(OutputRefusal, match="not a phantom") as refused:
        write_phantom(tmp_path, TINY)
    assert refused.value.code == "folder-not-a-phantom"
    assert (tmp_path / "dicom" / "mine.dcm").read_bytes() == b"mine"


def test_a_refused_phantom_writes_nothing(tmp_path: Path) -> None:
    outside = TINY.model_copy(update={"nodules": (NoduleSpec(center_lps=(0.0, 0.0, 0.0)),)})
    with pytest.raises(UsageRefusal, match="neither lung"):
        write_phantom(tmp_path / "new", outside)
    assert not (tmp_path / "new").exists()


def test_progress_counts_every_slice(tmp_path: Path) -> None:
    steps: list[int] = []

    class Counting:
        @contextmanager
        def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
            assert total == 3 * TINY.num_slices
            yield steps.append

    write_phantom(tmp_path, TINY, Counting())
    assert sum(steps) == 3 * TINY.num_slices
