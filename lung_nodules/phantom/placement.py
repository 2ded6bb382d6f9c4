"""Free places in the lungs for nodules of each kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from lung_nodules.errors import UsageRefusal
from lung_nodules.phantom.anatomy import Anatomy
from lung_nodules.phantom.grid import Grid, sample
from lung_nodules.phantom.settings import NoduleKind, NoduleSpec
from lung_nodules.phantom.trees import Points, Trees
from lung_nodules.phantom.tubes import sample_axis

Center = tuple[float, float, float]  # LPS mm

_NUM_TRIES = 6000
_GAP_MM = 4.0  # between nodules, and from a nodule to what it shall not touch
_NOTABLE_RADIUS_MM = 1.0  # of vessels that a nodule keeps away from


@dataclass(frozen=True)
class Neighbourhood:
    """Points along the axes of vessels and airways that a nodule keeps away from, or sits on."""

    points: Points
    radius_mm: npt.NDArray[np.float64]  # [n]
    way: Points  # from the start to the end of the branch at each point
    is_vessel: npt.NDArray[np.bool_]  # [n]; the others are airways

    @classmethod
    def of(cls, trees: Trees) -> Neighbourhood:
        """The notable vessels and all airways of both lungs."""
        parts = [sample_axis(branches, 1.5) for branches in (trees.vessels, trees.airways)]
        points, radius = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        ways = [(b.end - b.start)[p[2]] for b, p in zip((trees.vessels, trees.airways), parts, strict=True)]
        is_vessel = np.arange(len(points)) < len(parts[0][0])
        notable = (radius > _NOTABLE_RADIUS_MM) | ~is_vessel
        return cls(points[notable], radius[notable], np.concatenate(ways)[notable], is_vessel[notable])


def lung_at(anatomy: Anatomy, center: Center) -> int:
    """-1 in the right lung, 1 in the left, 0 in neither."""
    point = np.asarray(center)[None]
    if sample(anatomy.right_lung, anatomy.grid, point)[0] < 0:
        return -1
    return 1 if sample(anatomy.left_lung, anatomy.grid, point)[0] < 0 else 0


def find_place(
    spec: NoduleSpec,
    reach_mm: float,
    anatomy: Anatomy,
    grid: Grid,
    neighbours: Neighbourhood,
    taken: list[tuple[Center, float]],
    rng: np.random.Generator,
) -> Center:
    """Find the centre of a free place, in the lung that has fewer nodules where there is one.

    Args:
        spec: The nodule; its kind decides what it touches.
        reach_mm: Radius of the sphere around the nodule.
        anatomy: The lungs.
        grid: The CT; the nodule is kept within its slices.
        neighbours: What the nodule keeps away from.
        taken: Centre and reach of the nodules that have their place.
        rng: The source of randomness.

    Raises:
        UsageRefusal: ``no-room-for-nodules``.
    """
    if spec.kind is NoduleKind.JUXTAVASCULAR:
        points = _beside_vessels(spec, neighbours, rng)
    else:
        points = _in_lungs(anatomy, rng)
    points = points[_within_scan(points, reach_mm, grid)]
    points = points[_at_depth(points, spec, reach_mm, anatomy)]
    for center, other_mm in taken:
        points = points[np.linalg.norm(points - center, axis=1) > reach_mm + other_mm + _GAP_MM]
    if spec.kind is not NoduleKind.JUXTAVASCULAR:
        points = _clearest(points, reach_mm, neighbours)
    if not len(points):
        raise UsageRefusal(
            "no-room-for-nodules",
            f"There is no free place for a {spec.kind.value} nodule of {spec.diameter_mm:.0f} mm in the phantom.",
            "Ask for fewer or smaller nodules, or for more slices.",
        )
    x, y, z = (float(v) for v in _on_emptier_side(points, taken)[0])
    return x, y, z


def _in_lungs(anatomy: Anatomy, rng: np.random.Generator) -> Points:
    lungs = np.argwhere(np.minimum(anatomy.right_lung, anatomy.left_lung) < 0)
    index = rng.choice(lungs, _NUM_TRIES) + rng.uniform(-0.5, 0.5, (_NUM_TRIES, 3))
    points: Points = (index * anatomy.grid.spacing_mm)[:, ::-1] + anatomy.grid.origin_lps
    return points


def _within_scan(points: Points, reach_mm: float, grid: Grid) -> npt.NDArray[np.bool_]:
    limits = [axis[-1] - reach_mm - 2 * step for axis, step in zip(grid.axes_mm, grid.spacing_mm, strict=True)]
    return np.asarray((np.abs(points) < limits[::-1]).all(axis=1))


def _at_depth(points: Points, spec: NoduleSpec, reach_mm: float, anatomy: Anatomy) -> npt.NDArray[np.bool_]:
    """Whether the points lie as deep in a lung as the kind of nodule asks for."""
    lungs = np.minimum(anatomy.right_lung, anatomy.left_lung)
    depth = -sample(lungs, anatomy.grid, points)
    if spec.kind is not NoduleKind.JUXTAPLEURAL:
        return np.asarray(depth > reach_mm + _GAP_MM)
    from_wall = -sample(anatomy.cage, anatomy.grid, points)
    radius = spec.diameter_mm / 2
    return np.asarray((depth > 0.55 * radius) & (depth < 0.8 * radius) & (from_wall < depth + 1.5))


def _clearest(points: Points, reach_mm: float, neighbours: Neighbourhood) -> Points:
    """The points that keep away from all notable vessels and airways; failing that, from the larger ones."""
    for least_mm in (_NOTABLE_RADIUS_MM, 1.5, 2.2, 3.2, 4.5):
        notable = neighbours.radius_mm > least_mm
        if not (len(points) and notable.any()):
            break
        nearest, which = cKDTree(neighbours.points[notable]).query(points)
        clear = nearest > reach_mm + neighbours.radius_mm[notable][which] + 1.0
        if clear.any():
            return points[clear]
    return points[:0]


def _on_emptier_side(points: Points, taken: list[tuple[Center, float]]) -> Points:
    """The points in the lung with fewer nodules; all of them where it has no room or both have as many."""
    more_in_left = sum(1 if center[0] > 0 else -1 for center, _ in taken)
    emptier = points[points[:, 0] * more_in_left < 0]
    return emptier if len(emptier) else points


def _beside_vessels(spec: NoduleSpec, neighbours: Neighbourhood, rng: np.random.Generator) -> Points:
    """Centres from which a nodule just reaches over the axis of a middle-sized vessel."""
    fitting = np.flatnonzero(neighbours.is_vessel & (neighbours.radius_mm > 1.0) & (neighbours.radius_mm < 2.2))
    chosen = rng.permutation(fitting)
    way = neighbours.way[chosen]
    across = np.cross(way, rng.standard_normal(way.shape))
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-6)
    away_mm = 0.42 * spec.diameter_mm + 0.5 * neighbours.radius_mm[chosen]
    centers: Points = neighbours.points[chosen] + across * away_mm[:, None]
    return centers
