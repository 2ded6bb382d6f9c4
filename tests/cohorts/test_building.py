"""Crops cut from whole scans: a drawn chest with invented marks, and LIDC-IDRI-0002."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ct_files import CTSeries, read_volume
from lidc_files import box_regions, nodule, region, ring, small_series, write_xml
from pydicom.dataset import Dataset

from lung_nodules.cohorts.building import Built, ScanSource, build_crops
from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.cutting import COLUMNS, CropSettings
from lung_nodules.cohorts.lidc import find_lidc_scans, listed_patients, patient_of
from lung_nodules.cohorts.scans import read_reference_labels, read_reference_scans
from lung_nodules.errors import InputRefusal, OutputRefusal
from lung_nodules.progress import SilentProgress

SETTINGS = CropSettings()
FIRST, LAST = (20, 40, 60), (23, 44, 63)  # a box of voxels: slice, row, column
SECOND = ((30, 20, 20), (30, 23, 25))


def write_scan(folder: Path, patient_id: str, series: CTSeries | None = None, xml: Path | None = None) -> CTSeries:
    """A scan of three readers: two outlined the first box, one of them a slice more; the third another box."""
    series = series or small_series()

    def name(header: Dataset, index: int) -> None:
        header.PatientID = patient_id

    series.write(folder, name)
    larger = (FIRST[0] - 1, *FIRST[1:])
    sessions = [
        [nodule("a", list(box_regions(series, FIRST, LAST)), 3)],
        [nodule("b", list(box_regions(series, larger, LAST)), 4), nodule("s", [region([(5, 5)], 0.0)])],
        [nodule("c", list(box_regions(series, *SECOND)), 2)],
    ]
    write_xml(xml or folder / "marks.xml", series.series_uid, sessions)
    return series


def build(folder: Path, out: Path, settings: CropSettings = SETTINGS, marks: Path | None = None) -> Built:
    return build_crops(find_lidc_scans(folder, marks), out, settings, SilentProgress())


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "nodules.csv").open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, CTSeries]:
    folder = tmp_path_factory.mktemp("lidc")
    return folder, write_scan(folder / "INVENTED-1" / "study" / "series", "INVENTED-1")


@pytest.fixture(scope="module")
def crops(scan: tuple[Path, CTSeries], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[NoduleCrop, ...]]:
    out = tmp_path_factory.mktemp("crops") / "out"
    assert build(scan[0], out) == Built(1, 1, 2)
    return out, read_crops(out)


class TestDrawn:
    def test_a_crop_shows_the_scan_around_its_nodule(
        self, scan: tuple[Path, CTSeries], crops: tuple[Path, tuple[NoduleCrop, ...]]
    ) -> None:
        volume = read_volume(scan[0])
        crop = crops[1][0]
        assert (crop.nodule_id, crop.patient_id, crop.kind) == ("INVENTED-1_n0", "INVENTED-1", "slices")
        assert crop.series_instance_uid == scan[1].series_uid
        assert crop.spacing_mm == (2.5, 3.0, 3.0)
        start = np.array(crop.origin_ijk, int)
        box = tuple(slice(a, a + n) for a, n in zip(start, crop.image.shape, strict=True))
        expected = np.clip(np.round(volume.array[box] / 8) * 8, -1024, 2000)
        assert np.array_equal(crop.image, expected)
        assert len(np.unique(crop.image)) > 3

    def test_masks_and_ratings_are_the_readers(self, crops: tuple[Path, tuple[NoduleCrop, ...]]) -> None:
        first, second = crops[1]
        inside = np.argwhere(first.masks == 3) + np.array(first.origin_ijk, int)
        assert (inside.min(axis=0).tolist(), inside.max(axis=0).tolist()) == (list(FIRST), list(LAST))
        assert np.unique(first.masks).tolist() == [0, 2, 3]
        assert (first.num_readers, first.num_masks, second.num_readers, second.num_masks) == (2, 2, 1, 1)
        assert first.ratings_by_reader["malignancy"] == (3.0, 4.0)
        assert first.ratings["spiculation"] == 3.5
        assert second.ratings["texture"] == 2.0

    def test_context_in_z_is_counted(self, crops: tuple[Path, tuple[NoduleCrop, ...]]) -> None:
        for crop in crops[1]:
            beyond = 12  # 32 mm at 2.5 mm
            drawn = np.flatnonzero(crop.masks.any(axis=(1, 2)))
            assert (crop.slices_below, crop.slices_above) == (beyond, beyond)
            assert (drawn[0], crop.image.shape[0] - 1 - drawn[-1]) == (beyond, beyond)

    def test_a_crop_reaches_32_mm_from_the_middle_in_plane(self, crops: tuple[Path, tuple[NoduleCrop, ...]]) -> None:
        assert crops[1][0].image.shape[1:] == (22, 22)  # 2 x 11 pixels of 3 mm
        middle = np.array(crops[1][0].origin_ijk)[1:] + 11
        assert np.abs(middle - [(40 + 44 + 1) / 2, (60 + 63 + 1) / 2]).max() <= 0.5

    def test_the_table_is_that_of_the_format(self, crops: tuple[Path, tuple[NoduleCrop, ...]]) -> None:
        (first, second) = rows_of(crops[0])
        assert tuple(first) == COLUMNS
        voxel_mm3 = 2.5 * 3 * 3
        assert float(first["volume_mm3"]) == pytest.approx(5 * 5 * 4 * voxel_mm3)  # of two readers the union
        assert float(first["diameter_mm"]) == pytest.approx(np.hypot(4 * 3, 5 * 3) - 3, abs=2)
        assert (first["consensus_slices"], second["consensus_slices"]) == ("5", "1")
        assert float(second["diameter_outline_mm"]) == pytest.approx(3 * np.hypot(7, 5), abs=0.01)
        assert (first["hu_slices_direct"], first["hu_steps_max"]) == (first["nz"], "0")
        assert (first["masks_equal_outlines"], first["malignancy_2"]) == ("2", "")

    def test_without_context_a_crop_ends_where_the_outlines_do(
        self, scan: tuple[Path, CTSeries], tmp_path: Path
    ) -> None:
        build(scan[0], tmp_path / "out", CropSettings(context_mm=0))
        first, second = read_crops(tmp_path / "out")
        assert (first.image.shape[0], second.image.shape[0]) == (5, 1)
        assert first.masks.any(axis=(1, 2)).all()

    def test_building_again_gives_the_same_bytes(
        self, scan: tuple[Path, CTSeries], crops: tuple[Path, tuple[NoduleCrop, ...]], tmp_path: Path
    ) -> None:
        build(scan[0], tmp_path / "out")
        for path in crops[0].iterdir():
            assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()

    def test_rows_that_run_the_other_way_give_the_same_crops_mirrored(self, tmp_path: Path) -> None:
        series = small_series(rows=(-1, 0, 0), columns=(0, -1, 0))
        write_scan(tmp_path / "scan", "INVENTED-1", series)
        build(tmp_path / "scan", tmp_path / "out")
        volume = read_volume(tmp_path / "scan")
        crop = read_crops(tmp_path / "out")[0]
        start, shape = np.array(crop.origin_ijk, int), np.array(volume.array.shape)
        inside = np.argwhere(crop.masks == 3) + start
        assert inside[:, 1:].min(axis=0).tolist() == [shape[1] - 1 - LAST[1], shape[2] - 1 - LAST[2]]
        turned = volume.array[:, ::-1, ::-1]
        box = tuple(slice(a, a + n) for a, n in zip(start, crop.image.shape, strict=True))
        assert np.array_equal(crop.image, np.clip(np.round(turned[box] / 8) * 8, -1024, 2000))


class TestFolders:
    def test_marks_may_lie_elsewhere_and_the_uid_binds_them(self, tmp_path: Path) -> None:
        write_scan(tmp_path / "images" / "x", "INVENTED-1", xml=tmp_path / "marks" / "157" / "158.XML")
        assert build(tmp_path / "images", tmp_path / "out", marks=tmp_path / "marks") == Built(1, 1, 2)
        with pytest.raises(InputRefusal, match="No XML") as refused:
            find_lidc_scans(tmp_path / "images")
        assert refused.value.code == "no-readings"

    def test_other_files_beside_the_images_do_no_harm(self, tmp_path: Path) -> None:
        write_scan(tmp_path / "lidc" / "a", "INVENTED-1")
        (tmp_path / "lidc" / "a" / "0.txt").write_text("notes", encoding="utf-8")
        (tmp_path / "lidc" / "a" / "1.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
        (tmp_path / "lidc" / "a" / "radiograph.xml").write_text("<IdriReadMessage/>", encoding="utf-8")
        (tmp_path / "lidc" / "empty").mkdir()
        assert build(tmp_path / "lidc", tmp_path / "out") == Built(1, 1, 2)

    def test_a_patient_s_scans_share_a_file_and_the_numbers_go_on(self, tmp_path: Path) -> None:
        for number, patient in enumerate(("INVENTED-2", "INVENTED-1", "INVENTED-2")):
            write_scan(tmp_path / "lidc" / str(number), patient)
        assert build(tmp_path / "lidc", tmp_path / "out") == Built(3, 2, 6)
        rows = rows_of(tmp_path / "out")
        assert [row["nodule_id"] for row in rows] == [
            *("INVENTED-1_n0", "INVENTED-1_n1"),
            *(f"INVENTED-2_n{number}" for number in range(4)),
        ]
        assert len({(row["patient_id"], row["file"]) for row in rows}) == 2
        assert len({crop.nodule_id for crop in read_crops(tmp_path / "out")}) == 6

    def test_what_cannot_be_read_is_left_out_and_counted(self, tmp_path: Path) -> None:
        lidc = tmp_path / "lidc"
        write_scan(lidc / "good", "INVENTED-1")
        series = write_scan(lidc / "gap", "INVENTED-2")
        for path in sorted(lidc.joinpath("gap").glob(f"{series.series_uid[-6:]}-*"))[10:16]:
            path.unlink()
        write_scan(lidc / "images elsewhere", "INVENTED-3", xml=lidc / "other" / "a.xml")
        for path in (lidc / "images elsewhere").iterdir():
            path.unlink()
        (lidc / "broken.xml").write_text("<LidcReadMessage>", encoding="utf-8")
        built = build(lidc, tmp_path / "out")
        assert (built.num_scans, built.num_crops) == (1, 2)
        assert built.left_out.total() == 3
        assert built.left_out["bad-readings"] == 1
        assert {row["patient_id"] for row in rows_of(tmp_path / "out")} == {"INVENTED-1"}

    def test_a_scan_in_which_nobody_outlined_a_nodule_is_not_read(self, tmp_path: Path) -> None:
        write_xml(tmp_path / "a.xml", "1.2.3", [[nodule("s", [region([(5, 5)], 0.0)])], []])
        assert [source.has_nodules for source in find_lidc_scans(tmp_path)] == [False]
        with pytest.raises(InputRefusal, match="No scan with outlined nodules") as refused:
            build(tmp_path, tmp_path / "out")
        assert refused.value.code == "no-scans"
        assert not (tmp_path / "out").exists()

    def test_nothing_is_left_where_no_scan_could_be_read(self, tmp_path: Path) -> None:
        write_xml(tmp_path / "in" / "a.xml", "1.2.3", [[nodule("a", [region(ring((3, 3), (5, 5)), 0.0)], 3)]])
        with pytest.raises(InputRefusal, match=r"None of the 1 scans could be read"):
            build(tmp_path / "in", tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_a_cohort_is_not_written_over(self, tmp_path: Path) -> None:
        (tmp_path / "nodules.csv").write_text("", encoding="utf-8")
        source = ScanSource("P", "1.2", lambda: pytest.fail("was read"))
        with pytest.raises(OutputRefusal, match="holds a cohort already") as refused:
            build_crops([source], tmp_path, SETTINGS, SilentProgress())
        assert refused.value.code == "cohort-exists"


def test_every_series_of_the_collection_has_its_patient() -> None:
    patients = listed_patients()
    assert len(patients) == 1018
    assert len(set(patients.values())) == 1010  # eight patients have two scans
    assert patient_of("1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192") == "LIDC-IDRI-0001"
    assert patient_of("1.2.3") == "1.2.3"


@pytest.mark.real_data
class TestShared:
    def test_the_table_has_the_columns_of_the_shared_crops(self, shared_data: Path) -> None:
        assert tuple(rows_of(shared_data / "lidc-nodules")[0]) == COLUMNS

    def test_0002_is_what_the_format_says(self, shared_data: Path, tmp_path: Path) -> None:
        assert build(shared_data / "train-scans", tmp_path / "out") == Built(1, 1, 1)
        (crop,), (row,) = read_crops(tmp_path / "out"), rows_of(tmp_path / "out")
        entry = json.loads((shared_data / "train-scans" / "reference.json").read_text(encoding="utf-8"))
        (written,) = entry["scans"]["LIDC-IDRI-0002"]["nodules"]
        assert (crop.num_readers, crop.num_masks) == (2, 2)
        assert crop.diameter_mm == pytest.approx(written["longest_axial_diameter_mm"], abs=0.005)
        assert float(row["volume_mm3"]) == pytest.approx(written["volume_mm3"], abs=0.05)
        assert crop.ratings["malignancy"] == 4.5
        assert crop.ratings_by_reader["margin"] == (1.0, 2.0)
        assert (crop.slices_below, crop.slices_above) == (25, 25)  # 32 mm at 1.25 mm
        volume = read_volume(shared_data / "train-scans" / "LIDC-IDRI-0002")
        start = np.array(crop.origin_ijk, int)
        box = tuple(slice(a, a + n) for a, n in zip(start, crop.image.shape, strict=True))
        assert np.abs(crop.image - volume.array[box].clip(-1024, 2000)).max() <= 4
        assert not (crop.image % 8).any()
        (scan,) = read_reference_scans(shared_data / "train-scans")
        label_map = read_reference_labels(scan, volume.geometry)
        assert np.array_equal(label_map[box] > 0, crop.consensus)
        assert (label_map > 0).sum() == crop.consensus.sum()
