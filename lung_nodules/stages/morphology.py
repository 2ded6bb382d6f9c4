"""Morphology with balls in millimetres, by distance transforms.

A distance transform costs the same for any radius, where a structuring element of 30 mm costs a thousand times a small
one. Distances are those between voxel centres (`edt`, after Felzenszwalb and Huttenlocher, Theory of Computing 2012).
"""

from __future__ import annotations

import cc3d
import edt
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]


def distance_mm(mask: Mask, spacing_mm: Spacing) -> npt.NDArray[np.float32]:
    """Distance in mm from each voxel of `mask` to the nearest one outside it; the array's border is no outside."""
    distances: npt.NDArray[np.float32] = edt.edt(mask, anisotropy=spacing_mm, black_border=False, parallel=1)
    return distances


def dilate(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Add every voxel whose centre is within `radius_mm` of one of the mask."""
    if not mask.any():
        return mask.copy()
    return distance_mm(~mask, spacing_mm) <= radius_mm


def erode(mask: Mask, radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Keep the voxels that are further than `radius_mm` from any voxel outside the mask."""
    if mask.all():
        return mask.copy()
    return distance_mm(mask, spacing_mm) > radius_mm


def close(mask: Mask, radii_mm: tuple[float, ...], spacing_mm: Spacing) -> tuple[Mask, ...]:
    """Fill what a ball outside the mask cannot reach (the "rolling ball"), once for each radius.

    Nothing lies beyond the array's border. The distances to the mask are computed once for all radii.
    """
    if not mask.any():
        return tuple(mask.copy() for _ in radii_mm)
    reach = [int(np.ceil(max(radii_mm) / spacing)) + 1 for spacing in spacing_mm]
    away_mm = distance_mm(~np.pad(mask, [(voxels, voxels) for voxels in reach]), spacing_mm)
    closed = []
    for radius_mm in radii_mm:
        kept = [min(voxels, int(np.ceil(radius_mm / mm)) + 1) for voxels, mm in zip(reach, spacing_mm, strict=True)]
        eroded = erode(away_mm[_inner(reach, kept, mask.shape)] <= radius_mm, radius_mm, spacing_mm)
        closed.append(eroded[_inner(kept, [0, 0, 0], mask.shape)] | mask)
    return tuple(closed)


def _inner(padding: list[int], kept: list[int], shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The part of a padded array that has only `kept` voxels of padding on each side."""
    return tuple(slice(pad - keep, pad + keep + length) for pad, keep, length in zip(padding, kept, shape, strict=True))


def fill_holes(mask: Mask) -> Mask:
    """Add the cavities that are closed on all sides (by faces)."""
    padded = np.pad(~mask, 1, constant_values=True)
    outside = cc3d.connected_components(padded, connectivity=6)
    filled: Mask = outside[1:-1, 1:-1, 1:-1] != outside[0, 0, 0]
    return filled


def touching_sides(mask: Mask) -> Mask:
    """The components of a mask ``[up, back, left]`` that reach its front, back, left or right border."""
    labels = cc3d.connected_components(mask, connectivity=6)
    border = np.zeros(int(labels.max()) + 1, dtype=bool)
    for face in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        border[np.unique(face)] = True
    border[0] = False
    touching: Mask = border[labels]
    return touching


def bounding_box(mask: Mask) -> tuple[slice, slice, slice]:
    """The smallest box that holds the mask.

    Raises:
        ValueError: The mask is empty.
    """
    box = []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        (inside,) = np.nonzero(mask.any(axis=others))
        if not inside.size:
            raise ValueError("an empty mask has no bounding box")
        box.append(slice(int(inside[0]), int(inside[-1]) + 1))
    return (box[0], box[1], box[2])
