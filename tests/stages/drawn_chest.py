"""A chest drawn straight into an array: lungs that touch in front, trachea, bowel gas, table, air around."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lung_nodules.stages.volume import Geometry, Volume

SPACING_MM = 3.0
SHAPE = (90, 90, 120)  # slices, rows, columns
ORIGIN_LPS = (-178.5, -133.5, -133.5)
TRACHEA_LPS = (0.0, -5.0, 90.0)


def draw_chest(lungs: bool = True, gas_radius_mm: float = 20.0) -> Volume:
    """Head first, supine: slices rise towards the head, rows to the back, columns to the left."""
    geometry = Geometry(
        ORIGIN_LPS, (SPACING_MM,) * 3, ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)), SHAPE, "1.2.3"
    )
    x, y, z = np.moveaxis(geometry.to_world(np.moveaxis(np.indices(SHAPE), 0, -1)), -1, 0)
    hu = np.full(SHAPE, -1000.0)
    hu[(y > 112) & (y < 120)] = -300.0  # table
    hu[(x / 160) ** 2 + (y / 105) ** 2 < 1] = 40.0
    if lungs:
        hu[right_lung(x, y, z) | left_lung(x, y, z)] = -850.0
        hu[np.hypot(x - TRACHEA_LPS[0], y - TRACHEA_LPS[1]) < 11] = 30.0  # its wall
        hu[(np.hypot(x - TRACHEA_LPS[0], y - TRACHEA_LPS[1]) < 9) & (z > 0)] = -1000.0
    hu[np.sqrt((x - 50) ** 2 + (y + 40) ** 2 + (z + 105) ** 2) < gas_radius_mm] = -1000.0
    noise = np.random.default_rng(0).normal(0, 15, SHAPE)
    return Volume(np.clip(np.rint(hu + noise), -1024, 3000).astype(np.int16), geometry)


def right_lung(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], z: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Inside the right lung; it reaches the left one in front of the heart, in a thin sheet."""
    body = ((x + 72) / 62) ** 2 + (y / 80) ** 2 + ((z - 20) / 100) ** 2 < 1
    return body | ((x > -72) & (x <= 0) & (np.abs(y + 60) < 5) & (np.abs(z - 20) < 40))


def left_lung(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], z: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Inside the left lung, the smaller one."""
    body = ((x - 74) / 54) ** 2 + (y / 76) ** 2 + ((z - 25) / 95) ** 2 < 1
    return body | ((x > 0) & (x < 74) & (np.abs(y + 60) < 5) & (np.abs(z - 20) < 40))


def world_points(volume: Volume, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """LPS mm of the voxels of a mask [n, 3]."""
    return volume.geometry.to_world(np.argwhere(mask))


def reorient(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """The same patient on the same grid, stored along other axes: array axis k of the result is axis order[k]."""
    geometry = volume.geometry
    first = [geometry.shape[axis] - 1 if flip else 0 for axis, flip in enumerate(flips)]
    direction = [tuple((-1 if flips[axis] else 1) * d for d in geometry.direction[axis]) for axis in order]
    turned = replace(
        geometry,
        origin_lps=tuple(geometry.to_world(first).tolist()),
        spacing_mm=tuple(geometry.spacing_mm[axis] for axis in order),
        direction=tuple(direction),
        shape=tuple(geometry.shape[axis] for axis in order),
    )
    return replace(volume, array=reorient_array(volume.array, order, flips), geometry=turned)


def reorient_array(
    array: npt.NDArray[np.generic], order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> npt.NDArray[np.generic]:
    """An array of the volume, stored as `reorient` stores the volume."""
    flipped = array[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
    return np.ascontiguousarray(flipped.transpose(order))
