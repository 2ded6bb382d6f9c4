"""Texture: matrices counted by hand, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lung_nodules.stages.texture import measure_texture

CONTRAST, ENTROPY, MOMENT, CORRELATION = (
    f"texture_{name}" for name in ("contrast", "joint_entropy", "inverse_difference_moment", "correlation")
)


def texture(rows: list[list[float]]) -> dict[str, float]:
    hu = np.array([rows])
    return measure_texture(hu, np.isfinite(hu) & (hu > -5000))


def test_two_pixels_two_bins_apart() -> None:
    measured = texture([[0.0, 100.0]])  # the only pair, counted both ways: (20, 22) and (22, 20)
    assert measured[CONTRAST] == pytest.approx(4)
    assert measured[ENTROPY] == pytest.approx(1)
    assert measured[MOMENT] == pytest.approx(1 / 5)
    assert measured[CORRELATION] == pytest.approx(-1)


def test_a_chequerboard_by_hand() -> None:
    measured = texture([[0.0, 50.0], [50.0, 0.0]])  # 4 pairs beside each other differ by 1, 2 across are alike
    assert measured[CONTRAST] == pytest.approx(4 / 6)
    assert measured[MOMENT] == pytest.approx(4 / 6 / 2 + 2 / 6)
    assert measured[ENTROPY] == pytest.approx(-2 * (1 / 3) * np.log2(1 / 3) - 2 * (1 / 6) * np.log2(1 / 6))


@pytest.mark.parametrize("rows", [[[7.0]], [[7.0, 7.0], [7.0, 7.0]], [[1.0, -9999.0, 900.0]]])
def test_one_density_or_no_neighbours_is_all_alike(rows: list[list[float]]) -> None:
    measured = texture(rows)
    assert (measured[CONTRAST], measured[ENTROPY], measured[MOMENT], measured[CORRELATION]) == (0, 0, 1, 1)


def test_slices_are_not_neighbours() -> None:
    hu = np.array([[[0.0, 0.0]], [[400.0, 400.0]]])
    measured = measure_texture(hu, np.ones(hu.shape, dtype=bool))
    assert measured[CONTRAST] == 0
    assert measured[CORRELATION] == pytest.approx(1)


@given(
    arrays(np.float64, (2, 4, 5), elements=st.floats(-2000, 2000)),
    arrays(np.bool_, (2, 4, 5)).filter(lambda mask: bool(mask.any())),
)
def test_bounds_and_symmetry(hu: np.ndarray, mask: np.ndarray) -> None:  # type: ignore[type-arg]
    measured = measure_texture(hu, mask)
    assert all(np.isfinite(value) for value in measured.values())
    assert 0 <= measured[MOMENT] <= 1 + 1e-9
    assert -1 - 1e-9 <= measured[CORRELATION] <= 1 + 1e-9
    assert measured[CONTRAST] >= 0
    for axes in ((0,), (1,), (2,)):
        mirrored = measure_texture(np.flip(hu, axes), np.flip(mask, axes))
        assert mirrored == pytest.approx(measured)
    elsewhere = np.where(mask, hu, 123.0)
    assert measure_texture(elsewhere, mask) == measured
