"""Overlap: boxes counted by hand, empty masks, and what holds for any two masks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lung_nodules.evaluation.overlap import Mask, dice, hd95, iou, surface_dice, volume_error

MANY = settings(max_examples=50, deadline=None)

SHAPE = (4, 5, 6)
EMPTY = np.zeros((8, 9, 10), dtype=bool)
SPACING = (2.0, 1.0, 1.0)
MASKS = hnp.arrays(bool, SHAPE, elements=st.booleans())


def box(*ranges: tuple[int, int]) -> Mask:
    """A box from each first to before each second index."""
    mask = EMPTY.copy()
    mask[tuple(slice(*ends) for ends in ranges)] = True
    return mask


SMALL = box((2, 4), (2, 4), (2, 4))  # 8 voxels
SHIFTED = box((2, 4), (2, 4), (3, 5))  # 8 voxels, 4 of them common
LARGE = box((1, 5), (2, 4), (2, 4))  # 16 voxels, all of the small one


def ball(radius_mm: float, spacing_mm: tuple[float, ...], shift_mm: float = 0) -> Mask:
    places = np.indices((15, 31, 31)) * np.reshape(spacing_mm, (3, 1, 1, 1))
    center = np.array([7, 15, 15]) * spacing_mm + [0, shift_mm, 0]
    return np.asarray(((places - center.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= radius_mm**2)


def test_boxes_by_hand() -> None:
    assert dice(SMALL, SHIFTED) == 8 / 16
    assert iou(SMALL, SHIFTED) == 4 / 12
    assert dice(SMALL, LARGE) == 16 / 24
    assert volume_error(LARGE, SMALL) == 1
    assert volume_error(SMALL, LARGE) == -0.5


def test_distance_of_single_voxels_is_in_mm() -> None:
    one, other = box((2, 3), (2, 3), (2, 3)), box((5, 6), (2, 3), (2, 3))
    assert hd95(one, other, (1, 1, 1)) == 3
    assert hd95(one, other, (2.5, 1, 1)) == 7.5


def test_distance_is_the_larger_of_both_directions() -> None:
    # From each voxel of the small mask to the large one 0; back, the far slices lie 2 mm away.
    assert hd95(SMALL, LARGE, SPACING) == hd95(LARGE, SMALL, SPACING) == 2


def test_a_shift_within_the_tolerance_does_not_count() -> None:
    spacing_mm = (1.0, 0.5, 0.5)
    still, moved = ball(5, spacing_mm), ball(5, spacing_mm, 1.0)
    assert surface_dice(still, moved, spacing_mm, 1.5) == 1
    assert surface_dice(still, moved, spacing_mm, 0.4) < 0.6
    assert hd95(still, moved, spacing_mm) == pytest.approx(1, abs=0.25)


def test_surface_dice_weighs_areas_not_voxels() -> None:
    """0.662054 is what DeepMind's surface-distance 0.1 gives for the same balls."""
    spacing_mm = (2.5, 0.7, 0.7)
    assert surface_dice(ball(6, spacing_mm), ball(5, spacing_mm, 1.4), spacing_mm) == pytest.approx(0.662054, abs=1e-5)


def test_empty_masks_have_stated_values() -> None:
    assert [dice(EMPTY, EMPTY), iou(EMPTY, EMPTY), surface_dice(EMPTY, EMPTY, SPACING)] == [1, 1, 1]
    assert [hd95(EMPTY, EMPTY, SPACING), volume_error(EMPTY, EMPTY)] == [0, 0]
    for pair in ((SMALL, EMPTY), (EMPTY, SMALL)):
        assert [dice(*pair), iou(*pair), surface_dice(*pair, SPACING)] == [0, 0, 0]
        assert np.isnan(hd95(*pair, SPACING))
    assert volume_error(EMPTY, SMALL) == -1
    assert np.isnan(volume_error(SMALL, EMPTY))


@pytest.mark.parametrize("measure", [dice, iou, volume_error])
def test_masks_must_fit(measure: Callable[[Mask, Mask], float]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        measure(SMALL, SMALL[1:])
    with pytest.raises(TypeError, match="Boolean"):
        measure(SMALL, SMALL.astype(np.uint8))


@MANY
@given(MASKS, MASKS)
def test_overlap_is_symmetric_and_bounded(a: Mask, b: Mask) -> None:
    assert 0 <= iou(a, b) <= dice(a, b) == dice(b, a) <= 1
    assert dice(a, b) == pytest.approx(2 * iou(a, b) / (1 + iou(a, b)))
    assert dice(a, a) == iou(a, a) == 1


@settings(max_examples=25, deadline=None)
@given(MASKS, MASKS, st.floats(0.1, 3))
def test_surfaces_are_symmetric_and_bounded(a: Mask, b: Mask, tolerance_mm: float) -> None:
    assert surface_dice(a, b, SPACING, tolerance_mm) == pytest.approx(surface_dice(b, a, SPACING, tolerance_mm))
    assert 0 <= surface_dice(a, b, SPACING, tolerance_mm) <= 1 + 1e-6
    assert surface_dice(a, b, SPACING, 20) == float(a.any() == b.any())
    assert np.array_equal(hd95(a, b, SPACING), hd95(b, a, SPACING), equal_nan=True)
    assert not hd95(a, b, SPACING) > np.linalg.norm(np.multiply(SHAPE, SPACING))
    assert (surface_dice(a, a, SPACING, tolerance_mm), hd95(a, a, SPACING)) == (pytest.approx(1), 0)


def test_what_lies_around_does_not_count() -> None:
    """A whole scan and a crop give the same figures."""
    around = [np.pad(mask, 7) for mask in (SMALL, SHIFTED)]
    assert surface_dice(*around, SPACING) == surface_dice(SMALL, SHIFTED, SPACING)
    assert hd95(*around, SPACING) == hd95(SMALL, SHIFTED, SPACING)
