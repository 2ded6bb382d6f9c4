"""Nodule crops: those of the shared folder as its own table describes them, and a folder drawn by hand."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lung_nodules.cohorts.crops import CHARACTERISTICS, MAX_READERS, RATINGS, NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import ExitCode, InputRefusal

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
