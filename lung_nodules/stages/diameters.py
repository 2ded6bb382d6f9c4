"""The two diameters of a nodule in one slice.

Long axis: the longest distance within one slice between midpoints of pixel edges that bound the mask, over all slices;
short axis: how wide the mask is across it in that slice (Fleischner 2017, 10.1148/radiol.2017161659: both on the same
axial image, perpendicular to each other). From edge to edge, so that a single pixel has the size of a pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

from lung_nodules.stages.morphology import bounding_box

_SAME_MM = 1e-6  # diameters nearer than this are equal

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Diameters:
    """Long and short axis of a mask; the ends are (slice, row, column), fractional, from the array's first voxel."""

    long_axis_mm: float
    short_axis_mm: float
    slice_index: int
    long_axis_ends_ijk: Points  # [2, 3]
    short_axis_ends_ijk: Points  # [2, 3], as far apart as the mask is wide, perpendicular to the long axis

    @property
    def mean_mm(self) -> float:
        """Mean of the two axes."""
        return (self.long_axis_mm + self.short_axis_mm) / 2


@dataclass(frozen=True)
class _Axes:
    """The axes within one slice: ends in mm from the centre of the first pixel, (row, column)."""

    long_mm: float
    short_mm: float
    long_ends: Points
    short_ends: Points


def measure_diameters(mask: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> Diameters:
    """Measure the long and the short axis.

    Args:
        mask: One nodule, ``[slice, row, column]``; at least one voxel.
        spacing_mm: Between slices, rows and columns.

    Returns:
        The slice with the longest axis; of equal ones that with the longest short axis.

    Raises:
        ValueError: The mask is empty.
    """
    in_plane_mm = np.asarray(spacing_mm[1:], dtype=float)
    box = bounding_box(mask)
    corner = np.array([side.start for side in box])
    measured = [
        (index, _measure_slice(_edge_midpoints(plane) * in_plane_mm))
        for index, plane in enumerate(mask[box])
        if plane.any()
    ]
    index, axes = measured[0]
    for other_index, other in measured[1:]:
        if _longer(other, axes):
            index, axes = other_index, other
    return Diameters(
        long_axis_mm=axes.long_mm,
        short_axis_mm=axes.short_mm,
        slice_index=index + box[0].start,
        long_axis_ends_ijk=_in_slice(index, axes.long_ends / in_plane_mm) + corner,
        short_axis_ends_ijk=_in_slice(index, axes.short_ends / in_plane_mm) + corner,
    )


def _edge_midpoints(plane: npt.NDArray[np.bool_]) -> Points:
    """Midpoints of the pixel edges between mask and background, (row, column), in pixels."""
    padded = np.pad(plane, 1)
    across_rows = np.argwhere(padded[1:] != padded[:-1]) - np.array([0.5, 1.0])
    across_columns = np.argwhere(padded[:, 1:] != padded[:, :-1]) - np.array([1.0, 0.5])
    return np.concatenate([across_rows, across_columns])


def _measure_slice(points: Points) -> _Axes:
    corners = points[ConvexHull(points).vertices]  # four edges of a pixel are never in line
    distances = np.linalg.norm(corners[:, None] - corners, axis=2)
    longest = distances.max()
    pairs = np.argwhere(np.triu(distances >= longest - _SAME_MM))
    candidates = [_across(corners, corners[pair]) for pair in pairs]
    return max(candidates, key=lambda axes: axes.short_mm)


def _across(corners: Points, ends: Points) -> _Axes:
    """The axes where the long one runs between `ends`."""
    long_mm = float(np.linalg.norm(ends[1] - ends[0]))
    along = (ends[1] - ends[0]) / long_mm
    across = np.array([-along[1], along[0]])
    widths = corners @ across
    low, high = corners[widths.argmin()], corners[widths.argmax()]
    middle = along * ((low + high) @ along / 2)
    short_ends = np.stack([middle + across * widths.min(), middle + across * widths.max()])
    return _Axes(long_mm, float(np.ptp(widths)), ends, short_ends)


def _longer(axes: _Axes, than: _Axes) -> bool:
    if abs(axes.long_mm - than.long_mm) > _SAME_MM:
        return axes.long_mm > than.long_mm
    return axes.short_mm > than.short_mm + _SAME_MM


def _in_slice(index: int, ends: Points) -> Points:
    return np.column_stack([np.full(2, float(index)), ends])
