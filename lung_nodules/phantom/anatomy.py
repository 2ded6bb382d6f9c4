"""The large shapes of a chest as signed distances on a coarse grid.

Each organ is a field of distances in mm, negative inside, at 4 mm steps. A distance field is smooth where a mask is
not, so that interpolated to the CT's own grid its surface is exact to a fraction of a voxel at no great cost.
Sizes follow an adult of average build at full inspiration; the seed varies them by a few per cent.

Coordinates are LPS mm; the origin lies in the midline, in the middle of the lungs' height. The lungs reach from about
-125 mm (costophrenic recess) to +125 mm (apex); a nodule at (-75, 10, 20) is in the right lung, at (75, 10, 20) in the
left.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from lung_nodules.phantom.grid import Float32, Grid, resample

COARSE_GRID = Grid(shape=(85, 97, 97), spacing_mm=(4.0, 4.0, 4.0))
RIGHT_HILUM = np.array((-40.0, 10.0, 2.0))
LEFT_HILUM = np.array((42.0, 14.0, 10.0))
CARINA = np.array((-2.0, 20.0, 42.0))
_FAR_MM = 32.0  # beyond which the distance from a great vessel does not matter
FISSURE_SLOPE = 1.15  # rise of the oblique fissure towards the back, mm per mm


@dataclass(frozen=True)
class Anatomy:
    """Signed distances in mm on `grid`, ``[slice, row, column]``, negative inside."""

    grid: Grid
    body: Float32
    muscle: Float32  # the chest wall within the subcutaneous fat
    cage: Float32  # the inside of the chest wall: pleura, mediastinum and upper abdomen
    heart: Float32
    great_vessels: Float32
    right_lung: Float32
    left_lung: Float32
    diaphragm: Float32  # what lies below either dome
    liver: Float32
    spleen: Float32
    stomach: Float32


def build_anatomy(seed: int) -> Anatomy:
    """Build the chest of one seed."""
    rng = np.random.default_rng([seed, 1])
    z, y, x = np.meshgrid(*COARSE_GRID.axes_mm, indexing="ij", sparse=True)
    width, depth = rng.uniform(0.97, 1.03, 2)
    cage = _cage(x / width, y / depth, z) + _wobble(rng, 1.2)
    body = _body(x / width, y / depth, z) + _wobble(rng, 1.5)
    heart = _heart(x, y, z) + _wobble(rng, 1.5)
    vessels = _great_vessels(x, y, z) + _wobble(rng, 0.6)
    right_dome, left_dome = (_dome(x, y, z, side) + _wobble(rng, 1.5) for side in (-1, 1))
    center = np.minimum(heart - 2.5, np.minimum(vessels - 1.5, _spine(x, y, z)))
    right_lung, left_lung = (
        _lung(cage, center, dome, _mediastinum(x, y, z, side) + _wobble(rng, 1.5))
        for side, dome in ((-1, right_dome), (1, left_dome))
    )
    diaphragm = np.where(x < 0, right_dome, left_dome)
    liver, spleen, stomach = _abdomen(x, y, z, cage, diaphragm)
    return Anatomy(
        COARSE_GRID,
        body,
        _muscle(z, body, cage, y),
        cage,
        heart,
        vessels,
        right_lung,
        left_lung,
        diaphragm,
        liver,
        spleen,
        stomach,
    )


def lobe(points_lps: npt.NDArray[np.floating], side: int) -> npt.NDArray[np.int64]:
    """Lobe of each point ``[n, 3]``: 0 upper, 1 middle (right lung only), 2 lower; `side` -1 right, 1 left."""
    x, y, z = (points_lps[:, axis] for axis in range(3))
    middle = (side < 0) & (horizontal_fissure(x, z) < 0)
    return np.where(oblique_fissure(x, y, z, side) < 0, 2, np.where(middle, 1, 0))


def oblique_fissure(
    x: npt.NDArray[np.floating], y: npt.NDArray[np.floating], z: npt.NDArray[np.floating] | float, side: int
) -> npt.NDArray[np.floating]:
    """Signed distance in mm from the oblique fissure, positive above it."""
    height = (-22 if side < 0 else -12) + FISSURE_SLOPE * y - 10 * np.sin(np.abs(x) / 40)
    result: npt.NDArray[np.floating] = (z - height) / np.hypot(1, FISSURE_SLOPE)
    return result


def horizontal_fissure(x: npt.NDArray[np.floating], z: npt.NDArray[np.floating] | float) -> npt.NDArray[np.floating]:
    """Signed distance in mm from the right lung's horizontal fissure, positive above it."""
    return np.asarray(z - 2 - 5 * np.cos(x / 30))


def smooth_max(first: Float32, second: Float32, radius_mm: float) -> Float32:
    """Intersection of two shapes whose common edge is rounded off within `radius_mm`."""
    overlap = np.maximum(radius_mm - np.abs(first - second), 0)
    return np.asarray(np.maximum(first, second) + overlap**2 / (4 * radius_mm), dtype=np.float32)


def _wobble(rng: np.random.Generator, amplitude_mm: float) -> Float32:
    """A slow random field that takes the geometric look off a surface."""
    rough = Grid(shape=(8, 9, 9), spacing_mm=(50.0, 50.0, 50.0))
    values = rng.standard_normal(rough.shape, dtype=np.float32)
    smooth = resample(values, rough, COARSE_GRID.axes_mm)
    return np.asarray(smooth * (amplitude_mm / smooth.std()), dtype=np.float32)


def _curve(z: Float32, *points: tuple[float, float]) -> Float32:
    """A smooth monotone curve through (z, value) points."""
    heights, values = zip(*points, strict=True)
    inside = np.clip(z, heights[0], heights[-1])
    return np.asarray(PchipInterpolator(heights, values)(inside), dtype=np.float32)


def _as_distance(field: Float32) -> Float32:
    """Turn a field that is zero on a surface into about the distance from it."""
    gradient = np.sqrt(sum(part**2 for part in np.gradient(field, *COARSE_GRID.spacing_mm)))
    return np.asarray(field / np.maximum(gradient, 0.2 * np.median(gradient)), dtype=np.float32)


def _section(
    x: Float32, y: Float32, half_width: Float32, half_depth: Float32, center_y: Float32, power: float
) -> Float32:
    """A stack of superellipses, as a distance."""
    across = (np.abs(x) / half_width) ** power + (np.abs(y - center_y) / half_depth) ** power
    return _as_distance((across ** (1 / power) - 1) * 60)


def _cage(x: Float32, y: Float32, z: Float32) -> Float32:
    half_width = _curve(z, (-170, 122), (-125, 128), (-60, 131), (0, 127), (50, 114), (85, 97), (110, 78), (170, 60))
    half_depth = _curve(z, (-170, 84), (-125, 88), (-60, 90), (0, 87), (50, 78), (85, 64), (110, 50), (170, 40))
    center_y = _curve(z, (-170, 2), (-60, 2), (0, 3), (60, 8), (110, 20), (134, 24))
    return smooth_max(_section(x, y, half_width, half_depth, center_y, 2.35), z - 126, 60)


def _body(x: Float32, y: Float32, z: Float32) -> Float32:
    half_width = _curve(z, (-170, 150), (-100, 154), (-30, 157), (40, 160), (90, 170), (125, 178), (170, 172))
    half_depth = _curve(z, (-170, 112), (-60, 116), (30, 114), (80, 105), (120, 90), (170, 78))
    center_y = _curve(z, (-170, 2), (0, 3), (60, 6), (120, 16), (170, 20))
    return _section(x, y, half_width, half_depth, center_y, 2.3)


def _muscle(z: Float32, body: Float32, cage: Float32, y: Float32) -> Float32:
    """Chest wall muscle: thicker towards the shoulders and beside the spine."""
    upper = _curve(z, (-170, 0), (-40, 0), (60, 10), (170, 14))
    behind = 7 * np.exp(-(((y - 85) / 25) ** 2))
    around_cage = cage - (13 + upper + behind)
    shoulders = body + 12 + _curve(z, (-170, 60), (40, 60), (105, 2), (170, 0))
    return np.asarray(np.maximum(np.minimum(around_cage, shoulders), body + 5), dtype=np.float32)


def _heart(x: Float32, y: Float32, z: Float32) -> Float32:
    """An egg that points to the left, the front and the feet."""
    apex = np.array((0.70, -0.50, -0.51))
    apex /= np.linalg.norm(apex)
    across = np.cross(apex, (0, 0, 1.0))
    across /= np.linalg.norm(across)
    third = np.cross(apex, across)
    place = (x - 17, y + 20, z + 44)
    along, side, up = (sum(a * p for a, p in zip(axis, place, strict=True)) for axis in (apex, across, third))
    taper = 1 - 0.003 * along
    field = np.sqrt((along / 63) ** 2 + (side / (45 * taper)) ** 2 + (up / (47 * taper)) ** 2) - 1
    return _as_distance(np.asarray(field * 50, dtype=np.float32))


def _great_vessels(x: Float32, y: Float32, z: Float32) -> Float32:
    """Aorta, pulmonary arteries, left atrium with its veins, caval veins, oesophagus."""
    paths: tuple[tuple[float, tuple[tuple[float, float, float], ...]], ...] = (
        (15.5, ((4, -22, -25), (-10, -28, 15), (-10, -26, 48), (-2, -14, 66), (8, 6, 73), (17, 26, 68), (21, 40, 54))),
        (12.5, ((21, 40, 54), (23, 46, 20), (22, 46, -40), (16, 46, -90), (8, 42, -170))),
        (13.5, ((18, -34, -10), (21, -26, 18), (18, -10, 32))),
        (10.5, ((18, -8, 31), (0, -2, 27), (-24, 0, 20), (-36, 4, 12))),
        (10.5, ((18, -8, 32), (28, 6, 30), (38, 13, 20))),
        (10.0, ((-19, -12, 95), (-21, -14, 50), (-21, -10, 5), (-16, -4, -25))),
        (11.0, ((-18, 0, -70), (-22, 6, -105), (-20, 14, -170))),
        (8.0, ((-6, 36, 160), (2, 38, 60), (6, 38, -30), (14, 30, -100))),
        (17.0, ((-14, 18, -18), (12, 20, -16))),
        (7.0, ((-14, 14, -16), (-38, 12, -18))),
        (7.0, ((14, 16, -14), (38, 16, -12))),
        (6.5, ((-6, -16, 70), (-12, -8, 105), (-20, 2, 160))),
        (6.0, ((8, 2, 74), (15, 2, 110), (22, 6, 160))),
        (6.5, ((-18, -16, 88), (4, -30, 82), (24, -24, 96), (42, -6, 128))),
    )
    distance = np.full(COARSE_GRID.shape, 2 * _FAR_MM, dtype=np.float32)
    for radius, path in paths:
        for start, end in pairwise(path):
            low, high = (edge(start, end) for edge in (np.minimum, np.maximum))
            box = tuple(
                slice(*np.searchsorted(axis.ravel(), (low[k] - radius - _FAR_MM, high[k] + radius + _FAR_MM)))
                for axis, k in ((z, 2), (y, 1), (x, 0))
            )
            near = (x[:, :, box[2]], y[:, box[1]], z[box[0]])
            tube = _distance_to_line(*near, start, end) - radius
            np.minimum(distance[box], tube, out=distance[box])
    return distance


def _distance_to_line(
    x: Float32, y: Float32, z: Float32, start: tuple[float, float, float], end: tuple[float, float, float]
) -> Float32:
    direction = np.subtract(end, start)
    place = (x - start[0], y - start[1], z - start[2])
    t = sum(d * p for d, p in zip(direction, place, strict=True)) / float(direction @ direction)
    t = np.clip(t, 0, 1)
    return np.asarray(np.sqrt(sum((p - t * d) ** 2 for d, p in zip(direction, place, strict=True))), dtype=np.float32)


def _spine(x: Float32, y: Float32, z: Float32) -> Float32:
    """Vertebral bodies with the soft tissue beside them."""
    return np.asarray(np.hypot(x, (y - spine_center_y(z)) * 0.85) - 23, dtype=np.float32)


def spine_center_y(z: Float32 | float) -> Float32:
    """Where the middle of the vertebral bodies lies (y in mm): the thoracic kyphosis."""
    return np.asarray(70 - 0.0011 * (np.asarray(z) + 10) ** 2, dtype=np.float32)


def _mediastinum(x: Float32, y: Float32, z: Float32, side: int) -> Float32:
    """How far a point lies on the other side of the mediastinal pleura."""
    front_to_back = _curve(y, (-170, 4), (-75, 5), (-48, 13), (-20, 25), (20, 26), (45, 20), (70, 24), (100, 30))
    upper_front = _curve(z, (-170, 0), (60, 0), (115, 20), (170, 24)) * np.exp(-(((y + 25) / 35) ** 2))
    return _as_distance(np.asarray(front_to_back + upper_front - side * x, dtype=np.float32))


def _dome(x: Float32, y: Float32, z: Float32, side: int) -> Float32:
    """Distance below one dome of the diaphragm (negative: below)."""
    top, half_width = (73, 72) if side < 0 else (70, 70)
    around = ((x - side * 64) / half_width) ** 2 + ((y + 6) / 98) ** 2
    height = -130 + top * (1 - around**1.4)
    return _as_distance(np.asarray(z - np.maximum(height, -175), dtype=np.float32))


def _lung(cage: Float32, center: Float32, dome: Float32, mediastinum: Float32) -> Float32:
    within = smooth_max(cage, mediastinum, 14)
    within = smooth_max(within, -center, 8)
    return smooth_max(within, np.asarray(-dome, dtype=np.float32), 5)


def _abdomen(x: Float32, y: Float32, z: Float32, cage: Float32, diaphragm: Float32) -> tuple[Float32, Float32, Float32]:
    below = smooth_max(cage + 2, diaphragm + 1.5, 8)
    liver = smooth_max(below, np.asarray(x - 30 + 0.3 * (z + 60) + 0.25 * (y + 20), dtype=np.float32), 12)
    spleen = np.sqrt(((x - 92) / 30) ** 2 + ((y - 44) / 42) ** 2 + ((z + 112) / 48) ** 2) - 1
    stomach = np.sqrt(((x - 62) / 44) ** 2 + ((y + 22) / 48) ** 2 + ((z + 112) / 46) ** 2) - 1
    return (
        liver,
        smooth_max(below, np.asarray(spleen * 32, dtype=np.float32), 4),
        smooth_max(below, np.asarray(stomach * 40, dtype=np.float32), 4),
    )
