"""Touching balls are two, one ball is one, and nothing of the outline is lost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lung_nodules.stages.necks import Mask, split_at_necks

NECK_RATIO = 0.7


def balls(
    centers_mm: list[tuple[float, float, float]], radius_mm: float, spacing_mm: tuple[float, float, float]
) -> tuple[Mask, list[npt.NDArray[np.float64]]]:
    """The union of balls in a grid of 60 mm, and the indices of their centres."""
    shape = [int(60 / step) for step in spacing_mm]
    places_mm = np.moveaxis(np.indices(shape), 0, -1) * spacing_mm
    mask = np.zeros(shape, bool)
    for center in centers_mm:
        mask |= np.linalg.norm(places_mm - center, axis=-1) < radius_mm
    return mask, [np.array(center) / spacing_mm for center in centers_mm]


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (2.0, 0.8, 0.8)])
@pytest.mark.parametrize(("distance_mm", "count"), [(19.5, 2), (17.0, 2), (8.0, 1), (4.0, 1)])
def test_two_balls_stay_apart_until_their_neck_is_wide(
    spacing_mm: tuple[float, float, float], distance_mm: float, count: int
) -> None:
    centers = [(30.0, 30.0, 30.0 - distance_mm / 2), (30.0, 30.0, 30.0 + distance_mm / 2)]
    mask, seeds = balls(centers, 10.0, spacing_mm)
    parts = split_at_necks(mask, seeds, spacing_mm, NECK_RATIO)
    assert [number for number, _ in parts] == list(range(count))
    if count == 2:
        columns = np.indices(mask.shape)[2] * spacing_mm[2]
        expected = mask & (columns < 30)
        first = parts[0][1]
        assert 2 * (first & expected).sum() / (first.sum() + expected.sum()) > 0.97


@pytest.mark.parametrize(("ratio", "count"), [(0.2, 1), (0.9, 2)])
def test_the_ratio_says_how_wide_a_neck_may_be(ratio: float, count: int) -> None:
    mask, seeds = balls([(30, 30, 22), (30, 30, 38)], 10.0, (1.0, 1.0, 1.0))  # its radius is 6 mm
    assert len(split_at_necks(mask, seeds, (1.0, 1.0, 1.0), ratio)) == count


def test_many_seeds_in_one_ball_are_one_nodule_of_the_first() -> None:
    mask, _ = balls([(30, 30, 30)], 12.0, (1.0, 1.0, 1.0))
    seeds = [np.array([30.0, 30.0, 30.0]) + offset for offset in np.random.default_rng(0).uniform(-6, 6, (12, 3))]
    ((number, part),) = split_at_necks(mask, seeds, (1.0, 1.0, 1.0), NECK_RATIO)
    assert number == 0
    assert np.array_equal(part, mask)


def test_a_chain_of_three_keeps_its_three_seeds() -> None:
    centers = [(30.0, 30.0, 11.0), (30.0, 30.0, 30.0), (30.0, 30.0, 49.0)]
    mask, seeds = balls(centers, 10.0, (1.0, 1.0, 1.0))
    parts = split_at_necks(mask, [seeds[1], seeds[2], seeds[0]], (1.0, 1.0, 1.0), NECK_RATIO)
    middles = [np.argwhere(part).mean(axis=0)[2] for _, part in parts]
    np.testing.assert_allclose(middles, [30, 49, 11], atol=1)


def test_a_small_ball_on_a_large_one_keeps_its_part() -> None:
    large, _ = balls([(30, 30, 24)], 16.0, (1.0, 1.0, 1.0))
    small, _ = balls([(30, 30, 44)], 5.0, (1.0, 1.0, 1.0))
    seeds = [np.array([30.0, 30.0, 24.0]), np.array([30.0, 30.0, 44.0])]
    parts = split_at_necks(large | small, seeds, (1.0, 1.0, 1.0), NECK_RATIO)
    assert len(parts) == 2
    assert 0.8 < parts[1][1].sum() / small.sum() < 1.1


def test_a_seed_beside_the_outline_takes_what_is_nearest() -> None:
    mask, seeds = balls([(30, 30, 20), (30, 30, 39.5)], 10.0, (1.0, 1.0, 1.0))
    parts = split_at_necks(mask, [seeds[0], np.array([30.0, 30.0, 55.0])], (1.0, 1.0, 1.0), NECK_RATIO)
    assert [number for number, _ in parts] == [0, 1]
    assert parts[1][1][30, 30, 39]


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    filled=st.sampled_from([0.15, 0.5, 0.9]),
    seed=st.integers(0, 10_000),
    num_seeds=st.integers(1, 6),
    neck_ratio=st.sampled_from([0.1, 0.7, 1.0]),
)
def test_the_parts_cover_any_mask_and_share_nothing(
    shape: tuple[int, int, int], filled: float, seed: int, num_seeds: int, neck_ratio: float
) -> None:
    random = np.random.default_rng(seed)
    mask = random.random(shape) < filled
    mask[tuple(random.integers(0, shape))] = True
    seeds = list(random.uniform(-1, np.array(shape), (num_seeds, 3)))
    parts = split_at_necks(mask, seeds, (2.0, 1.0, 0.7), neck_ratio)
    numbers = [number for number, _ in parts]
    assert np.array_equal(np.sum([part for _, part in parts], axis=0), mask)
    assert all(part.any() for _, part in parts)
    assert numbers == sorted(set(numbers))
    assert numbers[0] == 0
    assert numbers[-1] < num_seeds
