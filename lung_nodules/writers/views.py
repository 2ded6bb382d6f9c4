"""Cuts through a CT in radiological orientation: axial, coronal and sagittal, whatever the order and signs of its axes.

A cut is always a plane of the CT's own voxels, never one between two slices; within the plane it is interpolated to
square pixels. The patient's right is on the left of axial and coronal cuts, the front on the left of sagittal ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import permutations
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates
from skimage.measure import find_contours

from lung_nodules.stages.volume import Geometry

_L, _P, _H = 0, 1, 2  # axes of the patient: to the left, to the back, to the head


class Plane(Enum):
    """A plane of the body: the patient's axis across it, and those that run to the right and down with their signs."""

    AXIAL = (_H, (_L, 1), (_P, 1))
    CORONAL = (_P, (_L, 1), (_H, -1))
    SAGITTAL = (_L, (_P, 1), (_H, -1))

    @property
    def letters(self) -> tuple[str, str, str, str]:
        """Direction at the left, right, upper and lower edge."""
        return {Plane.AXIAL: "RLAP", Plane.CORONAL: "RLHF", Plane.SAGITTAL: "APHF"}[self]  # type: ignore[return-value]


@dataclass(frozen=True)
class Window:
    """What a cut shows: a square of `extent_mm` around a voxel, in `num_pixels` pixels each way."""

    center_ijk: tuple[float, float, float]  # slice, row, column
    extent_mm: float
    num_pixels: int

    @property
    def pixel_mm(self) -> float:
        """Edge of one pixel."""
        return self.extent_mm / self.num_pixels


@dataclass(frozen=True)
class Cut:
    """A plane of the CT's grid, seen through a window."""

    plane: Plane
    index: int  # along the array axis that the plane is across
    window: Window
    axes: tuple[tuple[int, int], tuple[int, int], int]  # (array axis, sign) to the right and down, array axis across

    def take(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The plane of `array` ``[slice, row, column]`` as it is stored, its axes turned to ``[down, right]``."""
        (right_axis, _), (down_axis, _), across = self.axes
        plane: npt.NDArray[Any] = np.moveaxis(array, (across, down_axis, right_axis), (0, 1, 2))[self.index]
        return plane

    def resample(
        self, plane: npt.NDArray[Any], geometry: Geometry, order: Literal[1, 3], outside: float
    ) -> npt.NDArray[np.float32]:
        """Interpolate what `take` gave to the window's square pixels ``[down, right]``; `outside` beyond the CT."""
        (right_axis, right_sign), (down_axis, down_sign), _ = self.axes
        offsets_mm = (np.arange(self.window.num_pixels) - (self.window.num_pixels - 1) / 2) * self.window.pixel_mm
        down = self.window.center_ijk[down_axis] + down_sign * offsets_mm / geometry.spacing_mm[down_axis]
        right = self.window.center_ijk[right_axis] + right_sign * offsets_mm / geometry.spacing_mm[right_axis]
        grid = np.stack(np.meshgrid(down, right, indexing="ij"))
        sampled: npt.NDArray[np.float32] = map_coordinates(
            plane.astype(np.float32), grid, order=order, mode="constant", cval=outside
        )
        return sampled

    def locate(self, ijk: Sequence[float], geometry: Geometry) -> tuple[float, float]:
        """Where a voxel index lies, as ``(x, y)`` in pixels."""
        middle = (self.window.num_pixels - 1) / 2
        x, y = (
            middle
            + sign * (ijk[axis] - self.window.center_ijk[axis]) * geometry.spacing_mm[axis] / self.window.pixel_mm
            for axis, sign in self.axes[:2]
        )
        return x, y

    def contours(self, mask: npt.NDArray[np.bool_], geometry: Geometry) -> list[npt.NDArray[np.float64]]:
        """The outline of a mask that `take` gave: lines of ``(x, y)`` in pixels, half way between voxels in and out."""
        inside = self.resample(mask, geometry, order=1, outside=0.0)
        return [line[:, ::-1] for line in find_contours(inside, 0.5)]


def cut_through(plane: Plane, geometry: Geometry, window: Window, key_slice: int | None = None) -> Cut:
    """Place a cut through the middle of a window.

    Args:
        plane: Of the body.
        geometry: Of the CT.
        window: What to show.
        key_slice: The slice to take instead of the middle one where the plane is that of the slices.
    """
    across, (right, right_sign), (down, down_sign) = plane.value
    array_axes, signs = _match_axes(geometry)
    index = round(window.center_ijk[array_axes[across]])
    if key_slice is not None and array_axes[across] == 0:
        index = key_slice
    index = min(max(index, 0), geometry.shape[array_axes[across]] - 1)
    to_right = (array_axes[right], right_sign * signs[right])
    to_bottom = (array_axes[down], down_sign * signs[down])
    return Cut(plane, index, window, (to_right, to_bottom, array_axes[across]))


def _match_axes(geometry: Geometry) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """For each axis of the patient the array axis closest to it, and its sign; each array axis is taken once."""
    direction = np.asarray(geometry.direction)
    best = max(permutations(range(3)), key=lambda axes: sum(abs(direction[axis, k]) for k, axis in enumerate(axes)))
    return best, tuple(1 if direction[axis, k] >= 0 else -1 for k, axis in enumerate(best))
