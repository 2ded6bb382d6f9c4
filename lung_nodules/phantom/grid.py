"""Regular grids in the patient and smooth interpolation from a coarse one to a fine one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """An axial grid centred on the origin of the patient coordinates (LPS, mm).

    Index order ``[slice, row, column]``: slices run towards the head, rows towards the back, columns towards the
    patient's left, so that all three axes are positive.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]  # between slices, rows, columns

    @cached_property
    def axes_mm(self) -> tuple[Float32, Float32, Float32]:
        """Positions of the voxel centres along z, y and x, mm."""
        first, second, third = (
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
            for n, step in zip(self.shape, self.spacing_mm, strict=True)
        )
        return first, second, third

    @property
    def origin_lps(self) -> tuple[float, float, float]:
        """Centre of voxel ``[0, 0, 0]`` as x, y, z in mm."""
        z, y, x = (-(n - 1) / 2 * step for n, step in zip(self.shape, self.spacing_mm, strict=True))
        return x, y, z

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing_mm))

    def to_index(self, points_lps: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Map points ``[..., 3]`` (x, y, z in mm) to fractional indices ``[..., 3]`` (slice, row, column)."""
        from_origin = np.asarray(points_lps, dtype=float) - self.origin_lps
        index: npt.NDArray[np.float64] = from_origin[..., ::-1] / self.spacing_mm
        return index


@dataclass(frozen=True)
class Spline:
    """Catmull-Rom weights that carry values at equally spaced nodes to `n` positions along one axis.

    The spline passes through its nodes and has a continuous derivative, so that surfaces drawn from a coarse grid
    have no facets. Positions beyond the nodes take the value at the last node.
    """

    nodes: npt.NDArray[np.int64]  # [4, n], the four nodes around each position
    weights: Float32  # [4, n]

    @classmethod
    def between(cls, nodes_mm: Float32, positions_mm: npt.NDArray[np.floating]) -> Spline:
        """Prepare the way from nodes at `nodes_mm` to `positions_mm`."""
        step = float(nodes_mm[1] - nodes_mm[0])
        place = np.clip((np.asarray(positions_mm, dtype=float) - nodes_mm[0]) / step, 0, len(nodes_mm) - 1)
        left = np.minimum(place.astype(np.int64), len(nodes_mm) - 2)
        t = place - left
        weights = np.stack(
            (
                -0.5 * t + t**2 - 0.5 * t**3,
                1 - 2.5 * t**2 + 1.5 * t**3,
                0.5 * t + 2 * t**2 - 1.5 * t**3,
                -0.5 * t**2 + 0.5 * t**3,
            )
        )
        nodes = np.clip(left + np.arange(-1, 3)[:, None], 0, len(nodes_mm) - 1)
        return cls(nodes, weights.astype(np.float32))

    def __getitem__(self, positions: slice) -> Spline:
        """The same for some of the positions."""
        return Spline(self.nodes[:, positions], self.weights[:, positions])

    def along(self, axis: int, field: Float32) -> Float32:
        """Interpolate `field` along one of its axes."""
        shape = [1] * field.ndim
        shape[axis] = -1
        total = np.take(field, self.nodes[0], axis=axis) * self.weights[0].reshape(shape)
        for nodes, weights in zip(self.nodes[1:], self.weights[1:], strict=True):
            total += np.take(field, nodes, axis=axis) * weights.reshape(shape)
        return np.asarray(total, dtype=np.float32)


def resample(field: Float32, grid: Grid, axes_mm: tuple[npt.NDArray[np.floating], ...]) -> Float32:
    """Interpolate a field on `grid` at the crossings of three axes (z, y, x positions in mm)."""
    for axis, (old, new) in enumerate(zip(grid.axes_mm, axes_mm, strict=True)):
        field = Spline.between(old, new).along(axis, field)
    return field


def sample(field: Float32, grid: Grid, points_lps: npt.NDArray[np.floating]) -> Float32:
    """Interpolate a field on `grid` linearly at points ``[n, 3]`` (x, y, z in mm)."""
    values = map_coordinates(field, grid.to_index(points_lps).T, order=1, mode="nearest", output=np.float32)
    return np.asarray(values, dtype=np.float32)
