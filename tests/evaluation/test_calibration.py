"""Calibration: bins counted by hand, models that are right or wrong on purpose, and scikit-learn's bins as a peer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve

from lung_nodules.evaluation.calibration import (
    brier,
    calibration_line,
    ece,
    perfect_ece,
    reliability,
)
from lung_nodules.evaluation.figures import FigureUndefinedError

MANY = settings(max_examples=50, deadline=None)

RNG = np.random.default_rng(0)
PROBABILITY = RNG.uniform(0.02, 0.98, 20_000)
POSITIVE = RNG.random(20_000) < PROBABILITY
PROBABILITIES = hnp.arrays(float, st.integers(1, 60), elements=st.floats(0, 1, width=16))


def test_ece_by_hand() -> None:
    # Two bins of two rows: 0.15 against 0.5, and 0.85 against 1.
    positive, probability = [False, True, True, True], [0.1, 0.2, 0.8, 0.9]
    diagram = reliability(positive, probability, num_bins=2)
    assert diagram.mean_probability == pytest.approx([0.15, 0.85])
    assert diagram.observed.tolist() == [0.5, 1]
    assert diagram.counts.tolist() == [2, 2]
    assert ece(positive, probability, num_bins=2) == pytest.approx((0.35 + 0.15) / 2)


def test_brier_by_hand() -> None:
    assert brier([True, False], [0.8, 0.4]) == pytest.approx((0.04 + 0.16) / 2)
    assert brier([True], [1.0]) == 0


def test_bins_have_equal_mass() -> None:
    assert np.ptp(reliability(POSITIVE, PROBABILITY).counts) <= 1


def test_rows_of_one_probability_stay_together() -> None:
    diagram = reliability([True, False, False, False] * 10, [0.25] * 40)
    assert (diagram.counts.tolist(), diagram.observed.tolist()) == ([40], [0.25])
    assert ece([True, False, False, False] * 10, [0.25] * 40) == 0


@MANY
@given(PROBABILITIES, st.integers(1, 20), st.randoms(use_true_random=False))
def test_bins_are_those_of_scikit_learn(probability: np.ndarray, num_bins: int, random: object) -> None:
    positive = np.array([random.random() < value for value in probability])  # type: ignore[attr-defined]
    diagram = reliability(positive, probability, num_bins)
    observed, mean = calibration_curve(positive, probability, n_bins=num_bins, strategy="quantile", pos_label=True)
    np.testing.assert_allclose(diagram.observed, observed)
    np.testing.assert_allclose(diagram.mean_probability, mean)
    assert diagram.counts.sum() == len(probability)
    assert 0 <= ece(positive, probability, num_bins) <= 1
    assert 0 <= brier(positive, probability) <= 1


def test_a_model_that_is_right() -> None:
    assert ece(POSITIVE, PROBABILITY) < 0.02
    line = calibration_line(POSITIVE, PROBABILITY)
    assert (line.slope, line.intercept) == (pytest.approx(1, abs=0.05), pytest.approx(0, abs=0.05))


def test_a_model_that_is_too_sure_has_a_slope_below_one() -> None:
    sure = expit(2 * logit(PROBABILITY))
    assert calibration_line(POSITIVE, sure).slope == pytest.approx(0.5, abs=0.03)
    assert ece(POSITIVE, sure) > 0.05


def test_a_model_that_says_too_much_has_an_intercept_below_zero() -> None:
    line = calibration_line(POSITIVE, expit(logit(PROBABILITY) + 1))
    assert (line.slope, line.intercept) == (pytest.approx(1, abs=0.05), pytest.approx(-1, abs=0.05))


def test_even_a_perfect_model_has_an_error_on_few_rows() -> None:
    few, many = perfect_ece(PROBABILITY[:200]), perfect_ece(PROBABILITY[:2000])
    assert few.value > 0.05 > many.value > 0.01
    assert few.low is not None
    assert few.high is not None
    assert few.low < few.value < few.high
    assert few.n == 200
    with pytest.raises(FigureUndefinedError):
        perfect_ece([])


def test_classes_without_overlap_have_no_slope() -> None:
    line = calibration_line([False, True], [0.2, 0.8])
    assert np.isnan(line.slope)
    assert line.intercept == pytest.approx(0)
    assert np.isnan(calibration_line([True, True], [0.2, 0.8]).intercept)


def test_no_rows_give_no_figure() -> None:
    assert np.isnan(ece([], []))
    assert np.isnan(brier([], []))


def test_a_probability_lies_in_bounds() -> None:
    with pytest.raises(ValueError, match="outside 0-1"):
        ece([True], [1.2])
    with pytest.raises(ValueError, match="a row are needed"):
        brier([True], [0.2, 0.3])
