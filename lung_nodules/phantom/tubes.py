"""Drawing of vessels and airways into a volume, honest about partial volume.

A branch of some voxels across is drawn piece by piece, each in its own bounding box, from the distance to its axis. A
branch of about a voxel or less has no surface that a grid could show: there its cross-section is spread over the
nearest voxels in proportion, all branches at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lung_nodules.phantom.grid import Float32, Grid
from lung_nodules.phantom.tissues import AIR_HU, BLOOD_HU
from lung_nodules.phantom.trees import Branches, Points

_THIN_RADIUS_MM = 1.0
_WALL_HU = -60.0
_PIECE_MM = 4.0
_HAIR_RADIUS_MM = 0.4  # below which a cross-section is a point
_STEP_MM = 0.5


def draw_vessels(hu: Float32, grid: Grid, vessels: Branches) -> None:
    """Draw arteries and veins into `hu` (``[slice, row, column]``), in place."""
    thin = vessels.start_radius_mm < max(_THIN_RADIUS_MM, 0.7 * grid.spacing_mm[2])
    _spread(hu, grid, vessels[thin])
    _draw(hu, grid, vessels[~thin], 0.0, BLOOD_HU)


def draw_airways(hu: Float32, grid: Grid, airways: Branches) -> None:
    """Draw trachea and bronchi into `hu`, in place: all walls, then all lumina, so that they are open throughout."""
    wall_mm = 0.4 + 0.09 * airways.end_radius_mm
    _draw(hu, grid, airways, wall_mm, _WALL_HU)
    _draw(hu, grid, airways, 0.0, AIR_HU)


def sample_axis(branches: Branches, step_mm: float) -> tuple[Points, npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Points along all branches at most `step_mm` apart, the radius at each, and its branch's number."""
    counts = np.ceil(branches.lengths_mm() * 1.15 / step_mm).astype(np.int64) + 1
    number = np.repeat(np.arange(len(branches)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    t = (np.arange(len(number)) - first + 0.5) / counts[number]
    points, radius = branches.at(number, t)
    return points, radius, number


def _draw(hu: Float32, grid: Grid, branches: Branches, wall_mm: npt.NDArray[np.float64] | float, tissue: float) -> None:
    """Draw tapering tubes from the distance to their axes."""
    wall = np.broadcast_to(wall_mm, len(branches))
    pieces = np.ceil(branches.lengths_mm() / _PIECE_MM).astype(np.int64).clip(2, 24)
    for branch, count in enumerate(pieces):
        points, radius = branches.at(np.full(count + 1, branch), np.linspace(0, 1, count + 1))
        for k in range(count):
            _draw_piece(hu, grid, points[k : k + 2], radius[k : k + 2] + wall[branch], tissue)


def _draw_piece(hu: Float32, grid: Grid, ends: Points, radius: npt.NDArray[np.float64], tissue: float) -> None:
    """Lay the straight, tapering tube between two points over the voxels around it."""
    box = box_around(grid, ends.min(axis=0) - radius.max() - 1, ends.max(axis=0) + radius.max() + 1)
    if box is None:
        return
    z, y, x = (axis[part] for axis, part in zip(grid.axes_mm, box, strict=True))
    place = (x[None, None, :] - ends[0, 0], y[None, :, None] - ends[0, 1], z[:, None, None] - ends[0, 2])
    way = (ends[1] - ends[0]).astype(np.float32)
    along = sum(p * w for p, w in zip(place, way, strict=True)) / max(float(way @ way), 1e-6)
    along = np.clip(along, 0, 1)
    distance = np.sqrt(sum((p - along * w) ** 2 for p, w in zip(place, way, strict=True)))
    distance -= radius[0] + along * (radius[1] - radius[0])
    share = np.clip(0.5 - distance / grid.spacing_mm[2], 0, 1).astype(np.float32)
    part = hu[box]
    part += share * (tissue - part)


def box_around(grid: Grid, low_lps: Points, high_lps: Points) -> tuple[slice, slice, slice] | None:
    """The voxels of `grid` within two corners; None where they are outside it."""
    first = np.maximum(np.floor(grid.to_index(low_lps)).astype(int), 0)
    last = np.minimum(np.ceil(grid.to_index(high_lps)).astype(int) + 1, grid.shape)
    if (last <= first).any():
        return None
    z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return z, y, x


def _spread(hu: Float32, grid: Grid, branches: Branches) -> None:
    """Spread the cross-sections of thin branches over the voxels nearest to points within them."""
    points, radius, number = sample_axis(branches, _STEP_MM)
    counts = np.bincount(number, minlength=len(branches))
    chord = np.linalg.norm(np.diff(points, axis=0, append=points[-1:]), axis=1)
    chord[np.cumsum(counts)[counts > 0] - 1] = 0  # the step from one branch to the next
    chord = np.where(chord > 0, chord, np.roll(chord, 1))
    volume = np.pi * radius**2 * chord
    way = (branches.end - branches.start)[number]
    thick = radius > _HAIR_RADIUS_MM
    offsets = [0 * points[thick], *_ring(way[thick], radius[thick] * 0.72)]
    everywhere = np.concatenate([points[~thick], *(points[thick] + offset for offset in offsets)])
    _splat(hu, grid, everywhere, np.concatenate([volume[~thick], np.tile(volume[thick] / len(offsets), len(offsets))]))


def _ring(way: Points, radius: npt.NDArray[np.float64]) -> list[Points]:
    """Six points around the axis in the cross-section of each branch."""
    way = way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
    helper = np.where(np.abs(way[:, 2:]) < 0.8, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0))
    first = np.cross(way, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(way, first)
    angles = np.arange(6) * np.pi / 3
    return [radius[:, None] * (np.cos(a) * first + np.sin(a) * second) for a in angles]


def _splat(hu: Float32, grid: Grid, points: Points, volume_mm3: npt.NDArray[np.float64]) -> None:
    """Share small volumes of blood among the eight voxels around each point."""
    index = grid.to_index(points)
    inside = ((index > 0) & (index < np.asarray(grid.shape) - 1.001)).all(axis=1)
    index, volume = index[inside], volume_mm3[inside]
    low = index.astype(np.int64)
    part = index - low
    flat = (low[:, 0] * grid.shape[1] + low[:, 1]) * grid.shape[2] + low[:, 2]
    share = np.zeros(hu.size, dtype=np.float32)
    for corner in np.ndindex(2, 2, 2):
        step = (corner[0] * grid.shape[1] + corner[1]) * grid.shape[2] + corner[2]
        weight = np.prod(np.where(corner, part, 1 - part), axis=1)
        np.add.at(share, flat + step, (weight * volume / grid.voxel_volume_mm3).astype(np.float32))
    touched = np.flatnonzero(share)
    linear = hu.reshape(-1)
    linear[touched] += np.minimum(share[touched], 1) * (BLOOD_HU - linear[touched])
