"""The coarse grid of the lungs and the way back; the balls that close them."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import numpy.typing as npt
import pytest
from drawn_chest import reorient
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from lung_nodules.stages.lung_grid import gather_blocks
from lung_nodules.stages.morphology import bounding_box, close, fill_holes
from lung_nodules.stages.volume import Geometry, Volume

ORDERS = list(permutations(range(3)))
FLIPS = list(product((False, True), repeat=3))


def volume_of(array: npt.NDArray[np.int16], spacing_mm: tuple[float, float, float]) -> Volume:
    direction = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    return Volume(array, Geometry((3.0, -7.0, 11.0), spacing_mm, direction, array.shape))


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3),
    spacing_mm=st.tuples(*[st.sampled_from([0.6, 0.8, 1.25, 3.0])] * 3),
    order=st.sampled_from(ORDERS),
    flips=st.sampled_from(FLIPS),
)
def test_every_voxel_comes_back_from_its_own_block(
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    order: tuple[int, int, int],
    flips: tuple[bool, bool, bool],
) -> None:
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    volume = reorient(volume_of(values, spacing_mm), order, flips)
    blocks, grid = gather_blocks(volume, 2.0)
    numbers = np.arange(1, blocks.size + 1, dtype=np.uint8 if blocks.size < 255 else np.uint16).reshape(blocks.shape)
    restored = grid.restore(numbers)
    means = ndimage.mean(volume.array.astype(float), restored, numbers)
    assert restored.shape == volume.array.shape
    np.testing.assert_allclose(means, blocks, rtol=1e-5, atol=1e-3)


@given(order=st.sampled_from(ORDERS), flips=st.sampled_from(FLIPS))
def test_blocks_rise_upwards_to_the_back_and_to_the_left(
    order: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> None:
    values = np.zeros((4, 5, 6), np.int16)
    values[3] += 100
    values[:, 4] += 10
    values[:, :, 5] += 1
    blocks, grid = gather_blocks(reorient(volume_of(values, (2.0, 2.1, 2.2)), order, flips), 2.0)
    assert grid.spacing_mm == (2.0, 2.1, 2.2)
    assert np.array_equal(blocks, values)


@given(order=st.sampled_from(ORDERS), flips=st.sampled_from(FLIPS), data=st.data())
def test_a_box_of_blocks_is_the_box_of_its_voxels(
    order: tuple[int, int, int], flips: tuple[bool, bool, bool], data: st.DataObject
) -> None:
    volume = reorient(volume_of(np.zeros((7, 8, 9), np.int16), (0.9, 0.7, 2.0)), order, flips)
    blocks, grid = gather_blocks(volume, 2.0)
    mask = np.zeros(blocks.shape, np.uint8)
    for _ in range(2):
        mask[tuple(data.draw(st.integers(0, length - 1)) for length in blocks.shape)] = 1
    assert grid.restore_box(bounding_box(mask > 0)) == bounding_box(grid.restore(mask) > 0)


@given(seed=st.integers(0, 1000), radius_mm=st.sampled_from([1.0, 2.5, 4.0]))
def test_closing_is_that_of_a_ball(seed: int, radius_mm: float) -> None:
    mask = np.random.default_rng(seed).random((6, 7, 8)) < 0.1
    spacing_mm = (1.5, 1.0, 0.8)
    reach = [int(radius_mm / mm) for mm in spacing_mm]
    offsets = np.meshgrid(*[np.arange(-n, n + 1) * mm for n, mm in zip(reach, spacing_mm, strict=True)], indexing="ij")
    ball = np.sqrt(sum(offset**2 for offset in offsets)) <= radius_mm
    expected = ndimage.binary_closing(np.pad(mask, 10), ball)[10:-10, 10:-10, 10:-10]
    _, closed = close(mask, (6.0, radius_mm), spacing_mm)
    assert np.array_equal(closed, expected)


def test_only_closed_cavities_are_filled() -> None:
    mask = np.ones((5, 5, 5), bool)
    mask[2, 2, 2] = False
    mask[2, 4, 2] = False
    filled = fill_holes(mask)
    assert filled[2, 2, 2]
    assert not filled[2, 4, 2]


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(ValueError, match="empty mask"):
        bounding_box(np.zeros((2, 2, 2), bool))
