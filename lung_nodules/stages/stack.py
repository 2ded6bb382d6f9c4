"""Slices proved to be one regular stack.

Order and distance come from Image Position and Image Orientation alone (PS3.3 C.7.6.2.1.1): never from Slice
Location, Slice Thickness, Instance Number, Patient Position or file names, all of which can say otherwise. What
cannot be proved is refused with a coded reason; nothing is repaired in silence.
"""

from __future__ import annotations

import filecmp
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pydicom

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings, VolumeSettings
from lung_nodules.stages.geometry import Geometry
from lung_nodules.stages.instances import Instance
from lung_nodules.stages.pixels import check_pixel_format, read_hu, read_rescale, value_or_none

_UID = re.compile(r"[0-9]+(\.[0-9]+)+")  # PS3.5 9.1; leading zeros are not allowed there, yet occur and do no harm
_UNIT_TOLERANCE = 1e-2  # of length and angle of the orientation's cosines


@dataclass(frozen=True)
class VolumeNote:
    """Something odd yet usable about a series: code and sentence."""

    code: str
    sentence: str


@dataclass(frozen=True)
class Plane:
    """Where one slice lies: PS3.3 C.7.6.2."""

    instance: Instance
    position: npt.NDArray[np.float64]  # centre of the first pixel, LPS mm
    row_cosines: npt.NDArray[np.float64]  # unit vector along a row: of rising column index
    column_cosines: npt.NDArray[np.float64]  # unit vector along a column: of rising row index
    spacing_mm: tuple[float, float]  # between rows, between columns
    shape: tuple[int, int]  # rows, columns

    @property
    def normal(self) -> npt.NDArray[np.float64]:
        """Row cosines x column cosines."""
        return np.cross(self.row_cosines, self.column_cosines)


@dataclass(frozen=True)
class Stack:
    """Slices in order, with the grid that they form."""

    instances: tuple[Instance, ...]  # along the normal
    geometry: Geometry
    notes: tuple[VolumeNote, ...]


def read_plane(instance: Instance) -> Plane:
    """Read where a slice lies.

    Raises:
        InputRefusal: ``missing-geometry`` when position, orientation or pixel spacing is missing or unusable.
    """
    header = instance.header
    position = _numbers(header, "ImagePositionPatient", 3)
    orientation = _numbers(header, "ImageOrientationPatient", 6)
    spacing = _numbers(header, "PixelSpacing", 2)
    row, column = orientation[:3], orientation[3:]
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(row @ column))) > _UNIT_TOLERANCE:
        raise InputRefusal(
            "missing-geometry", "Image Orientation (Patient) does not hold two perpendicular directions."
        )
    shape = (value_or_none(header, "Rows"), value_or_none(header, "Columns"))
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise InputRefusal("missing-geometry", "Rows or Columns is missing or unusable.")
    if spacing.min() <= 0:
        raise InputRefusal("missing-geometry", "Pixel Spacing is not above zero.")
    row = row / lengths[0]
    column = column - (column @ row) * row
    return Plane(
        instance,
        position,
        row,
        column / np.linalg.norm(column),
        (float(spacing[0]), float(spacing[1])),
        (int(shape[0]), int(shape[1])),
    )


def _numbers(header: pydicom.Dataset, keyword: str, count: int) -> npt.NDArray[np.float64]:
    """Read `count` finite numbers from an element."""
    try:
        values = np.array([float(value) for value in value_or_none(header, keyword) or ()])
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (count,) or not np.isfinite(values).all():
        name = pydicom.datadict.dictionary_description(keyword)
        raise InputRefusal("missing-geometry", f"{name} is missing or unusable.")
    return values


def drop_identical_files(instances: Sequence[Instance]) -> list[Instance]:
    """Leave out files that are the same, byte for byte, as an earlier one with the same SOP Instance UID."""
    kept: dict[tuple[str, int], list[Instance]] = defaultdict(list)
    for instance in sorted(instances, key=lambda each: (str(each.path), each.frame)):
        same_uid = kept[str(instance.header.get("SOPInstanceUID")), instance.frame]
        if not any(_are_same_file(other, instance) for other in same_uid):
            same_uid.append(instance)
    return [instance for same_uid in kept.values() for instance in same_uid]


def _are_same_file(first: Instance, second: Instance) -> bool:
    return first.has_file and second.has_file and filecmp.cmp(first.path, second.path, shallow=False)


def arrange_slices(instances: Sequence[Instance], settings: Settings) -> Stack:
    """Prove that slices form one regular grid, and give them in order.

    Args:
        instances: CT images of one series, in any order.
        settings: The run's settings; `VolumeSettings` holds the tolerances.

    Returns:
        The slices along the normal and their geometry.

    Raises:
        InputRefusal: ``invalid-uid``, ``duplicate-uid``, ``unsupported-transfer-syntax``,
            ``unsupported-pixel-format``, ``missing-geometry``, ``inconsistent-slices``, ``missing-rescale``,
            ``invalid-rescale``, ``not-hu``, ``duplicate-slices``, ``too-few-slices``, ``gantry-tilt``,
            ``missing-slices``, ``non-uniform-spacing`` or ``too-large``.
    """
    unique = drop_identical_files(instances)
    planes = [read_plane(instance) for instance in unique]
    _check_same_grid(planes, settings.volume)
    for instance in unique:
        check_pixel_format(instance.header)
        read_rescale(instance.header)
    normal = planes[0].normal
    planes.sort(key=lambda plane: (float(normal @ plane.position), str(plane.instance.path)))
    planes, notes = _drop_repeated_slices(planes, settings)
    _check_identifiers(planes)
    if len(planes) < 2:
        raise InputRefusal("too-few-slices", "A single slice is not a volume.", "Send the complete series.")
    _check_size(planes, settings.volume)
    _check_tilt(planes, settings.volume)
    _check_distances(planes, settings.volume)
    return Stack(tuple(plane.instance for plane in planes), _geometry(planes), notes)


def _check_same_grid(planes: Sequence[Plane], settings: VolumeSettings) -> None:
    """Check that all slices share matrix, pixel spacing, orientation and frame of reference."""
    first = planes[0]
    smallest_cosine = np.cos(np.deg2rad(settings.max_orientation_error_deg))
    for plane in planes[1:]:
        differing = None
        if plane.shape != first.shape:
            differing = "Rows or Columns"
        elif not np.allclose(plane.spacing_mm, first.spacing_mm, rtol=settings.max_pixel_spacing_error_fraction):
            differing = "Pixel Spacing"
        elif min(plane.row_cosines @ first.row_cosines, plane.column_cosines @ first.column_cosines) < smallest_cosine:
            differing = "Image Orientation (Patient)"
        elif _frame_of_reference(plane) != _frame_of_reference(first):
            differing = "Frame of Reference UID"
        if differing:
            raise InputRefusal("inconsistent-slices", f"The slices of the series differ in {differing}.")


def _frame_of_reference(plane: Plane) -> str:
    return str(value_or_none(plane.instance.header, "FrameOfReferenceUID") or "")


def _drop_repeated_slices(planes: list[Plane], settings: Settings) -> tuple[list[Plane], tuple[VolumeNote, ...]]:
    """Keep one of several images at a position where their pixels are equal; of headers alone, one in any case.

    Raises:
        InputRefusal: ``duplicate-slices`` when they are not.
    """
    kept: list[Plane] = []
    for plane in planes:
        if kept and np.linalg.norm(plane.position - kept[-1].position) < settings.volume.same_position_mm:
            if not _have_equal_pixels(kept[-1].instance, plane.instance, settings):
                raise InputRefusal(
                    "duplicate-slices",
                    "The series holds different images of one position, and nothing tells them apart.",
                )
        else:
            kept.append(plane)
    num_dropped = len(planes) - len(kept)
    if not num_dropped:
        return kept, ()
    sentence = f"The series holds {num_dropped} more image(s) of a position with equal pixels; one of each was used."
    return kept, (VolumeNote("duplicate-slices", sentence),)


def _have_equal_pixels(first: Instance, second: Instance, settings: Settings) -> bool:
    """Compare two images in HU; those of which only the header is known count as equal until the files are there."""
    if not (first.has_file and second.has_file):
        return True
    return np.array_equal(read_hu([first], settings)[0], read_hu([second], settings)[0])


def _check_identifiers(planes: Sequence[Plane]) -> None:
    """Check that results can name each slice by its UID."""
    seen: set[tuple[str, int]] = set()
    for plane in planes:
        header = plane.instance.header
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            uid = str(value_or_none(header, keyword) or "")
            if len(uid) > 64 or not _UID.fullmatch(uid):
                name = pydicom.datadict.dictionary_description(keyword)
                raise InputRefusal("invalid-uid", f"A {name} is missing or holds what a UID cannot hold.")
        identity = (str(header.SOPInstanceUID), plane.instance.frame)
        if identity in seen:
            raise InputRefusal("duplicate-uid", "Different slices carry the same SOP Instance UID.")
        seen.add(identity)


def _check_size(planes: Sequence[Plane], settings: VolumeSettings) -> None:
    num_bytes = len(planes) * planes[0].shape[0] * planes[0].shape[1] * 2
    if num_bytes > settings.max_volume_gib * 1024**3:
        raise InputRefusal("too-large", "The volume would need more memory than the limit.")


def _check_tilt(planes: Sequence[Plane], settings: VolumeSettings) -> None:
    """Check that slices advance along their normal."""
    offsets = np.array([plane.position for plane in planes]) - planes[0].position
    normal = planes[0].normal
    along = offsets @ normal
    aside = offsets - along[:, None] * normal
    if np.linalg.norm(aside, axis=1).max() <= settings.max_sideways_shift_mm:
        return
    slope = along @ aside / (along @ along)
    unexplained = np.linalg.norm(aside - along[:, None] * slope, axis=1).max()
    if unexplained <= settings.max_sideways_shift_mm:
        angle = np.rad2deg(np.arctan(np.linalg.norm(slope)))
        raise InputRefusal(
            "gantry-tilt",
            f"The slices are sheared by {angle:.1f} degrees against their normal: the gantry was tilted.",
            "Reconstruct without tilt, or resample the series to axial slices first.",
        )
    raise InputRefusal("inconsistent-slices", "The slices are shifted sideways against each other.")


def _check_distances(planes: Sequence[Plane], settings: VolumeSettings) -> None:
    """Check that slices lie at equal distances, none missing."""
    along = np.array([plane.position for plane in planes]) @ planes[0].normal
    steps = np.diff(along)
    regular = np.linspace(along[0], along[-1], len(along))
    spacing = float(np.median(steps))
    if np.abs(along - regular).max() <= settings.max_position_error_fraction * spacing:
        return
    multiples = steps / spacing
    whole = np.rint(multiples)
    if np.abs(multiples - whole).max() <= 2 * settings.max_position_error_fraction and whole.min() >= 1:
        num_missing = int((whole - 1).sum())
        raise InputRefusal(
            "missing-slices",
            f"{num_missing} slice(s) are missing: there are gaps of up to {steps.max():.2f} mm"
            f" in a series of {spacing:.2f} mm.",
            "Send the complete series.",
        )
    raise InputRefusal(
        "non-uniform-spacing",
        f"Slice distances vary from {steps.min():.2f} to {steps.max():.2f} mm in {len(planes)} slices.",
        "Send a series of equal slice distances, and the whole of it.",
    )


def _geometry(planes: Sequence[Plane]) -> Geometry:
    first, last = planes[0], planes[-1]
    spacing = float((last.position - first.position) @ first.normal) / (len(planes) - 1)
    directions = (first.normal, first.column_cosines, first.row_cosines)
    return Geometry(
        origin_lps=_three(first.position),
        spacing_mm=(spacing, *first.spacing_mm),
        direction=tuple(_three(axis) for axis in directions),
        shape=(len(planes), *first.shape),
        frame_of_reference_uid=_frame_of_reference(first),
        sop_instance_uids=tuple(str(plane.instance.header.SOPInstanceUID) for plane in planes),
    )


def _three(vector: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])
