"""Dividing one outline among the candidates that point at it: touching nodules stay two, one nodule stays one.

The watershed of the distance to the outline's edge gives each seed its basin. Two basins are one nodule unless the
neck between them is clearly narrower than the thinner of the two (a test on the saddle of the distance, as in the
splitting of touching cells: Vincent and Soille 1991, 10.1109/34.87344).
"""

from __future__ import annotations

from collections.abc import Sequence

import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

Mask = npt.NDArray[np.bool_]


def split_at_necks(
    mask: Mask, seeds: Sequence[npt.NDArray[np.float64]], spacing_mm: Sequence[float], neck_ratio: float
) -> list[tuple[int, Mask]]:
    """Divide a mask among seeds.

    Args:
        mask: [slice, row, column].
        seeds: Places in or near the mask, array indices, most important first.
        spacing_mm: Between slices, rows, columns.
        neck_ratio: Two basins stay apart where the radius of the neck is below this part of the smaller basin's radius.

    Returns:
        Pairs of a seed's number and its part. The parts cover the mask; a seed without a part of its own is left out,
        and the part carries the number of its most important seed.
    """
    if len(seeds) == 1:
        return [(0, mask)]
    distance = edt.edt(np.ascontiguousarray(mask), anisotropy=tuple(spacing_mm), black_border=True)
    markers, owner = _markers(mask, seeds, distance, spacing_mm)
    basins = _fill(watershed(-distance, markers, mask=mask), mask, spacing_mm)
    groups = _merge(basins, distance, neck_ratio)
    parts: dict[int, list[int]] = {}
    for basin in range(1, int(basins.max()) + 1):
        parts.setdefault(groups[basin], []).append(basin)
    divided = [(min(owner[basin] for basin in members), np.isin(basins, members)) for members in parts.values()]
    return sorted(divided, key=lambda pair: pair[0])


def _markers(
    mask: Mask, seeds: Sequence[npt.NDArray[np.float64]], distance: npt.NDArray[np.float32], spacing_mm: Sequence[float]
) -> tuple[npt.NDArray[np.int32], dict[int, int]]:
    """One marker a seed, moved uphill to the middle of what it points at; seeds that meet share one."""
    markers = np.zeros(mask.shape, dtype=np.int32)
    owner: dict[int, int] = {}
    nearest = ndimage.distance_transform_edt(~mask, sampling=spacing_mm, return_distances=False, return_indices=True)
    for number, seed in enumerate(seeds):
        place = np.clip(np.rint(seed).astype(int), 0, np.array(mask.shape) - 1)
        top = _climb(tuple(nearest[(slice(None), *place)]), distance)
        if markers[top] == 0:
            markers[top] = len(owner) + 1
            owner[len(owner) + 1] = number
    return markers, owner


def _fill(basins: npt.NDArray[np.int32], mask: Mask, spacing_mm: Sequence[float]) -> npt.NDArray[np.int32]:
    """Give the pieces of the mask that no seed reaches, because they touch by an edge or not at all, to the nearest."""
    left = mask & (basins == 0)
    if left.any():
        nearest = ndimage.distance_transform_edt(
            basins == 0, sampling=spacing_mm, return_distances=False, return_indices=True
        )
        basins[left] = basins[tuple(nearest[:, left])]
    return basins


def _climb(place: tuple[int, ...], height: npt.NDArray[np.float32]) -> tuple[int, ...]:
    """Go to the highest neighbour until there is none higher."""
    while True:
        low = [max(index - 1, 0) for index in place]
        around = height[tuple(slice(start, index + 2) for start, index in zip(low, place, strict=True))]
        step = np.unravel_index(int(around.argmax()), around.shape)
        best = tuple(int(start + index) for start, index in zip(low, step, strict=True))
        if height[best] <= height[place]:
            return place
        place = best


def _merge(basins: npt.NDArray[np.int32], distance: npt.NDArray[np.float32], neck_ratio: float) -> dict[int, int]:
    """Group basins that no neck sets apart, widest saddle first; basin to the smallest number of its group."""
    count = int(basins.max())
    peak = dict(enumerate(ndimage.maximum(distance, basins, range(count + 1))))
    group = {basin: basin for basin in range(1, count + 1)}
    for (one, other), saddle in sorted(_saddles(basins, distance).items(), key=lambda item: (-item[1], item[0])):
        first, second = sorted((group[one], group[other]))
        if first != second and saddle >= neck_ratio * min(peak[first], peak[second]):
            group = {basin: first if member == second else member for basin, member in group.items()}
            peak[first] = max(peak[first], peak[second])
    return group


def _saddles(basins: npt.NDArray[np.int32], distance: npt.NDArray[np.float32]) -> dict[tuple[int, int], float]:
    """The radius of the neck between any two neighbouring basins: the greatest distance to the edge there."""
    saddles: dict[tuple[int, int], float] = {}
    for axis in range(3):
        lower = [slice(None)] * 3
        upper = [slice(None)] * 3
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        one, other = basins[tuple(lower)], basins[tuple(upper)]
        height = np.minimum(distance[tuple(lower)], distance[tuple(upper)])
        border = (one != other) & (one > 0) & (other > 0)
        pairs = zip(one[border].tolist(), other[border].tolist(), height[border].tolist(), strict=True)
        for first, second, value in pairs:
            key = (min(first, second), max(first, second))
            saddles[key] = max(saddles.get(key, 0.0), value)
    return saddles
