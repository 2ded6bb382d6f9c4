"""The CT of a cohort's scan, whatever it lies in: DICOM files, MetaImage (LUNA16) or NIfTI.

A cohort's grid is *upright*: slices go towards the head, rows towards the back, columns towards the patient's left, as
the table of crops says. Most scans lie so already; the others are mirrored, never resampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  # its own documentation's name
from nibabel.filebasedimages import ImageFileError

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.geometry import Geometry
from lung_nodules.stages.instances import Instances, read_instances
from lung_nodules.stages.series import select_series
from lung_nodules.stages.volume import Volume, build_volume

AIR_HU = -1024
MAX_HU = np.iinfo(np.int16).max
METAIMAGE_ENDINGS = (".mhd", ".mha")
NIFTI_ENDINGS = (".nii", ".nii.gz")

_UPRIGHT = np.eye(3)[::-1]  # row k: direction (LPS) of array axis k
_MAX_ANGLE = np.cos(np.deg2rad(30.0))  # between an axis of the grid and that of the patient: the line's limit


def read_ct(path: Path, series_instance_uid: str = "", settings: Settings | None = None) -> Volume:
    """Read a CT on the grid that its file has.

    Args:
        path: A folder with DICOM files, or a MetaImage or NIfTI file in HU.
        series_instance_uid: Of the series to read where the folder may hold several; empty: the line chooses.
        settings: How DICOM is read; by default as the line does.

    Raises:
        InputRefusal: ``no-such-series``, ``unreadable-image``, ``not-axial``, or what the line refuses a series for.
    """
    if path.name.endswith(METAIMAGE_ENDINGS):
        return read_metaimage(path)
    if path.name.endswith(NIFTI_ENDINGS):
        return Volume(*_as_ct(*read_nifti(path)))
    settings = settings or Settings()
    instances = read_instances(path, settings)
    if series_instance_uid:
        wanted = tuple(
            one for one in instances.found if str(one.header.get("SeriesInstanceUID", "")) == series_instance_uid
        )
        if not wanted:
            raise InputRefusal("no-such-series", "The folder does not hold the series that the readers marked.")
        instances = Instances(wanted, instances.passed_over)
    return build_volume(select_series(instances, settings), settings)


def read_metaimage(path: Path) -> Volume:
    """Read `.mhd` with its `.raw` or `.zraw`, or `.mha`: HU, world coordinates LPS mm, slices along the normal.

    Raises:
        InputRefusal: ``unreadable-image`` where ITK cannot read the file or it is no volume.
    """
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputRefusal("unreadable-image", f"{path.name} or the file it names cannot be read.") from error
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise InputRefusal("unreadable-image", f"{path.name} does not hold one volume of one value a voxel.")
    array = sitk.GetArrayFromImage(image)
    direction = np.array(image.GetDirection()).reshape(3, 3).T[::-1]
    spacing_mm, shape = image.GetSpacing()[::-1], array.shape
    geometry = Geometry(image.GetOrigin(), spacing_mm, _rows(direction), (shape[0], shape[1], shape[2]))
    if np.linalg.det(direction[::-1]) < 0:  # slices run against the normal
        array, geometry = array[::-1], mirrored(geometry, [0])
    return Volume(*_as_ct(array, geometry))


def read_nifti(path: Path) -> tuple[npt.NDArray[np.generic], Geometry]:
    """Read a NIfTI file as it would lie in DICOM: [slice, row, column], LPS mm; values as stored, scaled.

    Raises:
        InputRefusal: ``unreadable-image`` where nibabel cannot read the file or it is no volume.
    """
    try:
        image = nibabel.load(path)
        array = np.asanyarray(image.dataobj)
    except (ImageFileError, OSError, ValueError, EOFError) as error:
        raise InputRefusal("unreadable-image", f"{path.name} cannot be read as NIfTI.") from error
    if array.ndim != 3:
        raise InputRefusal("unreadable-image", f"{path.name} does not hold one volume.")
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(image.affine, dtype=float)  # RAS to LPS
    columns = affine[:3, 2::-1]
    spacing_mm = np.linalg.norm(columns, axis=0)
    if not np.isfinite(affine).all() or spacing_mm.min() <= 0:
        raise InputRefusal("unreadable-image", f"{path.name} does not say where it lies.")
    shape = array.shape[::-1]
    origin = tuple(affine[:3, 3].tolist())
    spacing = tuple(spacing_mm.tolist())
    geometry = Geometry(origin, spacing, _rows((columns / spacing_mm).T), (shape[0], shape[1], shape[2]))
    return array.transpose(2, 1, 0), geometry


def turned_axes(geometry: Geometry) -> tuple[int, ...]:
    """The array axes that run the other way on the upright grid.

    Raises:
        InputRefusal: ``not-axial`` where slices, rows and columns are not near the patient's axes in this order.
    """
    along = np.sum(np.asarray(geometry.direction) * _UPRIGHT, axis=1)
    if np.abs(along).min() < _MAX_ANGLE:
        raise InputRefusal("not-axial", "The slices of the scan are not axial.")
    return tuple(int(axis) for axis in np.flatnonzero(along < 0))


def upright(volume: Volume) -> Volume:
    """The same scan on the upright grid.

    Raises:
        InputRefusal: ``not-axial``.
    """
    axes = turned_axes(volume.geometry)
    if not axes:
        return volume
    step = -1 if 0 in axes else 1
    return replace(
        volume,
        array=np.flip(volume.array, axes),
        geometry=mirrored(volume.geometry, axes),
        headers=volume.headers[::step],
        frame_numbers=volume.frame_numbers[::step],
    )


def mirrored(geometry: Geometry, axes: Sequence[int]) -> Geometry:
    """The same grid counted from the other end along some array axes."""
    first = [size - 1 if axis in axes else 0 for axis, size in enumerate(geometry.shape)]
    direction = np.asarray(geometry.direction) * [[-1 if axis in axes else 1] for axis in range(3)]
    uids = geometry.sop_instance_uids
    return replace(
        geometry,
        origin_lps=tuple(geometry.to_world(first).tolist()),
        direction=_rows(direction),
        sop_instance_uids=uids[::-1] if 0 in axes else uids,
    )


def _as_ct(array: npt.NDArray[np.generic], geometry: Geometry) -> tuple[npt.NDArray[np.int16], Geometry]:
    """HU as the line has them: whole numbers, nothing below air."""
    hu = np.clip(np.round(array.astype(np.float32)), AIR_HU, MAX_HU).astype(np.int16)
    return np.ascontiguousarray(hu), geometry


def _rows(direction: npt.NDArray[np.float64]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(x), float(y), float(z)) for x, y, z in direction)
