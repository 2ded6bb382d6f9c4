"""Simulated kernels and slices: what they keep, what they change, and that a running number still decides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lung_nodules.training.cubes import Cube, CubeSettings, augment
from lung_nodules.training.scanner_effects import change_kernel, thicken_slices

NOISE = np.random.default_rng(0).normal(-800, 40, (24, 16, 16)).astype(np.float32)


def test_blur_lowers_noise_and_sharpening_raises_it() -> None:
    soft, same, sharp = (change_kernel(NOISE, sharpness, 0.8) for sharpness in (-1, 0, 1))
    assert same == pytest.approx(NOISE)
    assert soft.std() < 0.6 * NOISE.std()
    assert sharp.std() > 1.4 * NOISE.std()
    assert soft.mean() == pytest.approx(sharp.mean(), abs=1)
    step = np.where(np.arange(16) < 8, -800.0, 40.0).astype(np.float32) * np.ones((4, 16, 1), np.float32)
    assert change_kernel(step, 1.0, 0.8).max() > 40  # the rim that a hard kernel draws


def test_slices_of_two_are_means_of_two() -> None:
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None] ** 2, (8, 2, 2))
    thick = thicken_slices(ramp, 2.0, 0.0)[:, 0, 0]
    assert thick[2] == pytest.approx((1 * 0.5 + 4 + 9 * 0.5) / 2)  # a slice around 2 takes half of 1 and of 3
    assert thick[3] == pytest.approx((thick[2] + thick[4]) / 2)


@given(thickness=st.floats(1.0, 6.0), part=st.floats(0.0, 0.999))
def test_a_ramp_stays_a_ramp_and_a_constant_constant(thickness: float, part: float) -> None:
    """But for the steps that voxels are: an average between voxel borders is off by an eighth of a step at most."""
    ramp = np.broadcast_to(np.arange(24, dtype=np.float32)[:, None, None], (24, 2, 2))
    thick = thicken_slices(ramp, thickness, part * thickness)
    assert thick.shape == ramp.shape
    assert thick[8:16] == pytest.approx(ramp[8:16], abs=0.126)
    assert thicken_slices(np.full((24, 2, 2), -800, np.float32), thickness, part * thickness) == pytest.approx(
        -800, abs=0.01
    )


def test_thick_slices_have_less_noise() -> None:
    assert thicken_slices(NOISE, 4.0, 1.0).std() < 0.6 * NOISE.std()


def test_what_is_off_draws_no_number_and_what_is_on_follows_from_the_seed() -> None:
    cube = Cube(NOISE[:16], np.zeros((16, 16, 16), np.float32), np.ones((16, 16, 16), np.float32))
    off, on = CubeSettings(voxels=16), CubeSettings(voxels=16, kernel_share=1.0, thickness_share=1.0)
    first, again = (augment(cube, on, np.random.default_rng(3)).hu for _ in range(2))
    plain, still = np.random.default_rng(3), np.random.default_rng(3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, augment(cube, off, plain).hu)
    augment(cube, off.model_copy(update={"kernel_sigma_mm": 2.0}), still)
    assert plain.integers(1 << 30) == still.integers(1 << 30)
