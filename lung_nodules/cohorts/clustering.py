"""Which readers' marks mean the same nodule.

LIDC's marks carry each reader's own numbers, so marks must be brought together by place. As in pylidc (Hancock 2016,
10.1117/1.JMI.3.4.044504): marks whose outlines come within one slice spacing of each other belong together, and where
that joins what cannot be one nodule the reach is shortened. Ours differs in two points: the reach is shortened only
where it must be, not for the whole scan, and what still hangs together is parted by the distance of the centres. Marks
cannot be one nodule when two are of one reader or when they are more than there are readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

MAX_READERS = 4
_SHORTENED_BY = 0.9  # as pylidc does
_LEAST_REACH_MM = 0.1
_DECIMALS = 6  # of distances that are compared, mm

Points = npt.NDArray[np.float64]
Group = tuple[int, ...]


def cluster_marks(points_mm: Sequence[Points], readers: Sequence[int | None], reach_mm: float) -> tuple[Group, ...]:
    """Bring marks together.

    Args:
        points_mm: Per mark the points of its outlines [n, 3], mm; at least one.
        readers: Per mark who made it; None where that is not known.
        reach_mm: Marks whose points come as near as this belong together: the slice spacing.

    Returns:
        Indices of the marks of each nodule, ascending; the nodules by their first mark.
    """
    if not points_mm:
        return ()
    distances = _distances(points_mm, reach_mm)
    centers = np.array([points.mean(axis=0) for points in points_mm])
    groups = _part(tuple(range(len(points_mm))), distances, centers, readers, reach_mm)
    return tuple(sorted(groups))


def _part(
    members: Group, distances: Points, centers: Points, readers: Sequence[int | None], reach_mm: float
) -> list[Group]:
    """Connect what is within reach; part again, with a shorter reach, what cannot be one nodule."""
    num_groups, labels = connected_components(distances[np.ix_(members, members)] <= reach_mm, directed=False)
    groups: list[Group] = []
    for label in range(num_groups):
        group = tuple(int(member) for member in np.array(members)[labels == label])
        if _can_be_one(group, readers):
            groups.append(group)
        elif reach_mm * _SHORTENED_BY >= _LEAST_REACH_MM:
            groups += _part(group, distances, centers, readers, reach_mm * _SHORTENED_BY)
        else:
            groups += _join_nearest(group, centers, readers)
    return groups


def _can_be_one(group: Group, readers: Sequence[int | None]) -> bool:
    known = [readers[member] for member in group if readers[member] is not None]
    return len(group) <= MAX_READERS and len(set(known)) == len(known)


def _join_nearest(group: Group, centers: Points, readers: Sequence[int | None]) -> list[Group]:
    """Join pair by pair, the nearest centres first, whatever can be one nodule."""
    group_of: dict[int, Group] = {member: (member,) for member in group}
    for first, second in sorted(combinations(group, 2), key=lambda pair: _nearness(pair, centers)):
        joined = tuple(sorted({*group_of[first], *group_of[second]}))
        if group_of[first] != group_of[second] and _can_be_one(joined, readers):
            group_of.update(dict.fromkeys(joined, joined))
    return list(set(group_of.values()))


def _nearness(pair: tuple[int, int], centers: Points) -> tuple[float, list[list[float]]]:
    """The distance of two centres, mm; of equal ones the place decides, as the order of the marks means nothing."""
    places = sorted(centers[member].tolist() for member in pair)
    return round(float(np.linalg.norm(centers[pair[0]] - centers[pair[1]])), _DECIMALS), places


def _distances(points_mm: Sequence[Points], reach_mm: float) -> Points:
    """The least distance between the points of each two marks, mm; infinite where boxes alone are out of reach."""
    trees = [cKDTree(points) for points in points_mm]
    distances = np.zeros((len(trees), len(trees)))
    for first, second in combinations(range(len(trees)), 2):
        low, high = (
            np.maximum(trees[first].mins, trees[second].mins),
            np.minimum(trees[first].maxes, trees[second].maxes),
        )
        near = bool((low - high <= reach_mm).all())
        least = float(np.min(trees[first].query(points_mm[second])[0])) if near else np.inf
        distances[first, second] = distances[second, first] = least
    return distances
