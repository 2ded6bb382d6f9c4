"""Right and left lung: told apart where they touch, and closed one by one."""

from __future__ import annotations

from typing import Literal

import cc3d
import numpy as np
import numpy.typing as npt
from skimage.segmentation import watershed

from lung_nodules.settings import LungsSettings
from lung_nodules.stages.lung_grid import LEFT
from lung_nodules.stages.morphology import Mask, Spacing, bounding_box, close, distance_mm, fill_holes

Side = Literal["right", "left"]

_RIGHT, _LEFT = 1, 2  # markers of the watershed
_ONE_SIDED = 0.8  # share of a component on one side of the middle from which on it is that side's lung
_LEAST_MARKER = 0.02  # share of a component that counts as a body of its own
_DEEPEST_CUT_MM = 25.0  # no bridge between two lungs is thicker than twice this


def split_sides(lung: Mask, middle: float, spacing_mm: Spacing) -> tuple[Mask, Mask]:
    """Tell right from left: whole components where they lie on one side, else cut where they are thinnest.

    Args:
        lung: Both lungs, canonical ``[up, back, left]``.
        middle: Index on the left axis of the body's middle.
        spacing_mm: Voxel size, same axes.

    Returns:
        Right and left lung, disjoint, together the whole of `lung`.
    """
    labels = cc3d.connected_components(lung, connectivity=6)
    right, left = np.zeros_like(lung), np.zeros_like(lung)
    for label in range(1, int(labels.max()) + 1):
        component = labels == label
        share = _share_left(component, middle)
        if share >= _ONE_SIDED:
            left |= component
        elif share <= 1 - _ONE_SIDED:
            right |= component
        else:
            box = bounding_box(component)
            in_left = _left_part(component[box], middle - box[LEFT].start, spacing_mm)
            left[box] |= in_left
            right[box] |= component[box] & ~in_left
    return right, left


def _share_left(component: Mask, middle: float) -> float:
    per_column = component.sum(axis=(0, 1))
    return float(per_column[np.arange(len(per_column)) > middle].sum() / per_column.sum())


def _left_part(component: Mask, middle: float, spacing_mm: Spacing) -> Mask:
    """The left part of a component that holds both lungs, which touch where they are thin (junction lines, hila).

    The component is eroded until it falls apart into a left and a right body, from which a watershed on the depth grows
    back. Where that never happens the cut is the body's middle.
    """
    depth_mm = distance_mm(component, spacing_mm)
    for least_mm in np.arange(1.0, _DEEPEST_CUT_MM, 1.5):
        markers = _markers(depth_mm > least_mm, middle, int(component.sum()))
        if markers is not None:
            grown = watershed(-depth_mm, markers, mask=component)
            in_left: Mask = grown == _LEFT
            return in_left
    return component & (np.arange(component.shape[LEFT]) > middle)


def _markers(eroded: Mask, middle: float, num_voxels: int) -> npt.NDArray[np.uint8] | None:
    """Left and right bodies of an eroded component; None while one body still reaches over both sides."""
    labels = cc3d.connected_components(eroded, connectivity=6)
    markers = np.zeros(eroded.shape, dtype=np.uint8)
    for label, count in enumerate(np.bincount(labels.ravel())[1:], start=1):
        if count < _LEAST_MARKER * num_voxels:
            continue
        body = labels == label
        share = _share_left(body, middle)
        if 1 - _ONE_SIDED < share < _ONE_SIDED:
            return None
        markers[body] = _LEFT if share >= _ONE_SIDED else _RIGHT
    return markers if markers.any() else None


def close_lung(lung: Mask, side: Side, no_lung: Mask, spacing_mm: Spacing, limits: LungsSettings) -> Mask:
    """Close one lung over vessels, and over masses on the chest wall.

    A ball that lies over a mass of 40 mm would fill the hilum and the bed of the heart, too; so the large ball counts
    only where no lung lies outwards in the row, or some lies towards the middle of the body as well.

    Args:
        lung: One lung, canonical ``[up, back, left]``.
        side: Whose right or left, the patient's.
        no_lung: What the closing must not take: airways, bowel, the other lung.
        spacing_mm: Voxel size, same axes.
        limits: Radii.

    Returns:
        The closed lung, same shape; it holds all of `lung`.
    """
    closed = np.zeros_like(lung)
    if not lung.any():
        return closed
    box = bounding_box(lung)
    cropped = lung[box]
    small, large = close(cropped, (limits.closing_hilar_mm, limits.closing_costal_mm), spacing_mm)
    closed[box] = cropped | (fill_holes(small | (large & ~_medial(small, side))) & ~no_lung[box])
    return closed


def _medial(lung: Mask, side: Side) -> Mask:
    """Voxels between this lung and the other one: lung lies outwards of them in their row, none towards the middle."""
    from_right: Mask = np.logical_or.accumulate(lung, axis=LEFT)
    from_left: Mask = np.flip(np.logical_or.accumulate(np.flip(lung, LEFT), axis=LEFT), LEFT)
    return from_right & ~from_left if side == "right" else from_left & ~from_right
