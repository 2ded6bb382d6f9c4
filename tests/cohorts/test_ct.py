"""A cohort's CT: the same scan as DICOM, MetaImage and NIfTI, however its axes run."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  # its own documentation's name
from ct_files import chest_hu
from lidc_files import small_series

from lung_nodules.cohorts.ct import read_ct, turned_axes, upright
from lung_nodules.errors import InputRefusal
from lung_nodules.stages.geometry import Geometry

SHAPE = (6, 10, 12)
SPACING_MM = (5.0, 20.0, 18.0)
ORIGIN_LPS = np.array([-100.0, -90.0, -12.0])
WAYS = [(z, y, x) for z in (1, -1) for y in (1, -1) for x in (1, -1)]


def drawn(ways: tuple[int, int, int] = (1, 1, 1)) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float64]]:
    """A coarse drawn chest whose axes run one way or the other, and the place of its first voxel."""
    steps = np.array(SPACING_MM) * ways
    first = ORIGIN_LPS + [(np.array(SPACING_MM) * (np.array(SHAPE) - 1))[2 - k] * (ways[2 - k] < 0) for k in range(3)]
    indices = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    points = (indices * steps)[..., ::-1] + first
    return np.rint(chest_hu(points)).astype(np.int16), first


def write_metaimage(path: Path, ways: tuple[int, int, int] = (1, 1, 1), compressed: bool = False) -> Path:
    array, first = drawn(ways)
    image = sitk.GetImageFromArray(array)
    image.SetOrigin(first.tolist())
    image.SetSpacing(SPACING_MM[::-1])
    image.SetDirection(np.diag(ways[::-1]).astype(float).ravel().tolist())
    sitk.WriteImage(image, str(path), compressed)
    return path


def write_nifti(path: Path, ways: tuple[int, int, int] = (1, 1, 1)) -> Path:
    array, first = drawn(ways)
    affine = np.diag([*(np.array(SPACING_MM) * ways)[::-1], 1.0])
    affine[:3, 3] = first
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), np.diag([-1, -1, 1, 1]) @ affine), path)
    return path


@pytest.mark.parametrize("ways", WAYS)
def test_metaimage_and_nifti_become_the_same_upright_scan(tmp_path: Path, ways: tuple[int, int, int]) -> None:
    array, _ = drawn()
    for path in (write_metaimage(tmp_path / "a.mhd", ways), write_nifti(tmp_path / "a.nii.gz", ways)):
        volume = read_ct(path)
        rows = np.asarray(volume.geometry.direction)
        standing = upright(volume)
        assert np.array_equal(standing.array, array), path.name
        np.testing.assert_allclose(standing.geometry.origin_lps, ORIGIN_LPS, atol=1e-4)
        np.testing.assert_allclose(standing.geometry.spacing_mm, SPACING_MM, atol=1e-4)
        assert turned_axes(standing.geometry) == ()
        if path.suffix == ".mhd":  # slices lie along the normal, as the line has them
            assert np.linalg.det(rows[::-1]) > 0


@pytest.mark.parametrize("compressed", [False, True])
def test_raw_and_compressed_pixels_are_the_same(tmp_path: Path, compressed: bool) -> None:
    path = write_metaimage(tmp_path / "a.mhd", compressed=compressed)
    assert (tmp_path / ("a.zraw" if compressed else "a.raw")).is_file()
    assert np.array_equal(read_ct(path).array, drawn()[0])


def test_dicom_is_read_as_the_line_reads_it(tmp_path: Path) -> None:
    series, other = small_series(), small_series()
    series.write(tmp_path / "dicom")
    other.write(tmp_path / "dicom")
    volume = read_ct(tmp_path / "dicom", series.series_uid)
    assert {str(header.SeriesInstanceUID) for header in volume.headers} == {series.series_uid}
    with pytest.raises(InputRefusal, match="does not hold the series") as refused:
        read_ct(tmp_path / "dicom", "1.2.3")
    assert refused.value.code == "no-such-series"


def test_values_below_air_become_air(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.full((2, 3, 4), -3024.0, np.float32))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    volume = read_ct(tmp_path / "a.mha")
    assert volume.array.dtype == np.int16
    assert (volume.array == -1024).all()


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nii", "a.nii.gz"])
def test_what_is_no_image_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no image at all")
    with pytest.raises(InputRefusal, match="cannot be read") as refused:
        read_ct(tmp_path / name)
    assert refused.value.code == "unreadable-image"


def test_an_image_whose_pixels_are_not_there_is_refused(tmp_path: Path) -> None:
    path = write_metaimage(tmp_path / "a.mhd")
    (tmp_path / "a.raw").unlink()
    with pytest.raises(InputRefusal, match="cannot be read"):
        read_ct(path)


@pytest.mark.parametrize("shape", [(4, 5), (2, 3, 4, 2)])
def test_an_image_that_is_no_volume_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros(shape, np.int16), isVector=False), str(tmp_path / "a.mha"))
    nibabel.save(nibabel.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / "a.nii")
    for name in ("a.mha", "a.nii"):
        with pytest.raises(InputRefusal, match="one volume"):
            read_ct(tmp_path / name)


def test_coronal_slices_are_refused() -> None:
    coronal = Geometry((0, 0, 0), (1, 1, 1), ((0, 1, 0), (0, 0, -1), (1, 0, 0)), (4, 4, 4))
    with pytest.raises(InputRefusal, match="not axial") as refused:
        turned_axes(coronal)
    assert refused.value.code == "not-axial"
