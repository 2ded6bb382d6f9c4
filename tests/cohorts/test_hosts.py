"""Lungs for pasted nodules are read from whatever a cohort's CT lies in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813  # its own documentation's name

from lung_nodules.cohorts.ct import read_ct
from lung_nodules.cohorts.hosts import Host, read_host
from lung_nodules.cohorts.scans import ReferenceScan
from lung_nodules.errors import InputRefusal
from lung_nodules.phantom import PhantomSettings, write_phantom

SMALL_NODULE_LPS = (-85.0, 20.0, 0.0)
PHANTOM = PhantomSettings(nodules=(), num_slices=40, slice_spacing_mm=5, rows=128, columns=128, pixel_spacing_mm=2.8)


def scan_of(path: Path) -> ReferenceScan:
    return ReferenceScan("P", path, None, (), (SMALL_NODULE_LPS,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One CT as DICOM, as MetaImage and as NIfTI."""
    folder = tmp_path_factory.mktemp("hosts")
    write_phantom(folder, PHANTOM)
    volume = read_ct(folder / "dicom")
    image = sitk.GetImageFromArray(volume.array)
    image.SetOrigin([float(value) for value in volume.geometry.origin_lps])
    image.SetSpacing([float(value) for value in volume.geometry.spacing_mm[::-1]])
    for name in ("ct.mhd", "ct.nii.gz"):
        sitk.WriteImage(image, str(folder / name))
    return folder


@pytest.fixture(scope="module")
def host(folder: Path) -> Host:
    return read_host(scan_of(folder / "dicom"))[0]


@pytest.mark.parametrize("name", ["ct.mhd", "ct.nii.gz"])
def test_an_image_file_gives_the_host_that_dicom_gives(folder: Path, host: Host, name: str) -> None:
    other, volume = read_host(scan_of(folder / name))
    assert np.array_equal(other.hu, host.hu)
    assert host.lung.any()
    assert np.array_equal(other.lung, host.lung)
    assert not host.clear.all()
    assert np.array_equal(other.clear, host.clear)
    np.testing.assert_allclose(other.geometry.affine, host.geometry.affine, atol=1e-4)
    assert volume.geometry == other.geometry


def test_a_host_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputRefusal, match=f"names {tmp_path / 'gone'}, which does not exist") as refused:
        read_host(scan_of(tmp_path / "gone"))
    assert refused.value.code == "bad-reference"
