"""Nodule crops: those of the shared folder as its own table describes them, and a folder drawn by hand."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lung_nodules.cohorts.crops import CHARACTERISTICS, MAX_READERS, RATINGS, NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import ExitCode, InputRefusal
from lung_nodules.stages.diameters import measure_diameters

FOUR_VOTES = [0b0000, 0b0001, 0b0011, 0b0111, 0b1111]  # nobody, one reader, two, three, four


def draw_cohort(folder: Path, rows: list[dict[str, str]], mask: np.ndarray) -> Path:
    """A table and one file for all; what a row does not say is that of a nodule of two readers."""
    usual = {"kind": "slices", "file": "a.npz", "spacing_z_mm": "2.5", "spacing_y_mm": "0.7", "spacing_x_mm": "0.6"}
    usual |= {"series_instance_uid": "1.2", "origin_x": "10", "origin_y": "20.5", "origin_z": "3"}
    usual |= {"n_readers": "2", "n_masks": "4", "diameter_mm": "5.5", "hu_steps_max": ""}
    for name in RATINGS:
        usual |= {f"{name}_mean": "3.5", f"{name}_0": "3", f"{name}_1": "", f"{name}_2": "4", f"{name}_3": ""}
    full = [{"nodule_id": row["key"], **usual, **row} for row in rows]
    with (folder / "nodules.csv").open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, full[0].keys())
        writer.writeheader()
        writer.writerows(full)
    arrays = {f"{row['key']}/mask": mask for row in rows}
    arrays |= {f"{row['key']}/image": np.full(mask.shape, -800 + n, np.int16) for n, row in enumerate(rows)}
    np.savez(folder / "a.npz", **arrays)
    return folder


class TestDrawn:
    @pytest.mark.parametrize(
        ("num_masks", "inside"),
        [(1, [0, 1, 1, 1, 1]), (2, [0, 1, 1, 1, 1]), (3, [0, 0, 1, 1, 1]), (4, [0, 0, 1, 1, 1])],
    )
    def test_the_consensus_is_what_half_of_those_who_outlined_it_agree_on(
        self, tmp_path: Path, num_masks: int, inside: list[int]
    ) -> None:
        mask = np.array(FOUR_VOTES, np.uint8).reshape(1, 1, 5)
        row = {"key": "k", "patient_id": "P", "n_masks": str(num_masks)}
        (crop,) = read_crops(draw_cohort(tmp_path, [row], mask))
        assert crop.consensus.ravel().tolist() == [bool(value) for value in inside]

    def test_it_does_not_matter_which_readers_agree(self, tmp_path: Path) -> None:
        mask = np.array([0b1000, 0b0101, 0b1010, 0b1100], np.uint8).reshape(1, 2, 2)
        (crop,) = read_crops(draw_cohort(tmp_path, [{"key": "k", "patient_id": "P"}], mask))
        assert crop.consensus.ravel().tolist() == [False, True, True, True]
        np.testing.assert_allclose(crop.center_ijk, [0, 2 / 3, 2 / 3])

    def test_every_field_is_read(self, tmp_path: Path) -> None:
        mask = np.ones((2, 3, 4), np.uint8)
        (crop,) = read_crops(draw_cohort(tmp_path, [{"key": "k", "patient_id": "P", "hu_steps_max": "7"}], mask))
        assert (crop.nodule_id, crop.patient_id, crop.kind, crop.split) == ("k", "P", "slices", split_of("P"))
        assert crop.spacing_mm == (2.5, 0.7, 0.6)
        assert (crop.series_instance_uid, crop.origin_ijk) == ("1.2", (3.0, 20.5, 10.0))
        assert crop.image.shape == crop.masks.shape == (2, 3, 4)
        assert (crop.num_readers, crop.num_masks, crop.diameter_mm, crop.hu_steps_max) == (2, 4, 5.5, 7)
        assert crop.ratings == dict.fromkeys(RATINGS, 3.5)
        assert crop.ratings_by_reader == dict.fromkeys(RATINGS, (3.0, 4.0))
        assert set(RATINGS) == {"malignancy", *CHARACTERISTICS}

    def test_kinds_and_sides_are_chosen_and_the_order_is_the_table_s(self, tmp_path: Path) -> None:
        patients = [f"P{number}" for number in range(30)]
        rows = [
            {"key": f"{patient}-{kind}", "patient_id": patient, "kind": kind}
            for patient in patients
            for kind in ("slices", "iso")
        ]
        folder = draw_cohort(tmp_path, rows, np.ones((1, 1, 1), np.uint8))
        assert [crop.nodule_id for crop in read_crops(folder)] == [row["key"] for row in rows]
        tested = [f"{patient}-iso" for patient in patients if split_of(patient) == Split.TEST]
        assert 0 < len(tested) < 30
        assert [crop.nodule_id for crop in read_crops(folder, [Split.TEST], ["iso"])] == tested

    def test_a_folder_without_a_table_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputRefusal, match=r"holds no nodules\.csv") as refused:
            read_crops(tmp_path)
        assert refused.value.code == "no-crops"
        assert refused.value.exit_code == ExitCode.NO_USABLE_CT


def rewrite(folder: Path, change: Callable[[dict[str, str]], None], encoding: str = "utf-8") -> Path:
    """Change each row of the table; what a change removes is no column any more."""
    table = folder / "nodules.csv"
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        change(row)
    with table.open("w", newline="", encoding=encoding) as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return folder


def drop(*columns: str) -> Callable[[dict[str, str]], None]:
    def change(row: dict[str, str]) -> None:
        for name in columns:
            row.pop(name, None)

    return change


class TestTablesOfOthers:
    """What a site's own table may leave out, and how it is refused where it cannot be read."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        mask = np.zeros((3, 8, 8), np.uint8)
        mask[1, 2:6, 3:5] = 0b11
        rows = [{"key": f"k{number}", "patient_id": f"SECRET-{number}", "n_masks": "2"} for number in range(2)]
        return draw_cohort(tmp_path, rows, mask)

    def refused(self, folder: Path) -> str:
        with pytest.raises(InputRefusal) as refused:
            read_crops(folder)
        assert refused.value.code == "bad-crops"
        assert "SECRET" not in str(refused.value)
        return refused.value.sentence

    def test_a_byte_order_mark_is_passed_over(self, folder: Path) -> None:
        crops = read_crops(rewrite(folder, lambda row: None, "utf-8-sig"))
        assert [crop.nodule_id for crop in crops] == ["k0", "k1"]

    def test_all_but_the_required_columns_may_be_missing(self, folder: Path) -> None:
        rated = [f"{name}_{end}" for name in RATINGS for end in ("mean", *range(MAX_READERS))]
        places = ["origin_x", "origin_y", "origin_z", "series_instance_uid", "hu_steps_max"]
        crop = read_crops(rewrite(folder, drop(*rated, *places)))[0]
        assert set(crop.ratings) == set(crop.ratings_by_reader) == set(RATINGS)
        assert np.isnan(list(crop.ratings.values())).all()
        assert crop.ratings_by_reader["malignancy"] == ()
        assert (crop.origin_ijk, crop.series_instance_uid, crop.hu_steps_max) == ((0.0, 0.0, 0.0), "", 0)

    @pytest.mark.parametrize("cell", ["", "nan", "-1"])
    def test_a_diameter_that_is_not_given_is_measured(self, folder: Path, cell: str) -> None:
        crops = read_crops(rewrite(folder, lambda row: row.update(diameter_mm=cell)))
        for crop in crops:  # 4 rows of 0.7 mm and 2 columns of 0.6 mm, from edge to edge
            assert crop.diameter_mm == pytest.approx(measure_diameters(crop.consensus, crop.spacing_mm).long_axis_mm)
            assert 2.8 <= crop.diameter_mm < np.hypot(2.8, 1.2)
        assert read_crops(rewrite(folder, drop("diameter_mm")))[0].diameter_mm == crops[0].diameter_mm

    def test_a_nodule_without_consensus_needs_no_diameter(self, tmp_path: Path) -> None:
        row = {"key": "k", "patient_id": "P", "diameter_mm": ""}
        (crop,) = read_crops(draw_cohort(tmp_path, [row], np.ones((1, 2, 2), np.uint8)))  # one of four readers
        assert not crop.consensus.any()
        assert crop.diameter_mm == 0

    def test_required_columns_that_are_missing_are_named(self, folder: Path) -> None:
        said = self.refused(rewrite(folder, drop("spacing_y_mm", "n_masks")))
        assert said == "nodules.csv lacks columns: spacing_y_mm, n_masks."

    def test_an_empty_table_lacks_them_all(self, folder: Path) -> None:
        (folder / "nodules.csv").write_bytes(b"")
        assert "lacks columns: nodule_id" in self.refused(folder)

    def test_a_table_in_another_encoding_is_refused(self, folder: Path) -> None:
        (folder / "nodules.csv").write_bytes(b"nodule_id\n\xff\xfe")
        assert self.refused(folder) == "nodules.csv cannot be read as a table."

    @pytest.mark.parametrize(
        ("cells", "sentence"),
        [
            ({"n_readers": ""}, "Line 3 of nodules.csv is empty in n_readers."),
            ({"n_readers": "four"}, "Line 3 of nodules.csv has no number where one is due."),
            ({"diameter_mm": "6,5"}, "Line 3 of nodules.csv has no number where one is due."),
            ({"malignancy_1": "?"}, "Line 3 of nodules.csv has no number where one is due."),
            ({"spacing_z_mm": "0"}, "Line 3 of nodules.csv has a spacing that is not above 0 mm."),
            ({"spacing_z_mm": "nan"}, "Line 3 of nodules.csv has a spacing that is not above 0 mm."),
            ({"key": "other"}, "a.npz does not hold image and mask of line 3 of nodules.csv."),
            ({"file": "b.npz"}, "b.npz, which nodules.csv names, is missing or no .npz file."),
        ],
    )
    def test_a_line_that_cannot_be_read_is_named_by_its_number(
        self, folder: Path, cells: dict[str, str], sentence: str
    ) -> None:
        def spoil(row: dict[str, str]) -> None:
            if row["nodule_id"] == "k1":
                row |= cells

        assert self.refused(rewrite(folder, spoil)) == sentence

    @pytest.mark.parametrize("kind", ["text", "cut short", "one array"])
    def test_a_file_that_is_no_archive_is_named(self, folder: Path, kind: str) -> None:
        file = folder / "a.npz"
        if kind == "one array":
            with file.open("wb") as target:
                np.save(target, np.zeros(3))
        else:
            file.write_bytes(b"no archive" if kind == "text" else file.read_bytes()[:200])
        assert self.refused(folder) == "a.npz, which nodules.csv names, is missing or no .npz file."

    def test_an_array_that_is_damaged_is_named_by_its_line(self, folder: Path) -> None:
        file = folder / "a.npz"
        content = bytearray(file.read_bytes())
        at = content.index(b"k0/image.npy") + 200
        content[at : at + 8] = b"\xaa" * 8
        file.write_bytes(content)
        assert self.refused(folder) == "a.npz does not hold image and mask of line 2 of nodules.csv."

    def test_image_and_mask_must_have_one_shape(self, folder: Path) -> None:
        arrays = {f"k{number}/mask": np.ones((1, 2, 2), np.uint8) for number in range(2)}
        np.savez(folder / "a.npz", **arrays, **{f"k{n}/image": np.zeros((2, 2, 2), np.int16) for n in range(2)})
        assert self.refused(folder) == "Image and mask of line 2 of nodules.csv are no volumes of one shape."

    def test_a_key_means_the_array_of_its_own_file(self, folder: Path) -> None:
        for number in range(2):
            image = np.full((1, 2, 2), 100 * number, np.int16)
            np.savez(folder / f"p{number}.npz", **{"n0/image": image, "n0/mask": np.ones((1, 2, 2), np.uint8)})
        own = rewrite(folder, lambda row: row.update(file=f"p{row['nodule_id'][-1]}.npz", key="n0"))
        assert [(crop.nodule_id, int(crop.image[0, 0, 0])) for crop in read_crops(own)] == [("k0", 0), ("k1", 100)]


@pytest.fixture(scope="module")
def table(shared_data: Path) -> dict[str, dict[str, str]]:
    with (shared_data / "lidc-nodules" / "nodules.csv").open(newline="", encoding="utf-8") as lines:
        return {row["key"]: row for row in csv.DictReader(lines)}


@pytest.fixture(scope="module")
def crops(shared_data: Path) -> tuple[NoduleCrop, ...]:
    return read_crops(shared_data / "lidc-nodules", [Split.VALIDATION])


@pytest.mark.real_data
class TestShared:
    def test_the_table_counts_what_its_readme_counts(self, table: dict[str, dict[str, str]]) -> None:
        slices = [row for row in table.values() if row["kind"] == "slices"]
        assert Counter(row["n_readers"] for row in slices) == {"1": 603, "2": 379, "3": 397, "4": 764}
        assert sum(row["kind"] == "iso" for row in table.values()) == 111

    def test_a_side_holds_its_patients_and_no_other(
        self, table: dict[str, dict[str, str]], crops: tuple[NoduleCrop, ...]
    ) -> None:
        expected = [key for key, row in table.items() if split_of(row["patient_id"]) == Split.VALIDATION]
        assert len(expected) > 200
        assert {crop.split for crop in crops} == {Split.VALIDATION}
        assert [crop.nodule_id for crop in crops] == [table[key]["nodule_id"] for key in expected]
        assert {crop.kind for crop in crops} == {"slices", "iso"}

    def test_the_consensus_measures_what_the_table_says(
        self, table: dict[str, dict[str, str]], crops: tuple[NoduleCrop, ...]
    ) -> None:
        by_id = {row["nodule_id"]: row for row in table.values()}
        for crop in crops:
            row, consensus = by_id[crop.nodule_id], crop.consensus
            assert crop.image.shape == tuple(int(row[name]) for name in ("nz", "ny", "nx"))
            volume_mm3 = consensus.sum() * np.prod(crop.spacing_mm)
            assert volume_mm3 == pytest.approx(float(row["volume_mm3"]), rel=0.005, abs=0.1), crop.nodule_id
            assert consensus.any(axis=(1, 2)).sum() == int(row["consensus_slices"])
            drawn = [reader for reader in range(MAX_READERS) if (crop.masks >> reader & 1).any()]
            assert len(drawn) == crop.num_masks

    def test_images_are_hu_and_ratings_those_of_the_readers(self, crops: tuple[NoduleCrop, ...]) -> None:
        for crop in crops:
            assert crop.image.dtype == np.int16
            assert -1024 <= crop.image.min() < crop.image.max() <= 2000
            for name in RATINGS:
                single = crop.ratings_by_reader[name]
                assert len(single) == crop.num_readers
                assert crop.ratings[name] == pytest.approx(np.mean(single), abs=0.01)
        solid = [crop for crop in crops if crop.ratings["texture"] == 5 and crop.diameter_mm > 8]
        assert len(solid) > 20
        assert np.median([np.median(crop.image[crop.consensus]) for crop in solid]) > -150
