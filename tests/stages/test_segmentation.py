"""Outlines of an outliner that answers to brightness, where every ball's rim is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from drawn_balls import (
    AXIAL,
    PRONE_FEET_FIRST,
    Ball,
    Brightness,
    Point,
    ball_mask,
    candidate_at,
    draw_balls,
    everywhere,
    lungs_in,
)
from scipy import ndimage

from lung_nodules.networks.runtime import Batch
from lung_nodules.phantom import NoduleKind, NoduleSpec, NoduleTruth, PhantomSettings, build_chest
from lung_nodules.progress import SilentProgress
from lung_nodules.settings import SegmentationSettings, Settings
from lung_nodules.stages.detection import Candidate, Candidates
from lung_nodules.stages.lungs import Lungs, segment_lungs
from lung_nodules.stages.segmentation import Outlines, segment_candidates
from lung_nodules.stages.volume import Geometry, Volume

SMALL = PhantomSettings(seed=3, num_slices=96, slice_spacing_mm=3, rows=128, columns=128, pixel_spacing_mm=2.8)
CENTER: Point = (30.0, 34.0, 32.0)


def outline(
    volume: Volume,
    candidates: list[Candidate],
    outliner: Brightness | None = None,
    lungs: Lungs | None = None,
    num_not_examined: int = 0,
    **limits: Any,
) -> Outlines:
    """With all of the volume for lung where none is given."""
    return segment_candidates(
        volume,
        lungs or lungs_in(everywhere(volume), volume),
        Candidates(tuple(candidates), num_not_examined),
        outliner or Brightness("segmentation", 48),
        Settings(segmentation=SegmentationSettings(**limits)),
        SilentProgress(),
    )


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.parametrize("direction", [AXIAL, PRONE_FEET_FIRST], ids=["axial", "prone-feet-first"])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (0.7, 0.6, 0.8)])
@pytest.mark.parametrize("radius_mm", [4.0, 9.0])
def test_the_outline_is_the_ball_to_a_voxel(radius_mm: float, spacing_mm: Point, direction: tuple[Point, ...]) -> None:
    shape = tuple(int(68 / step) for step in spacing_mm)
    ball = (CENTER, radius_mm)
    volume = draw_balls([ball], shape, spacing_mm, direction)
    outlines = outline(volume, [candidate_at((31.0, 33.0, 32.5), volume)])
    drawn, expected = outlines.label_map == 1, ball_mask(ball, volume)
    assert outlines.label_map.dtype == np.uint16
    assert outlines.label_map.shape == volume.array.shape
    assert dice(drawn, expected) > 0.9
    around = ndimage.generate_binary_structure(3, 3)
    assert not (drawn & ~ndimage.binary_dilation(expected, around)).any()
    assert not (ndimage.binary_erosion(expected, around) & ~drawn).any()


def test_a_mass_that_leaves_its_cube_is_outlined_whole() -> None:
    ball: Ball = ((45.0, 48.0, 44.0), 20.0)
    volume = draw_balls([ball], (90, 96, 88))
    outliner = Brightness("segmentation", 48)
    outlines = outline(volume, [candidate_at((36.0, 55.0, 52.0), volume)], outliner)
    assert dice(outlines.label_map == 1, ball_mask(ball, volume)) > 0.97
    assert outliner.shapes[0][2:] == (48, 48, 48)
    assert outliner.shapes[-1][2:] == (72, 72, 72)


def test_no_cube_is_larger_than_the_largest() -> None:
    volume = draw_balls([((45.0, 48.0, 44.0), 30.0)], (90, 96, 88))
    outliner = Brightness("segmentation", 48)
    outlines = outline(volume, [candidate_at((45.0, 48.0, 44.0), volume)], outliner, largest_cube_mm=56)
    assert {shape[2] for shape in outliner.shapes} == {48}
    assert outlines.label_map.any()


def test_a_nodule_at_the_border_of_the_scan_is_outlined() -> None:
    ball: Ball = ((1.0, 2.0, 30.0), 7.0)
    volume = draw_balls([ball], (40, 40, 60))
    outlines = outline(volume, [candidate_at((1.0, 2.0, 30.0), volume)])
    assert dice(outlines.label_map == 1, ball_mask(ball, volume)) > 0.9


class TestSeveral:
    def test_label_k_is_candidate_k_by_falling_score(self) -> None:
        balls: list[Ball] = [((15.0, 15.0, 15.0), 4.0), ((40.0, 40.0, 15.0), 5.0), ((20.0, 45.0, 45.0), 6.0)]
        volume = draw_balls(balls, (60, 60, 60))
        given = [candidate_at(center, volume, score) for (center, _), score in zip(balls, (0.5, 0.9, 0.7), strict=True)]
        outlines = outline(volume, sorted(given, key=lambda candidate: -candidate.score))
        assert [candidate.score for candidate in outlines.candidates] == [0.9, 0.7, 0.5]
        assert set(np.unique(outlines.label_map)) == {0, 1, 2, 3}
        for label, number in ((1, 1), (2, 2), (3, 0)):
            assert outlines.candidates[label - 1] == given[number]
            assert dice(outlines.label_map == label, ball_mask(balls[number], volume)) > 0.9
        assert (outlines.num_without_outline, outlines.num_merged) == (0, 0)

    def test_touching_balls_stay_two(self) -> None:
        balls: list[Ball] = [((30.0, 30.0, 24.0), 6.0), ((30.0, 30.0, 35.0), 5.5)]
        volume = draw_balls(balls, (60, 60, 60))
        outlines = outline(volume, [candidate_at(center, volume, 0.9 - i / 10) for i, (center, _) in enumerate(balls)])
        assert len(outlines.candidates) == 2
        for label, ball in enumerate(balls, start=1):
            assert dice(outlines.label_map == label, ball_mask(ball, volume)) > 0.9

    def test_several_candidates_of_one_nodule_are_one(self) -> None:
        ball: Ball = (CENTER, 9.0)
        volume = draw_balls([ball], (60, 68, 64))
        places = [CENTER, (34.0, 34.0, 32.0), (30.0, 30.0, 29.0), (30.0, 34.0, 43.0)]  # the last beside it
        given = [candidate_at(place, volume, 0.9 - number / 10) for number, place in enumerate(places)]
        outlines = outline(volume, given)
        assert outlines.candidates == (given[0],)
        assert (outlines.num_without_outline, outlines.num_merged) == (0, 3)
        assert dice(outlines.label_map == 1, ball_mask(ball, volume)) > 0.95

    def test_a_candidate_with_nothing_near_it_is_counted(self) -> None:
        volume = draw_balls([((15.0, 15.0, 15.0), 5.0)], (60, 60, 60))
        found = candidate_at((15.0, 15.0, 15.0), volume, 0.5)
        near = candidate_at((15.0, 15.0, 28.0), volume, 0.8)  # 8 mm from the rim
        empty = candidate_at((45.0, 45.0, 45.0), volume, 0.9)
        outlines = outline(volume, [empty, near, found])
        assert outlines.candidates == (found,)
        assert (outlines.num_without_outline, outlines.num_merged) == (2, 0)
        assert outline(volume, [near], search_radius_mm=9).num_without_outline == 0

    def test_an_outline_that_lies_outside_the_lungs_is_dropped_and_counted(self) -> None:
        balls: list[Ball] = [((20.0, 20.0, 20.0), 8.0), ((20.0, 20.0, 50.0), 8.0)]
        volume = draw_balls(balls, (40, 40, 70))
        given = [candidate_at(center, volume, score) for (center, _), score in zip(balls, (0.9, 0.8), strict=True)]
        lung = lungs_in((slice(0, 40), slice(0, 40), slice(0, 50)), volume)  # nearly half of the second
        assert outline(volume, given, lungs=lung, min_lung_share=0.4).candidates == tuple(given)
        outlines = outline(volume, given, lungs=lung, min_lung_share=0.6)
        assert outlines.candidates == (given[0],)
        assert (outlines.num_outside_lungs, outlines.num_merged, outlines.num_without_outline) == (1, 0, 0)
        assert dice(outlines.label_map == 1, ball_mask(balls[0], volume)) > 0.9
        assert not outlines.label_map[ball_mask(balls[1], volume)].any()

    def test_how_many_were_not_examined_is_handed_on(self) -> None:
        volume = draw_balls([(CENTER, 5.0)], (60, 68, 64))
        assert outline(volume, [candidate_at(CENTER, volume)], num_not_examined=7).num_not_examined == 7

    def test_no_candidates_are_no_outlines(self) -> None:
        volume = draw_balls([], (20, 20, 20))
        assert outline(volume, []).candidates == ()
        outlines = outline(volume, [candidate_at((10.0, 10.0, 10.0), volume)])
        assert (outlines.candidates, outlines.num_without_outline) == ((), 1)
        assert not outlines.label_map.any()


class NearTheMiddle(Brightness):
    """An outliner that draws a ball around the middle of its cube, surer of the middle than of the rim."""

    radius_mm = 8.0

    def __call__(self, batch: Batch) -> Batch:
        self.shapes.append(batch.shape)
        side = batch.shape[-1]
        offsets = np.indices(batch.shape[2:]) - (side - 1) / 2
        return np.broadcast_to(self.radius_mm - np.sqrt((offsets**2).sum(axis=0)), batch.shape).astype(np.float32)


class TestThePleura:
    """Outlines on the chest wall and below the diaphragm, in lungs as the line itself finds them."""

    @pytest.mark.parametrize(("diameter_mm", "seed"), [(10.0, 3), (24.0, 4), (40.0, 5)])
    def test_a_nodule_on_the_pleura_stays_with_the_wall_that_its_outline_takes_along(
        self, diameter_mm: float, seed: int
    ) -> None:
        spec = NoduleSpec(kind=NoduleKind.JUXTAPLEURAL, diameter_mm=diameter_mm)
        volume, (truth,) = scanned(SMALL.model_copy(update={"seed": seed, "nodules": (spec,)}))
        outlines = self.draw_ball(volume, truth.center_lps, diameter_mm / 2)
        assert (len(outlines.candidates), outlines.num_outside_lungs) == (1, 0)

    def test_the_dome_of_the_liver_goes(self) -> None:
        volume, _ = scanned(SMALL.model_copy(update={"nodules": ()}))
        label_map = segment_lungs(volume, Settings()).label_map
        slices, rows, columns = np.nonzero(label_map[:, :, : volume.array.shape[2] // 2])
        lowest = int(slices.min()) + 3
        middle = np.median(rows), np.median(columns)
        below = np.argwhere(volume.array[lowest] > 0)  # tissue under the right lung
        row, column = below[np.linalg.norm(below - middle, axis=1).argmin()]
        center = volume.geometry.to_world((lowest, row, column))
        outlines = self.draw_ball(volume, center, 12.0)
        assert (len(outlines.candidates), outlines.num_outside_lungs) == (0, 1)

    def draw_ball(self, volume: Volume, center_lps: npt.ArrayLike, radius_mm: float) -> Outlines:
        first, second, third = volume.geometry.to_index(np.asarray(center_lps)).tolist()
        candidate = Candidate((first, second, third), (0.0, 0.0, 0.0), 0.9, 100.0, (6.0, 6.0, 6.0))
        outliner = NearTheMiddle("segmentation", 48)
        outliner.radius_mm = radius_mm
        return outline(volume, [candidate], outliner, segment_lungs(volume, Settings()))


def scanned(settings: PhantomSettings) -> tuple[Volume, tuple[NoduleTruth, ...]]:
    """A phantom as `build_volume` would give it, and its nodules."""
    chest = build_chest(settings)
    geometry = Geometry(chest.grid.origin_lps, chest.grid.spacing_mm, AXIAL, chest.array.shape)
    return Volume(chest.array, geometry), chest.nodules


def test_a_voxel_that_two_outlines_claim_goes_to_the_surer_one() -> None:
    volume = draw_balls([], (60, 60, 60))
    first, second = candidate_at((30.0, 30.0, 24.0), volume, 0.9), candidate_at((30.0, 30.0, 36.0), volume, 0.8)
    outlines = outline(volume, [first, second], NearTheMiddle("segmentation", 48))
    assert outlines.candidates == (first, second)
    columns = [np.argwhere(outlines.label_map == label)[:, 2] for label in (1, 2)]
    assert columns[0].min() == 16 or columns[0].min() == 17
    assert columns[0].max() <= 30 <= columns[1].min() + 1
    assert abs(len(columns[0]) - len(columns[1])) < 0.15 * len(columns[0])


class OneSided(Brightness):
    """An outliner that is wrong on one side: it also marks the first third of its cube's columns."""

    def __call__(self, batch: Batch) -> Batch:
        logits = super().__call__(batch)
        logits[..., : batch.shape[-1] // 3] = np.maximum(logits[..., : batch.shape[-1] // 3], 1.0)
        return logits


def test_mirrored_readings_are_averaged() -> None:
    volume = draw_balls([(CENTER, 7.0)], (60, 68, 64))
    outliner = OneSided("segmentation", 48)
    outlines = outline(volume, [candidate_at(CENTER, volume)], outliner)
    assert len(outliner.shapes) == 1 + 8
    assert dice(outlines.label_map == 1, ball_mask((CENTER, 7.0), volume)) > 0.9


def test_an_outliner_that_is_sure_of_itself_raises_no_warning() -> None:
    volume = draw_balls([(CENTER, 7.0)], (60, 68, 64))
    outlines = outline(volume, [candidate_at(CENTER, volume)], Brightness("segmentation", 48, steepness=2000.0))
    assert dice(outlines.label_map == 1, ball_mask((CENTER, 7.0), volume)) > 0.9
