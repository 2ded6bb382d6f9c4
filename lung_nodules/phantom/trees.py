"""Branching trees of bronchi, arteries and veins that fill a lung.

The method is Tawhai, Pullan and Hunter's (Ann Biomed Eng 28:793, 2000): a branch carries the points of the lung that it
supplies, splits them by a plane, and sends a child a part of the way to the centre of each half, until a branch has
one point left. Radii follow Murray's law from the number of endings that a branch feeds. Arteries run beside the
bronchi; veins are a second tree, between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lung_nodules.phantom.anatomy import CARINA, LEFT_HILUM, RIGHT_HILUM, Anatomy, lobe
from lung_nodules.phantom.grid import sample

Points = npt.NDArray[np.float64]  # [n, 3], x, y, z in LPS mm

_SIDES = ((-1, "right_lung", RIGHT_HILUM), (1, "left_lung", LEFT_HILUM))
_NUM_ARTERY_ENDINGS, _NUM_VEIN_ENDINGS = 1300, 1100  # a lung
_TRUNK_RADIUS_MM = {"artery": 5.2, "vein": 4.6, "bronchus": 4.7}
_MURRAY_POWER = 2.75  # of a branch's radius; Murray has 3, casts of pulmonary arteries less
_SHARE_OF_WAY = 0.42  # of the way to the centre of its points that a branch goes
_MAX_ANGLE_COS = 0.35  # of a child to its parent
_LEAST_LUMEN_MM = 1.0  # radius below which a bronchus is not drawn
_LEFT_ATRIUM = np.array(((-30.0, 16.0, -16.0), (30.0, 18.0, -12.0)))


@dataclass(frozen=True)
class Branches:
    """Curved, tapering branches: cubic Hermite curves between two ends."""

    start: Points
    end: Points
    start_tangent: Points  # mm over the whole branch
    end_tangent: Points
    start_radius_mm: npt.NDArray[np.float64]  # [n]
    end_radius_mm: npt.NDArray[np.float64]  # [n]

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, chosen: npt.NDArray[np.bool_]) -> Branches:
        """The branches chosen by a mask."""
        return Branches(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def at(self, branch: npt.NDArray[np.int64], t: npt.NDArray[np.float64]) -> tuple[Points, npt.NDArray[np.float64]]:
        """Position and radius at fraction `t` of each of the branches numbered in `branch`."""
        t2, t3, column = t**2, t**3, np.newaxis
        weights = (2 * t3 - 3 * t2 + 1, 3 * t2 - 2 * t3, t3 - 2 * t2 + t, t3 - t2)
        values = (self.start, self.end, self.start_tangent, self.end_tangent)
        points = sum(weight[:, column] * value[branch] for weight, value in zip(weights, values, strict=True))
        radius = self.start_radius_mm[branch] * (1 - t) + self.end_radius_mm[branch] * t
        return np.asarray(points, dtype=float), np.asarray(radius, dtype=float)

    def lengths_mm(self) -> npt.NDArray[np.float64]:
        """Length of each branch, end to end."""
        return np.asarray(np.linalg.norm(self.end - self.start, axis=1), dtype=float)

    @staticmethod
    def join(parts: list[Branches]) -> Branches:
        """All branches of several sets."""
        return Branches(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in Branches.__dataclass_fields__)
        )


@dataclass(frozen=True)
class Trees:
    """What runs through both lungs."""

    vessels: Branches  # arteries and veins
    airways: Branches  # lumen of trachea and bronchi


@dataclass(frozen=True)
class _Tree:
    """Nodes of one tree, parents before children; node 0 is the root and has no branch of its own."""

    position: Points
    parent: npt.NDArray[np.int64]
    num_endings: npt.NDArray[np.int64]


def grow_trees(anatomy: Anatomy, seed: int) -> Trees:
    """Grow the trees of both lungs."""
    vessels, airways = [], [_trachea()]
    for number, (side, name, hilum) in enumerate(_SIDES):
        rng = np.random.default_rng([seed, 10 + number])
        arteries, veins = (
            _keep_inside(_grow(_supplied_points(rng, anatomy, name, count), root, side, rng), anatomy, name)
            for root, count in ((hilum, _NUM_ARTERY_ENDINGS), (_LEFT_ATRIUM[number], _NUM_VEIN_ENDINGS))
        )
        bronchus_radius = _radii(arteries, _TRUNK_RADIUS_MM["bronchus"])
        artery_radius = _radii(arteries, _TRUNK_RADIUS_MM["artery"])
        bronchi = _branches(arteries, bronchus_radius, arteries.position, rng)
        airways.append(bronchi[bronchi.end_radius_mm > _LEAST_LUMEN_MM])
        beside = arteries.position + _offsets(arteries, bronchus_radius * 1.25 + artery_radius)
        vessels.append(_branches(arteries, artery_radius, beside, rng))
        vessels.append(_branches(veins, _radii(veins, _TRUNK_RADIUS_MM["vein"]), veins.position, rng))
    return Trees(Branches.join(vessels), Branches.join(airways))


def _trachea() -> Branches:
    """Trachea and main bronchi."""
    top, bend = np.array((0.0, 0.0, 175.0)), np.array((1.0, 12.0, 105.0))
    start = np.stack((top, bend, CARINA, CARINA))
    end = np.stack((bend, CARINA, RIGHT_HILUM, LEFT_HILUM))
    tangent = end - start
    out = np.stack((bend - top, CARINA - bend, (-36.0, -4.0, -46.0), (44.0, -2.0, -44.0)))
    radius = np.array((8.6, 8.4, 6.6, 6.2))
    return Branches(start, end, out, tangent, radius, radius * (1, 0.98, 0.9, 0.9))


def _supplied_points(rng: np.random.Generator, anatomy: Anatomy, lung: str, count: int) -> Points:
    """About evenly spread points in a lung, none near its surface."""
    distance = getattr(anatomy, lung)
    inside = np.argwhere(distance < -4)
    low, high = (np.asarray(edge[::-1], dtype=float) for edge in (inside.min(axis=0), inside.max(axis=0)))
    origin, step = np.asarray(anatomy.grid.origin_lps), np.asarray(anatomy.grid.spacing_mm[::-1])
    spacing_mm = (len(inside) * anatomy.grid.voxel_volume_mm3 / count) ** (1 / 3)
    axes = [np.arange(a, b, spacing_mm) for a, b in zip(origin + low * step, origin + high * step, strict=True)]
    lattice = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    lattice += rng.uniform(-0.45, 0.45, lattice.shape) * spacing_mm
    return lattice[sample(distance, anatomy.grid, lattice) < -3.5]


def _grow(points: Points, root: Points, side: int, rng: np.random.Generator) -> _Tree:
    """Let a tree grow from `root` to all of `points`; its first branches go to the lobes."""
    positions, parents, endings = [root], [-1], [len(points)]
    lobes = lobe(points, side)
    start = np.array((side * 0.8, 0.1, 0.0))
    waiting = [(0, start, np.flatnonzero(lobes == number)) for number in (2, 1, 0)]
    while waiting:
        node, direction, own = waiting.pop()
        if not own.size:
            continue
        way = points[own].mean(axis=0) - positions[node]
        length = float(np.linalg.norm(way))
        if length < 1.0:
            continue
        share = 0.85 if own.size == 1 else _SHARE_OF_WAY * rng.uniform(0.8, 1.2)
        heading = _limit_turn(way / length, direction)
        positions.append(positions[node] + heading * length * share)
        parents.append(node)
        endings.append(own.size)
        if own.size > 1:
            waiting.extend((len(positions) - 1, heading, half) for half in _halves(points, own, heading, rng))
    return _Tree(np.asarray(positions), np.asarray(parents), np.asarray(endings))


def _keep_inside(tree: _Tree, anatomy: Anatomy, lung: str) -> _Tree:
    """Push the nodes that came to lie outside the lung, where it is hollow, back into it; the root stays."""
    distance = getattr(anatomy, lung)
    slopes = np.gradient(distance, *anatomy.grid.spacing_mm)[::-1]
    position = tree.position.copy()
    for _ in range(3):
        outside = np.maximum(sample(distance, anatomy.grid, position) + 4, 0)
        outside[tree.parent < 0] = 0
        position -= outside[:, None] * np.stack([sample(slope, anatomy.grid, position) for slope in slopes], axis=1)
    return replace(tree, position=position)


def _limit_turn(heading: Points, parent: Points) -> Points:
    """Bend a heading back until it is not too far from its parent's direction."""
    cosine = float(heading @ parent)
    if cosine >= _MAX_ANGLE_COS:
        return heading
    aside = heading - cosine * parent
    norm = float(np.linalg.norm(aside))
    if norm < 1e-6:
        return parent
    bent: Points = _MAX_ANGLE_COS * parent + np.sqrt(1 - _MAX_ANGLE_COS**2) * aside / norm
    return bent / np.linalg.norm(bent)


def _halves(
    points: Points, own: npt.NDArray[np.int64], heading: Points, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.int64]]:
    """Split points across the direction in which they are widest, seen along the branch."""
    centered = points[own] - points[own].mean(axis=0)
    flat = centered - np.outer(centered @ heading, heading)
    widest = np.linalg.eigh(flat.T @ flat)[1][:, -1]
    place = flat @ widest
    first = place < np.quantile(place, rng.uniform(0.38, 0.62))
    if first.all() or not first.any():
        first = np.arange(own.size) < own.size // 2
    yield own[first]
    yield own[~first]


def _radii(tree: _Tree, trunk_mm: float) -> npt.NDArray[np.float64]:
    radii: npt.NDArray[np.float64] = trunk_mm * (tree.num_endings / tree.num_endings[0]) ** (1 / _MURRAY_POWER)
    return radii


def _offsets(tree: _Tree, distance_mm: npt.NDArray[np.float64]) -> Points:
    """Where an artery lies beside its bronchus at each node: towards the outside and above, across the branch."""
    along = tree.position - tree.position[np.maximum(tree.parent, 0)]
    along[0] = (np.sign(tree.position[0, 0]), 0, 0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    away = np.array((np.sign(tree.position[0, 0]) * 0.5, -0.4, 0.75))
    across = away - (along @ away)[:, None] * along
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 0.2)
    offsets: Points = across * distance_mm[:, None]
    return offsets


def _branches(tree: _Tree, radius: npt.NDArray[np.float64], position: Points, rng: np.random.Generator) -> Branches:
    """One curved branch from every node's parent to the node, smooth where they meet."""
    child, parent = np.arange(1, len(tree.position)), tree.parent[1:]
    way = position[child] - position[parent]
    length = np.linalg.norm(way, axis=1, keepdims=True)
    headings = np.zeros_like(position)
    headings[child] = way / np.maximum(length, 1e-6)
    headings[0] = headings[1:4].mean(axis=0)
    leaving = headings[parent] * 0.65 + headings[child] * 0.55
    arriving = headings[child] + rng.normal(0, 0.22, way.shape)
    start_radius = np.minimum(radius[child] * 1.06, radius[parent])
    taper = np.where(tree.num_endings[child] == 1, 0.6, 0.97)
    return Branches(
        position[parent], position[child], leaving * length, arriving * length, start_radius, radius[child] * taper
    )
