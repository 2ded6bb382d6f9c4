"""What was made once is read back, until anything that it was made from changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  # its own documentation's name
from tiny_cohort import invented_patients, write_tiny_scans

from lung_nodules.cohorts.ct import read_ct
from lung_nodules.cohorts.split import Split
from lung_nodules.errors import UsageRefusal
from lung_nodules.training import backgrounds
from lung_nodules.training.background_cache import Arrays, read_cached
from lung_nodules.training.backgrounds import BackgroundSettings, read_backgrounds

SETTINGS = BackgroundSettings(spacing_mm=4.0)


class Maker:
    """Makes arrays of every kind that a background has, and counts."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.made = folder, list[str]()

    def __call__(self, name: str) -> Arrays:
        self.made.append(name)
        values = np.frombuffer((self.folder / name / "slice").read_bytes(), dtype=np.uint8)
        return {
            "hu": values.astype(np.int16) - 1000,
            "clear": values > 100,
            "lung_ijk": values.astype(np.int32)[:, None],
        }


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    folder = tmp_path / "scans"
    for name in ("one", "two"):
        (folder / name).mkdir(parents=True)
        (folder / name / "slice").write_bytes(name.encode())
    (folder / "reference.json").write_text("{}")
    return Maker(folder)


def read(maker: Maker, settings: BackgroundSettings = SETTINGS) -> list[Arrays]:
    maker.made.clear()
    cache = maker.folder.parent / "cache"
    places = {name: maker.folder / name for name in ("one", "two")}
    return list(read_cached(places, maker.folder, settings, maker, cache))


def test_a_second_reading_makes_nothing_and_gives_the_same(maker: Maker) -> None:
    first = read(maker)
    assert maker.made == ["one", "two"]
    second = read(maker)
    assert maker.made == []
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one)


def test_a_changed_scan_is_made_anew_and_the_other_is_not(maker: Maker) -> None:
    read(maker)
    (maker.folder / "two" / "slice").write_bytes(b"owt")
    assert read(maker)[1]["hu"].tolist() == [ord(letter) - 1000 for letter in "owt"]
    assert maker.made == ["two"]


def test_other_settings_or_another_table_make_all_anew(maker: Maker) -> None:
    read(maker)
    read(maker, SETTINGS.model_copy(update={"nodule_margin_mm": 9.0}))
    assert maker.made == ["one", "two"]
    (maker.folder / "reference.json").write_text("{ }")
    read(maker)
    assert maker.made == ["one", "two"]


def test_other_code_makes_all_anew(maker: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(maker)
    source = tmp_path / "package" / "settings.py"
    source.parent.mkdir()
    source.write_text("# another version")
    monkeypatch.setattr("lung_nodules.__file__", str(source.with_name("__init__.py")))
    read(maker)
    assert maker.made == ["one", "two"]


def test_a_linked_folder_and_the_parts_of_an_image_file_belong_to_the_key(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (maker.folder / "two").rename(tmp_path / "elsewhere" / "two")
    (maker.folder / "two").symlink_to(tmp_path / "elsewhere" / "two")
    read(maker)
    (tmp_path / "elsewhere" / "two" / "slice").write_bytes(b"owt")
    read(maker)
    assert maker.made == ["two"]

    image = tmp_path / "elsewhere" / "1.2.3.mhd"
    image.write_text("ElementDataFile = 1.2.3.raw")
    for voxels in (b"1", b"2", b"2"):
        image.with_suffix(".raw").write_bytes(voxels)
        list(read_cached({"one": image}, maker.folder, SETTINGS, maker, tmp_path / "cache"))
    assert maker.made == ["two", "one", "one"]


def test_a_scan_that_the_table_names_elsewhere_is_read(tmp_path: Path) -> None:
    write_tiny_scans(tmp_path / "dicom")
    (patient,) = (path.name for path in (tmp_path / "dicom").iterdir() if path.is_dir())
    (from_dicom,) = read_backgrounds(tmp_path / "dicom", SETTINGS)
    volume = read_ct(tmp_path / "dicom" / patient)
    image = sitk.GetImageFromArray(volume.array)
    image.SetOrigin(volume.geometry.origin_lps)
    image.SetSpacing(volume.geometry.spacing_mm[::-1])
    sitk.WriteImage(image, str(tmp_path / "luna.mhd"))
    (tmp_path / "luna").mkdir()
    table = {"scans": {patient: {"folder": str(tmp_path / "luna.mhd"), "nodules": []}}}
    (tmp_path / "luna" / "reference.json").write_text(json.dumps(table))

    (from_image,) = read_backgrounds(tmp_path / "luna", SETTINGS, tmp_path / "cache")
    assert np.array_equal(from_image.hu, from_dicom.hu)
    assert np.array_equal(from_image.lung_ijk, from_dicom.lung_ijk)


def test_scans_of_patients_who_test_are_refused(tmp_path: Path) -> None:
    (tmp_path / invented_patients(Split.TEST)[0]).mkdir()
    (tmp_path / "reference.json").write_text('{"scans": {}}')
    with pytest.raises(UsageRefusal, match=r"1 of the 1 whole scans.*patients-kept-apart"):
        read_backgrounds(tmp_path, SETTINGS)


def test_a_background_is_the_same_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_scans(tmp_path / "scans")
    (made,) = read_backgrounds(tmp_path / "scans", SETTINGS, tmp_path / "cache")
    monkeypatch.setattr(backgrounds, "_read_background", None)  # it would be called
    (read,) = read_backgrounds(tmp_path / "scans", SETTINGS, tmp_path / "cache")
    assert (read.name, read.spacing_mm) == (made.name, 4.0)
    for name in ("hu", "near_lung", "clear", "lung_ijk"):
        one, other = getattr(made, name), getattr(read, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert made.near_lung.any()
