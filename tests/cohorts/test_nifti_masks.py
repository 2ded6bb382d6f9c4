"""NIfTI masks in the place of outlines: drawn ones, and the shared consensus masks."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
from ct_files import read_volume
from lidc_files import small_series
from test_ct import ORIGIN_LPS, SHAPE, SPACING_MM, write_nifti

from lung_nodules.cohorts.building import Built, build_crops
from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.cutting import CropSettings
from lung_nodules.cohorts.nifti_masks import find_masked_scans, gather_masks
from lung_nodules.errors import InputRefusal
from lung_nodules.progress import SilentProgress
from lung_nodules.stages.geometry import Geometry


def write_mask(path: Path, labels: npt.NDArray[np.integer], geometry: Geometry | None = None) -> None:
    """A label map [slice, row, column] on the grid of a scan, stored as RAS."""
    affine = np.diag([*SPACING_MM[::-1], 1.0])
    affine[:3, 3] = ORIGIN_LPS
    if geometry is not None:
        affine = geometry.affine[:, [2, 1, 0, 3]]
    nibabel.save(
        nibabel.Nifti1Image(labels.transpose(2, 1, 0).astype(np.uint8), np.diag([-1, -1, 1, 1]) @ affine), path
    )


def drawn(*boxes: tuple[tuple[slice, ...], int], shape: tuple[int, ...] = SHAPE) -> npt.NDArray[np.uint8]:
    labels = np.zeros(shape, np.uint8)
    for box, label in boxes:
        labels[box] = label
    return labels


def build(folder: Path, out: Path) -> tuple[Built, tuple[NoduleCrop, ...]]:
    built = build_crops(find_masked_scans(folder), out, CropSettings(), SilentProgress())
    return built, read_crops(out)


class TestMasks:
    def test_readers_who_marked_the_same_place_share_a_nodule(self) -> None:
        one = drawn((np.s_[1:3, 2:4, 2:4], 1), (np.s_[3:5, 7:9, 8:11], 2))
        other = drawn((np.s_[1:3, 3:5, 2:4], 9))
        first, second = gather_masks([one, other], SPACING_MM)
        assert (first.origin_ijk, first.num_masks, first.num_readers) == ((1, 2, 2), 2, 0)
        assert first.masks[0].tolist() == [[1, 1], [3, 3], [2, 2]]
        assert (second.origin_ijk, second.num_masks) == ((3, 7, 8), 1)

    def test_a_mask_without_labels_has_one_nodule_a_component(self) -> None:
        mask = drawn((np.s_[1:2, 1:2, 1:2], 255), (np.s_[4:5, 8:9, 9:10], 255))
        assert len(gather_masks([mask], SPACING_MM)) == 2
        assert gather_masks([np.zeros_like(mask)], SPACING_MM) == []


class TestFolders:
    def test_a_nifti_scan_and_its_masks_become_crops(self, tmp_path: Path) -> None:
        write_nifti(tmp_path / "INVENTED-1.nii.gz", (1, -1, 1))
        write_mask(tmp_path / "INVENTED-1_reader1.nii.gz", drawn((np.s_[1:3, 2:4, 2:5], 1)))
        write_mask(tmp_path / "INVENTED-1_reader2.nii", drawn((np.s_[1:4, 2:4, 2:4], 1)))
        built, (crop,) = build(tmp_path, tmp_path / "out")
        assert built == Built(1, 1, 1)
        assert (crop.nodule_id, crop.num_masks, crop.num_readers) == ("INVENTED-1_n0", 2, 0)
        inside = np.argwhere(crop.masks == 3) + np.array(crop.origin_ijk, int)
        assert (inside.min(axis=0).tolist(), inside.max(axis=0).tolist()) == ([1, 2, 2], [2, 3, 3])

    def test_a_dicom_folder_may_be_the_scan_however_its_rows_run(self, tmp_path: Path) -> None:
        small_series(rows=(-1, 0, 0), columns=(0, -1, 0)).write(tmp_path / "INVENTED-2")
        volume = read_volume(tmp_path / "INVENTED-2")
        mask = drawn((np.s_[20:24, 40:44, 60:64], 1), shape=volume.array.shape)
        write_mask(tmp_path / "INVENTED-2_mask.nii.gz", mask, volume.geometry)
        _, (crop,) = build(tmp_path, tmp_path / "out")
        inside = np.argwhere(crop.masks) + np.array(crop.origin_ijk, int)
        rows, columns = volume.array.shape[1:]
        assert inside.min(axis=0).tolist() == [20, rows - 44, columns - 64]

    @pytest.mark.parametrize("fault", ["shifted", "other shape"])
    def test_a_mask_on_another_grid_is_left_out(self, tmp_path: Path, fault: str) -> None:
        write_nifti(tmp_path / "a.nii")
        mask = drawn((np.s_[1:3, 2:4, 2:5], 1))
        geometry = Geometry((-50.0, -90.0, -12.0), SPACING_MM, ((0, 0, 1), (0, 1, 0), (1, 0, 0)), SHAPE)
        write_mask(
            tmp_path / "a_m.nii", mask if fault == "shifted" else mask[:-1], geometry if fault == "shifted" else None
        )
        with pytest.raises(InputRefusal, match=r"mask-off-grid \(1\)"):
            build(tmp_path, tmp_path / "out")

    def test_five_masks_are_too_many(self, tmp_path: Path) -> None:
        write_nifti(tmp_path / "a.nii")
        for number in range(5):
            write_mask(tmp_path / f"a_{number}.nii", drawn((np.s_[1:3, 2:4, 2:5], 1)))
        with pytest.raises(InputRefusal, match="too-many-masks"):
            build(tmp_path, tmp_path / "out")

    def test_a_folder_without_masks_holds_no_scan(self, tmp_path: Path) -> None:
        write_nifti(tmp_path / "a.nii")
        assert find_masked_scans(tmp_path) == ()
        with pytest.raises(InputRefusal, match="There is no folder"):
            find_masked_scans(tmp_path / "missing")


@pytest.mark.real_data
def test_the_shared_consensus_masks_measure_what_the_reference_says(shared_data: Path, tmp_path: Path) -> None:
    scans = [scan for scan in find_masked_scans(shared_data / "lidc-scans") if scan.patient_id == "LIDC-IDRI-0003"]
    assert build_crops(scans, tmp_path / "out", CropSettings(), SilentProgress()) == Built(1, 1, 4)
    crops = read_crops(tmp_path / "out")
    assert sorted(crop.diameter_mm for crop in crops) == pytest.approx([12.55, 14.33, 30.53, 30.92], abs=0.01)
    assert sum(int(crop.consensus.sum()) for crop in crops) == 6749
