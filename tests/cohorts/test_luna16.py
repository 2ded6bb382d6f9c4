"""LUNA16: an invented download of some scans, and the shared lists."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from lidc_files import outline, ring
from test_ct import write_metaimage

from lung_nodules.cohorts.building import Built, build_crops
from lung_nodules.cohorts.crops import read_crops
from lung_nodules.cohorts.cutting import CropSettings
from lung_nodules.cohorts.lidc import listed_patients
from lung_nodules.cohorts.luna16 import (
    LunaMark,
    ball,
    luna16_sources,
    patient_folds,
    read_candidates,
    read_luna16,
)
from lung_nodules.cohorts.marks import SCALES, Annotation, Reading
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal
from lung_nodules.progress import SilentProgress
from lung_nodules.stages.geometry import Geometry

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
MARKS = ["seriesuid", "coordX", "coordY", "coordZ", "diameter_mm"]


def write_list(path: Path, names: list[str], *rows: tuple[object, ...]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([names, *rows])


def write_download(folder: Path) -> Path:
    """Three scans in two subsets: one with a nodule, one with an excluded finding, one with neither."""
    write_list(folder / "annotations.csv", MARKS, ("1.1", -10.0, -30.0, -2.0, 40.0), ("1.9", 0, 0, 0, 5.5))
    write_list(folder / "annotations_excluded.csv", MARKS, ("1.2", 1, 2, 3, -1), ("1.1", 1, 2, 3, 4.5))
    for subset, uid in (("subset3", "1.1"), ("subset3", "1.2"), ("subset7/inner", "1.3")):
        (folder / subset).mkdir(parents=True, exist_ok=True)
        write_metaimage(folder / subset / f"{uid}.mhd", compressed=uid == "1.1")
    return folder


class TestDrawn:
    def test_scans_lists_and_folds_are_brought_together(self, tmp_path: Path) -> None:
        luna16 = read_luna16(write_download(tmp_path))
        scans = {scan.series_instance_uid: scan for scan in luna16.scans}
        assert list(scans) == ["1.1", "1.2", "1.3", "1.9"]
        assert [scan.fold for scan in luna16.scans] == [3, 3, 7, None]
        assert scans["1.1"].nodules == (LunaMark((-10.0, -30.0, -2.0), 40.0),)
        assert scans["1.2"].excluded == (LunaMark((1.0, 2.0, 3.0), -1.0),)
        assert scans["1.9"].path is None
        assert [scan.series_instance_uid for scan in luna16.images] == ["1.1", "1.2", "1.3"]
        assert luna16.missing_subsets == (0, 1, 2, 4, 5, 6, 8, 9)
        assert patient_folds(luna16) == {"1.1": 3, "1.2": 3, "1.3": 7}

    def test_lists_may_lie_deeper_and_a_list_of_scans_adds_those_without_marks(self, tmp_path: Path) -> None:
        write_list(tmp_path / "CSVFILES" / "annotations.csv", MARKS, ("1.1", 0, 0, 0, 5))
        (tmp_path / "evaluation" / "annotations").mkdir(parents=True)
        (tmp_path / "evaluation" / "annotations" / "seriesuids.csv").write_text("1.1\n1.5\n", encoding="utf-8")
        luna16 = read_luna16(tmp_path)
        assert [scan.series_instance_uid for scan in luna16.scans] == ["1.1", "1.5"]
        assert luna16.images == ()
        assert luna16.missing_subsets == tuple(range(10))

    def test_a_patient_with_scans_in_two_subsets_is_in_one_fold(self, tmp_path: Path) -> None:
        twice = next(patient for patient, count in Counter(listed_patients().values()).items() if count == 2)
        uids = [uid for uid, patient in listed_patients().items() if patient == twice]
        write_list(tmp_path / "annotations.csv", MARKS)
        for subset, uid in zip(("subset8", "subset2"), uids, strict=True):
            (tmp_path / subset).mkdir()
            write_metaimage(tmp_path / subset / f"{uid}.mhd")
        assert patient_folds(read_luna16(tmp_path)) == {twice: 2}

    def test_candidates_of_the_second_version_go_first(self, tmp_path: Path) -> None:
        names = [*MARKS[:4], "class"]
        write_list(tmp_path / "candidates.csv", names, ("1.1", 9, 9, 9, 0))
        assert len(read_candidates(tmp_path)["1.1"]) == 1
        write_list(tmp_path / "candidates_V2.csv", names, ("1.1", 1, 2, 3, 1), ("1.1", 4, 5, 6, 0))
        first, second = read_candidates(tmp_path)["1.1"]
        assert (first.center_lps, first.is_nodule, second.is_nodule) == ((1.0, 2.0, 3.0), True, False)

    def test_without_candidates_it_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(InputRefusal, match="No list of candidates") as refused:
            read_candidates(tmp_path)
        assert refused.value.code == "no-candidates"

    @pytest.mark.parametrize(
        ("names", "row"),
        [
            (MARKS, ("1.1", "x", 0, 0, 5)),
            (MARKS, ("1.1", "nan", 0, 0, 5)),
            (MARKS, ("1.1", 0, 0, 0, -1)),
            (MARKS, ("1.1", 0, 0)),
            (MARKS[:4], ("1.1", 0, 0, 0)),
        ],
    )
    def test_a_bad_row_is_refused(self, tmp_path: Path, names: list[str], row: tuple[object, ...]) -> None:
        write_list(tmp_path / "annotations.csv", names, row)
        with pytest.raises(InputRefusal, match=r"annotations\.csv cannot be read") as refused:
            read_luna16(tmp_path)
        assert refused.value.code == "bad-annotations"

    def test_a_folder_without_the_list_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputRefusal, match=r"No annotations\.csv") as refused:
            read_luna16(tmp_path)
        assert refused.value.code == "no-annotations"

    def test_the_same_scan_in_two_subsets_is_refused(self, tmp_path: Path) -> None:
        write_download(tmp_path)
        (tmp_path / "subset1").mkdir()
        write_metaimage(tmp_path / "subset1" / "1.2.mhd")
        with pytest.raises(InputRefusal, match="hold the same scan") as refused:
            read_luna16(tmp_path)
        assert refused.value.code == "scan-twice"


class TestBalls:
    geometry = Geometry((-50.0, -40.0, -30.0), (2.0, 0.5, 0.5), AXES, (30, 160, 200))

    @pytest.mark.parametrize("diameter_mm", [6.0, 12.0, 20.0])
    def test_a_ball_has_the_volume_and_place_of_its_diameter(self, diameter_mm: float) -> None:
        center = np.array([3.3, -7.1, 1.7])
        nodule = ball(LunaMark((3.3, -7.1, 1.7), diameter_mm), self.geometry)
        assert nodule is not None
        volume_mm3 = nodule.consensus.sum() * self.geometry.voxel_volume_mm3
        assert volume_mm3 == pytest.approx(np.pi / 6 * diameter_mm**3, rel=0.1)
        middle = self.geometry.to_world((np.argwhere(nodule.consensus) + nodule.origin_ijk).mean(axis=0))
        np.testing.assert_allclose(middle, center, atol=0.5)
        assert (nodule.num_readers, nodule.num_masks) == (0, 1)

    def test_the_smallest_ball_is_one_voxel_and_one_outside_is_none(self) -> None:
        nodule = ball(LunaMark((0.1, 0.1, 0.9), 0.2), self.geometry)
        assert nodule is not None
        assert nodule.consensus.sum() == 1
        assert ball(LunaMark((0.0, 0.0, 500.0), 5.0), self.geometry) is None

    def test_a_ball_at_the_edge_is_cut_off(self) -> None:
        nodule = ball(LunaMark((-50.0, -40.0, -30.0), 8.0), self.geometry)
        assert nodule is not None
        assert nodule.origin_ijk == (0, 0, 0)


class TestCrops:
    def test_without_outlines_a_nodule_is_a_ball_without_ratings(self, tmp_path: Path) -> None:
        sources = luna16_sources(read_luna16(write_download(tmp_path / "luna")))
        assert build_crops(sources, tmp_path / "out", CropSettings(), SilentProgress()) == Built(1, 1, 1)
        (crop,) = read_crops(tmp_path / "out")
        assert (crop.patient_id, crop.num_readers, crop.num_masks) == ("1.1", 0, 1)
        assert np.isnan([crop.ratings[name] for name in SCALES]).all()
        assert crop.consensus.any()

    def test_with_outlines_it_is_what_the_readers_drew(self, tmp_path: Path) -> None:
        drawn = tuple(outline(ring((3, 4), (5, 5)), z) for z in (-7.0, -2.0))  # slices 1 and 2
        reading = Reading("1.2", (Annotation(drawn, {"malignancy": 4}, None),))
        sources = luna16_sources(read_luna16(write_download(tmp_path / "luna")), {"1.2": reading, "1.9": reading})
        build_crops(sources, tmp_path / "out", CropSettings(), SilentProgress())
        (crop,) = read_crops(tmp_path / "out")
        inside = np.argwhere(crop.masks) + np.array(crop.origin_ijk, int)
        assert (inside.min(axis=0).tolist(), inside.max(axis=0).tolist()) == ([1, 4, 3], [2, 5, 5])
        assert (crop.patient_id, crop.num_readers, crop.ratings["malignancy"]) == ("1.2", 1, 4.0)
        assert (crop.slices_below, crop.slices_above) == (1, 3)  # as far as the scan goes


@pytest.mark.real_data
class TestShared:
    def test_the_lists_hold_what_the_challenge_says(self, shared_data: Path) -> None:
        luna16 = read_luna16(shared_data / "luna16")
        assert len(luna16.scans) == 888
        assert sum(len(scan.nodules) for scan in luna16.scans) == 1186
        assert sum(bool(scan.nodules) for scan in luna16.scans) == 601
        assert sum(len(scan.excluded) for scan in luna16.scans) == 35192

    def test_every_scan_has_its_patient_and_a_patient_one_side(self, shared_data: Path) -> None:
        luna16 = read_luna16(shared_data / "luna16")
        assert all(scan.patient_id.startswith("LIDC-IDRI-") for scan in luna16.scans)
        sides: dict[str, set[Split]] = {}
        for scan in luna16.scans:
            sides.setdefault(scan.patient_id, set()).add(split_of(scan.patient_id))
        assert all(len(split) == 1 for split in sides.values())
        assert split_of("LIDC-IDRI-0001") is Split.TEST
        assert {"LIDC-IDRI-0001", "LIDC-IDRI-0003"} <= sides.keys()
