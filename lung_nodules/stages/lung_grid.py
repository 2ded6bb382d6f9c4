"""A coarse grid on which the lungs are found, and the way back to the CT's grid.

Blocks of whole voxels are averaged, so that the coarse grid is exact (no interpolation, no half-voxel shift) and
denoised, and are then brought into one orientation, so that what follows may say "left", "front" and "up".
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from lung_nodules.stages.volume import Geometry, Volume

UP, BACK, LEFT = 0, 1, 2  # axes of a canonical array, in the direction in which the index rises


@dataclass(frozen=True)
class CoarseGrid:
    """How the voxels of a CT were gathered into blocks and turned.

    A canonical array is indexed ``[up, back, left]``: superior, posterior and left rise with the index, whatever the
    orientation of the CT (exactly for axes along the patient's, else by the nearest axis).
    """

    shape: tuple[int, int, int]  # of the CT, [slice, row, column]
    factors: tuple[int, int, int]  # CT voxels a block, in the CT's axis order
    order: tuple[int, int, int]  # the CT's axis that runs along up, back, left
    flips: tuple[bool, bool, bool]  # whether that axis runs the other way
    spacing_mm: tuple[float, float, float]  # of the blocks, along up, back, left

    @property
    def voxel_litres(self) -> float:
        """Volume of one whole block in litres."""
        return float(np.prod(self.spacing_mm)) / 1e6

    def canonical(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Turn an array of blocks from the CT's axes to ``[up, back, left]``."""
        turned = np.transpose(array, self.order)
        return np.ascontiguousarray(turned[_steps(self.flips)])

    def restore(self, label_map: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Give every CT voxel the label of its block: canonical ``[up, back, left]`` to ``[slice, row, column]``."""
        blocks = np.transpose(label_map[_steps(self.flips)], np.argsort(self.order))
        restored = np.empty(self.shape, dtype=label_map.dtype)
        per_slice, per_row, per_column = self.factors
        for index, block in enumerate(blocks):
            plane = block.repeat(per_row, axis=0).repeat(per_column, axis=1)[: self.shape[1], : self.shape[2]]
            restored[index * per_slice : (index + 1) * per_slice] = plane
        return restored

    def restore_box(self, box: tuple[slice, slice, slice]) -> tuple[slice, slice, slice]:
        """The box on the CT's grid, ``[slice, row, column]``, of a box of blocks ``[up, back, left]``."""
        restored = [slice(0)] * 3
        for axis, blocks, flip in zip(self.order, box, self.flips, strict=True):
            length, factor = self.shape[axis], self.factors[axis]
            num_blocks = -(-length // factor)
            first, stop = (num_blocks - blocks.stop, num_blocks - blocks.start) if flip else (blocks.start, blocks.stop)
            restored[axis] = slice(first * factor, min(length, stop * factor))
        return (restored[0], restored[1], restored[2])


def gather_blocks(volume: Volume, spacing_mm: float) -> tuple[npt.NDArray[np.float32], CoarseGrid]:
    """Average the CT over blocks of about `spacing_mm` and turn the result.

    Args:
        volume: The CT.
        spacing_mm: Wanted distance of blocks; the nearest whole number of voxels is taken, one at least.

    Returns:
        HU, float32, canonical ``[up, back, left]``, and the grid that leads back. The last block of an axis holds
        what is left over.
    """
    geometry = volume.geometry
    factors = tuple(max(1, round(spacing_mm / spacing)) for spacing in geometry.spacing_mm)
    order, flips = canonical_axes(geometry)
    grid = CoarseGrid(
        shape=geometry.shape,
        factors=(factors[0], factors[1], factors[2]),
        order=order,
        flips=flips,
        spacing_mm=_block_spacing(geometry, factors, order),
    )
    return grid.canonical(_block_means(volume.array, grid.factors)), grid


def canonical_axes(geometry: Geometry) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """Which array axes run along up, back and left (superior, posterior, left), and whether each is reversed."""
    direction = np.asarray(geometry.direction)
    towards = np.abs(direction[:, ::-1])  # [array axis, (up, back, left)]
    order = max(permutations(range(3)), key=lambda axes: sum(towards[axis, k] for k, axis in enumerate(axes)))
    flips = tuple(bool(direction[axis, 2 - k] < 0) for k, axis in enumerate(order))
    return (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])


def _block_spacing(
    geometry: Geometry, factors: tuple[int, ...], order: tuple[int, int, int]
) -> tuple[float, float, float]:
    spacing = [geometry.spacing_mm[axis] * factors[axis] for axis in order]
    return (spacing[0], spacing[1], spacing[2])


def _block_means(array: npt.NDArray[np.int16], factors: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Mean of each block, slab by slab so that no copy of the whole CT is made."""
    starts = [np.arange(0, length, factor) for length, factor in zip(array.shape, factors, strict=True)]
    counts = [np.diff(np.append(first, length)) for first, length in zip(starts, array.shape, strict=True)]
    means = np.empty([len(first) for first in starts], dtype=np.float32)
    in_plane = np.outer(counts[1], counts[2])
    for index, first in enumerate(starts[0]):
        slab = array[first : first + factors[0]].sum(axis=0, dtype=np.int32)
        rows = np.add.reduceat(slab, starts[1], axis=0)
        means[index] = np.add.reduceat(rows, starts[2], axis=1) / (in_plane * counts[0][index])
    return means


def _steps(flips: tuple[bool, bool, bool]) -> tuple[slice, ...]:
    return tuple(slice(None, None, -1 if flip else 1) for flip in flips)
