"""Cutting a patch out of a volume, and bringing what a network says about it back to the volume's own grid.

The forward and the inverse way are one object, `PatchGrid`, so that they cannot drift apart. Resampling is linear and
SimpleITK's; outside the source the nearest voxel is repeated, so that a patch that leaves the scan sees no step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  # its own documentation's name

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class PatchGrid:
    """A regular grid laid into a source array: index ``o`` of the patch is index ``start + matrix @ o`` of the source.

    All indices are ``[slice, row, column]`` and voxel centres are whole numbers.
    """

    start: npt.NDArray[np.float64]  # (3,) source index of patch voxel [0, 0, 0]
    matrix: npt.NDArray[np.float64]  # (3, 3) source voxels per patch voxel
    shape: tuple[int, int, int]

    @classmethod
    def centered(
        cls,
        center_ijk: Sequence[float] | npt.NDArray[np.float64],
        spacing_mm: Sequence[float],
        shape: tuple[int, int, int],
        patch_spacing_mm: float,
        rotation: npt.NDArray[np.float64] | None = None,
    ) -> PatchGrid:
        """Lay a grid of `shape` voxels of `patch_spacing_mm` around a source index.

        Args:
            center_ijk: Source index of the patch's centre, slice, row, column.
            spacing_mm: Source spacing between slices, rows, columns.
            shape: Voxels of the patch along slices, rows, columns.
            patch_spacing_mm: Isotropic spacing of the patch.
            rotation: Optional (3, 3) linear map in mm, patch axes to source axes (augmentation).
        """
        to_voxels = np.diag(1.0 / np.asarray(spacing_mm, dtype=float))
        linear = np.eye(3) if rotation is None else rotation
        matrix = to_voxels @ linear * patch_spacing_mm
        middle = (np.asarray(shape, dtype=float) - 1) / 2
        return cls(np.asarray(center_ijk, dtype=float) - matrix @ middle, matrix, shape)

    @classmethod
    def covering(cls, box: Box, spacing_mm: Sequence[float], patch_spacing_mm: float) -> PatchGrid:
        """Lay an isotropic grid over a box of the source; its outer voxel edges are the box's."""
        spacing = np.asarray(spacing_mm, dtype=float)
        low = np.array([part.start for part in box], dtype=float)
        extent = np.array([part.stop - part.start for part in box]) * spacing
        shape = np.maximum(np.ceil(extent / patch_spacing_mm - 1e-6), 1).astype(int)
        step = patch_spacing_mm / spacing
        return cls(low - 0.5 + step / 2, np.diag(step), (int(shape[0]), int(shape[1]), int(shape[2])))

    def to_source(self, patch_ijk: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map patch indices ``[..., 3]`` to source indices ``[..., 3]``."""
        return np.asarray(np.asarray(patch_ijk, dtype=float) @ self.matrix.T + self.start)

    def to_patch(self, source_ijk: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Map source indices ``[..., 3]`` to patch indices ``[..., 3]``."""
        offset = np.asarray(source_ijk, dtype=float) - self.start
        return np.asarray(offset @ np.linalg.inv(self.matrix).T)

    def sample(self, source: npt.NDArray[Any], outside: float | None = None) -> npt.NDArray[np.float32]:
        """Read the source on this grid, linearly.

        Args:
            source: [slice, row, column] of any real dtype.
            outside: Value beyond the outermost voxels' edges; None repeats the nearest voxel.

        Returns:
            float32 of the patch's shape.
        """
        box, offset = self._footprint(source.shape)
        return _resample(source[box], self.start - offset, self.matrix, self.shape, outside)

    def source_box(self, source_shape: tuple[int, ...]) -> Box:
        """The box of source voxels whose centres this grid covers, clipped to the source."""
        corners = self.to_source(np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.shape])).reshape(3, -1).T)
        low = np.clip(np.ceil(corners.min(axis=0)), 0, source_shape)
        high = np.clip(np.floor(corners.max(axis=0)) + 1, 0, source_shape)
        return _box(low, high)

    def back(self, values: npt.NDArray[Any], box: Box, outside: float = 0.0) -> npt.NDArray[np.float32]:
        """Bring values on this grid back to a box of the source's own voxels, linearly.

        Args:
            values: [slice, row, column] of the patch's shape.
            box: The source voxels wanted.
            outside: Value of source voxels that the patch does not cover.
        """
        inverse = np.asarray(np.linalg.inv(self.matrix), dtype=np.float64)
        low = np.array([part.start for part in box], dtype=float)
        shape = tuple(part.stop - part.start for part in box)
        return _resample(values, inverse @ (low - self.start), inverse, (shape[0], shape[1], shape[2]), outside)

    def _footprint(self, source_shape: tuple[int, ...]) -> tuple[Box, npt.NDArray[np.float64]]:
        """The part of the source that linear interpolation on this grid reads (never empty), and its first index."""
        corners = self.to_source(np.array(np.meshgrid(*[(0, n - 1) for n in self.shape])).reshape(3, -1).T)
        last = np.array(source_shape) - 1
        low = np.clip(np.floor(corners.min(axis=0)) - 1, 0, last)
        high = np.clip(np.ceil(corners.max(axis=0)) + 2, low + 1, last + 1)
        return _box(low, high), low


def scale_hu(hu: npt.NDArray[Any], window_hu: tuple[float, float]) -> npt.NDArray[np.float32]:
    """Clip HU to a window and scale it to 0-1, float32: what every network of ours is fed."""
    low, high = window_hu
    scaled = (np.clip(hu, low, high) - low) / (high - low)
    return np.asarray(scaled, dtype=np.float32)


def flips(count: int) -> list[tuple[int, ...]]:
    """The first `count` of the eight ways to mirror a cube, as axes for `numpy.flip`; the first mirrors nothing."""
    ways = [
        tuple(axis for axis, flipped in enumerate(chosen) if flipped) for chosen in product((False, True), repeat=3)
    ]
    return ways[:count]


def _box(low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> Box:
    first, second, third = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return first, second, third


def _resample(
    source: npt.NDArray[Any],
    start: npt.NDArray[np.float64],
    matrix: npt.NDArray[np.float64],
    shape: tuple[int, int, int],
    outside: float | None,
) -> npt.NDArray[np.float32]:
    """Read `source` at ``start + matrix @ o`` for every ``o`` of `shape`. SimpleITK counts column, row, slice."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(source))
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[::-1, ::-1].ravel().tolist())
    transform.SetTranslation(start[::-1].tolist())
    resampler = sitk.ResampleImageFilter()
    resampler.SetSize([int(n) for n in shape[::-1]])
    resampler.SetTransform(transform)
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.SetOutputPixelType(sitk.sitkFloat32)
    if outside is None:
        resampler.UseNearestNeighborExtrapolatorOn()
    else:
        resampler.SetDefaultPixelValue(float(outside))
    return sitk.GetArrayFromImage(resampler.Execute(image))  # type: ignore[no-any-return]  # SimpleITK is untyped
