"""Candidates of a finder that answers to brightness, where every ball's place is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
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
    draw_balls,
    everywhere,
    index_of,
    lungs_in,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from real_scans import read_scan

from lung_nodules.networks.runtime import Batch
from lung_nodules.progress import Advance, SilentProgress
from lung_nodules.settings import DetectionSettings, Settings
from lung_nodules.stages.detection import Candidate, Candidates, detect_candidates, find_probability
from lung_nodules.stages.volume import Volume

APART: list[Ball] = [((20.0, 22.0, 25.0), 6.0), ((45.0, 60.0, 30.0), 4.0), ((40.0, 25.0, 62.0), 2.6)]
SIDE = 32


def detect(volume: Volume, box: tuple[slice, slice, slice] | None = None, **limits: Any) -> tuple[Candidate, ...]:
    return search(volume, box, **limits).examined


def search(volume: Volume, box: tuple[slice, slice, slice] | None = None, **limits: Any) -> Candidates:
    lungs = lungs_in(box or everywhere(volume), volume)
    chosen = Settings(detection=DetectionSettings(**limits))
    return detect_candidates(volume, lungs, Brightness("detection", SIDE), chosen, SilentProgress())


def apart_mm(candidate: Candidate, center_mm: Point, volume: Volume) -> npt.NDArray[np.float64]:
    """Along each axis."""
    return np.abs((np.array(candidate.center_ijk) - index_of(center_mm, volume)) * volume.geometry.spacing_mm)


@pytest.mark.parametrize("direction", [AXIAL, PRONE_FEET_FIRST], ids=["axial", "prone-feet-first"])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.5, 0.7, 0.7), (0.6, 0.9, 1.3)])
def test_every_ball_is_found_in_its_place(spacing_mm: Point, direction: tuple[Point, ...]) -> None:
    shape = tuple(int(extent / step) for extent, step in zip((64, 84, 84), spacing_mm, strict=True))
    volume = draw_balls(APART, shape, spacing_mm, direction)
    candidates = detect(volume)
    assert len(candidates) == 3
    for center_mm, radius_mm in APART:
        nearest = min(candidates, key=lambda candidate: float(apart_mm(candidate, center_mm, volume).max()))
        assert (apart_mm(nearest, center_mm, volume) <= 1.0).all()
        np.testing.assert_allclose(nearest.center_lps, volume.geometry.to_world(nearest.center_ijk))
        assert nearest.volume_mm3 == pytest.approx(4 / 3 * np.pi * radius_mm**3, rel=0.5)
        np.testing.assert_allclose(nearest.extent_mm, 2 * radius_mm, atol=2.5)


def test_the_score_falls_with_size_and_orders_the_candidates() -> None:
    candidates = detect(draw_balls(APART, (64, 84, 84)))
    scores = [candidate.score for candidate in candidates]
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose([candidate.extent_mm[0] for candidate in candidates], [12, 8, 5.2], atol=1.1)
    assert scores[0] == pytest.approx(1 / (1 + np.exp(-20 * (1250 / 1400 - 0.5))), abs=0.01)
    assert 0.3 < scores[2] < scores[1] < scores[0] <= 1


def test_only_the_highest_are_examined_and_the_others_counted() -> None:
    volume = draw_balls(APART, (64, 84, 84))
    everything, two = search(volume), search(volume, max_candidates=2)
    assert two.examined == everything.examined[:2]
    assert (everything.num_not_examined, two.num_not_examined) == (0, 1)


def test_touching_balls_are_two_candidates_of_one_component() -> None:
    balls: list[Ball] = [((30.0, 30.0, 26.0), 5.0), ((30.0, 30.0, 36.5), 6.0)]
    volume = draw_balls(balls, (60, 60, 60))
    first, second = sorted(detect(volume), key=lambda candidate: candidate.center_ijk[2])
    assert (apart_mm(first, balls[0][0], volume) <= 1).all()
    assert (apart_mm(second, balls[1][0], volume) <= 1).all()
    both = ball_mask(balls[0], volume) | ball_mask(balls[1], volume)
    assert first.volume_mm3 == second.volume_mm3 == pytest.approx(both.sum(), rel=0.2)


def test_a_large_mass_is_one_candidate_in_its_middle_and_hides_no_small_ball() -> None:
    balls: list[Ball] = [((30.0, 36.0, 40.0), 20.0), ((30.0, 36.0, 70.0), 3.5)]
    volume = draw_balls(balls, (60, 72, 84))
    candidates = detect(volume, max_candidates=2)
    assert len(candidates) == 2
    for candidate, (center_mm, _) in zip(candidates, balls, strict=True):
        assert (apart_mm(candidate, center_mm, volume) <= 1).all()


@pytest.mark.parametrize(("distance_mm", "found"), [(5.0, 1), (20.0, 0)])
def test_only_the_lungs_and_a_margin_are_searched(distance_mm: float, found: int) -> None:
    volume = draw_balls([((30.0, 30.0, 40.0 + distance_mm), 4.0)], (60, 60, 80))
    assert len(detect(volume, (slice(10, 50), slice(10, 50), slice(5, 41)))) == found


@pytest.mark.parametrize("shape", [(20, 20, 20), (12, 90, 40)])
def test_a_scan_smaller_than_a_window_is_read(shape: tuple[int, int, int]) -> None:
    volume = draw_balls([((9.0, 11.0, 8.0), 4.0)], shape)
    (candidate,) = detect(volume)
    assert (apart_mm(candidate, (9.0, 11.0, 8.0), volume) <= 1).all()


def test_a_scan_with_nothing_in_it_has_no_candidate() -> None:
    assert detect(draw_balls([], (30, 30, 30))) == ()


def test_small_components_are_no_candidates() -> None:
    volume = draw_balls([((20.0, 20.0, 20.0), 2.6)], (40, 40, 40))
    assert len(detect(volume)) == 1
    assert detect(volume, min_component_mm3=200) == ()


@pytest.mark.parametrize("steepness", [200.0, 2000.0])
def test_a_finder_that_is_sure_of_itself_raises_no_warning(steepness: float) -> None:
    volume = draw_balls([((20.0, 20.0, 20.0), 5.0)], (40, 40, 40))
    finder = Brightness("detection", SIDE, steepness)
    lungs = lungs_in(everywhere(volume), volume)
    (candidate,) = detect_candidates(volume, lungs, finder, Settings(), SilentProgress()).examined
    assert candidate.score == pytest.approx(1, abs=0.02)


@pytest.mark.real_data
def test_the_bright_things_of_a_real_scan_hold_its_solid_nodules(shared_data: Path) -> None:
    scan = read_scan(shared_data, "LIDC-IDRI-0003")
    finder = Brightness("detection", 96)
    limits = Settings(detection=DetectionSettings(max_candidates=10_000))
    candidates = detect_candidates(scan.volume, scan.lungs, finder, limits, SilentProgress()).examined
    places = np.array([candidate.center_lps for candidate in candidates])
    for nodule in scan.reference[:3]:
        nearest_mm = np.linalg.norm(places - nodule["centroid_lps_mm"], axis=1).min()
        assert nearest_mm < nodule["longest_axial_diameter_mm"] / 2


class Counting:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done = 0

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        assert name == "detection"
        self.total = total

        def advance(steps: int) -> None:
            self.done += steps

        yield advance


@st.composite
def searches(draw: st.DrawFn) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], float]:
    shape = draw(st.tuples(*[st.integers(1, 40)] * 3))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    searched = random.random(shape) < draw(st.sampled_from([0.0, 0.0005, 1.0]))
    return random.random(shape, dtype=np.float32), searched, draw(st.sampled_from([0.0, 0.25, 0.6]))


class TestWindows:
    @settings(max_examples=25, deadline=None)
    @given(search=searches())
    def test_what_is_searched_is_seen_and_blending_changes_nothing(
        self, search: tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], float]
    ) -> None:
        scaled, searched, overlap = search
        progress = Counting()
        finder = Brightness("detection", 16)
        limits = DetectionSettings(window_overlap=overlap)
        probability = find_probability(scaled, searched, finder, 16, limits, progress)
        expected = 1 / (1 + np.exp(-20 * (scaled.astype(float) - 0.5)))
        seen = probability > 0
        assert probability.shape == scaled.shape
        assert seen[searched].all()
        np.testing.assert_allclose(probability[seen], expected[seen], rtol=1e-4)
        assert progress.total == progress.done == len(finder.shapes)
        assert set(finder.shapes) <= {(1, 1, 16, 16, 16)}
        assert searched.any() or not finder.shapes

    @settings(max_examples=25, deadline=None)
    @given(length=st.integers(1, 200), overlap=st.sampled_from([0.0, 0.25, 0.5]))
    def test_neighbours_overlap_as_much_as_is_wanted(self, length: int, overlap: float) -> None:
        starts: list[float] = []

        def finder(batch: Batch) -> Batch:
            starts.append(float(batch[0, 0, 0, 0, 0]))
            return batch

        scaled = np.arange(length, dtype=np.float32)[:, None, None]
        limits = DetectionSettings(window_overlap=overlap)
        find_probability(scaled, np.ones(scaled.shape, bool), finder, 8, limits, SilentProgress())
        assert starts[0] == 0
        assert starts[-1] == max(length - 8, 0)
        assert all(0 < step <= 8 * (1 - overlap) + 1 for step in np.diff(starts))  # starts are whole voxels
        assert len(starts) <= np.ceil(length / (8 * (1 - overlap))) + 1
