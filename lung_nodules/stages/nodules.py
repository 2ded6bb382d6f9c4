"""From outlines to what can be measured.

Everything is measured on the CT's own voxels, unrounded: guidelines round by their own rules. Volume is the number of
voxels times their size; diameters run from pixel edge to pixel edge within one slice (`lung_nodules.stages.diameters`).

In: the CT, its lungs and a label map. Out: one `Nodule` a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lung_nodules.settings import NodulesSettings, Settings
from lung_nodules.stages.diameters import measure_diameters
from lung_nodules.stages.features import measure_features
from lung_nodules.stages.lungs import LEFT_LUNG, RIGHT_LUNG, Lungs
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Volume

Point = tuple[float, float, float]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Nodule:
    """One outlined candidate, measured on the CT's own voxels."""

    label: int  # in the outlines' label map
    candidate_score: float  # 0-1
    center_lps: Point  # centroid of the mask, mm
    center_ijk: Point  # the same, slice, row, column
    key_slice: int  # index of the slice of largest area
    key_sop_instance_uid: str  # its SOP Instance UID; empty where there is none
    key_instance_number: int | None  # its Instance Number
    long_axis_mm: float  # longest distance within one axial slice, pixel edge to pixel edge
    short_axis_mm: float  # longest extent perpendicular to the long axis, in the same slice
    mean_diameter_mm: float  # mean of the two
    long_axis_slice: int  # the slice in which they were measured
    long_axis_ends_lps: tuple[Point, Point]
    short_axis_ends_lps: tuple[Point, Point]
    volume_mm3: float
    equivalent_sphere_diameter_mm: float
    side: Literal["right", "left", ""]  # of the lung at or near it; empty where there is none
    mean_hu: float
    solid_fraction: float  # share of the mask's voxels above the solid threshold, 0-1
    density: Literal["solid", "part-solid", "ground-glass"]  # by the solid fraction
    features: dict[str, float]  # the measured features by name, for the classifier


def measure_nodules(volume: Volume, lungs: Lungs, outlines: Outlines, settings: Settings) -> tuple[Nodule, ...]:
    """Measure every label of the outlines.

    Args:
        volume: The CT.
        lungs: Which lung is where, on the CT's grid.
        outlines: The label map, on the CT's grid; label k belongs to ``candidates[k - 1]``.
        settings: `Settings.nodules` is read.

    Returns:
        The nodules by label; labels without a voxel have none.
    """
    return tuple(
        _measure(label, box, volume, lungs, outlines, settings.nodules)
        for label, box in enumerate(ndimage.find_objects(outlines.label_map), start=1)
        if box is not None
    )


def _measure(
    label: int, tight: tuple[slice, ...], volume: Volume, lungs: Lungs, outlines: Outlines, limits: NodulesSettings
) -> Nodule:
    geometry = volume.geometry
    box = _widen(tight, geometry.shape, limits.side_reach_mm, geometry.spacing_mm)
    corner = np.array([side.start for side in box])
    mask, hu = outlines.label_map[box] == label, volume.array[box]
    diameters = measure_diameters(mask, geometry.spacing_mm)
    center_ijk = np.argwhere(mask).mean(axis=0) + corner
    key_slice = _key_slice(mask, float(center_ijk[0] - corner[0])) + box[0].start
    volume_mm3 = int(mask.sum()) * geometry.voxel_volume_mm3
    solid_fraction = float((hu[mask] > limits.solid_threshold_hu).mean())
    return Nodule(
        label=label,
        candidate_score=outlines.candidates[label - 1].score,
        center_lps=_point(geometry.to_world(center_ijk)),
        center_ijk=_point(center_ijk),
        key_slice=key_slice,
        key_sop_instance_uid=geometry.sop_instance_uids[key_slice] if geometry.sop_instance_uids else "",
        key_instance_number=_instance_number(volume, key_slice),
        long_axis_mm=diameters.long_axis_mm,
        short_axis_mm=diameters.short_axis_mm,
        mean_diameter_mm=diameters.mean_mm,
        long_axis_slice=diameters.slice_index + box[0].start,
        long_axis_ends_lps=_ends(geometry.to_world(diameters.long_axis_ends_ijk + corner)),
        short_axis_ends_lps=_ends(geometry.to_world(diameters.short_axis_ends_ijk + corner)),
        volume_mm3=volume_mm3,
        equivalent_sphere_diameter_mm=float((6 * volume_mm3 / np.pi) ** (1 / 3)),
        side=_side(mask, lungs.label_map[box], geometry.spacing_mm, limits.side_reach_mm),
        mean_hu=float(hu[mask].mean()),
        solid_fraction=solid_fraction,
        density=_density(solid_fraction, limits),
        features=measure_features(hu, mask, geometry.spacing_mm, diameters),
    )


def _widen(box: tuple[slice, ...], shape: tuple[int, int, int], reach_mm: float, spacing_mm: Point) -> Box:
    widened = []
    for side, length, spacing in zip(box, shape, spacing_mm, strict=True):
        reach = int(np.ceil(reach_mm / spacing))
        widened.append(slice(max(0, side.start - reach), min(length, side.stop + reach)))
    return (widened[0], widened[1], widened[2])


def _key_slice(mask: npt.NDArray[np.bool_], center: float) -> int:
    """The slice of largest area; of equal ones the one nearest to the centroid."""
    areas = mask.sum(axis=(1, 2))
    return min(range(len(areas)), key=lambda index: (-int(areas[index]), abs(index - center)))


def _instance_number(volume: Volume, index: int) -> int | None:
    if not volume.headers:
        return None
    number = volume.headers[index].get("InstanceNumber")
    return None if number in (None, "") else int(number)


def _side(
    mask: npt.NDArray[np.bool_], lung_labels: npt.NDArray[np.uint8], spacing_mm: Point, reach_mm: float
) -> Literal["right", "left", ""]:
    """The lung that holds most of the mask; for a mask in no lung the nearest within reach."""
    inside = lung_labels[mask]
    right, left = (float(np.count_nonzero(inside == lung)) for lung in (RIGHT_LUNG, LEFT_LUNG))
    if right == left:
        apart_mm = edt.edt(~mask, anisotropy=spacing_mm, black_border=False, parallel=1)
        right, left = (-_nearest(apart_mm, lung_labels == lung, reach_mm) for lung in (RIGHT_LUNG, LEFT_LUNG))
    if right == left:
        return ""
    return "right" if right > left else "left"


def _nearest(apart_mm: npt.NDArray[np.float32], lung: npt.NDArray[np.bool_], reach_mm: float) -> float:
    """Distance in mm of the lung's nearest voxel; infinite beyond reach."""
    nearest = float(apart_mm[lung].min()) if lung.any() else np.inf
    return nearest if nearest <= reach_mm else np.inf


def _density(solid_fraction: float, limits: NodulesSettings) -> Literal["solid", "part-solid", "ground-glass"]:
    if solid_fraction >= limits.solid_from_fraction:
        return "solid"
    return "part-solid" if solid_fraction >= limits.part_solid_from_fraction else "ground-glass"


def _point(values: npt.NDArray[np.float64]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))


def _ends(points: npt.NDArray[np.float64]) -> tuple[Point, Point]:
    return _point(points[0]), _point(points[1])
