"""Figures with intervals: a better ruler is shown to be better, and the same ruler is not."""

from __future__ import annotations

import numpy as np
import pytest

from lung_nodules.networks.record import Score
from lung_nodules.training.scores import auc_gain_score, auc_score, mean_score

RNG = np.random.default_rng(0)
PATIENTS = [f"P{number // 2}" for number in range(200)]
POSITIVE = [bool(value) for value in RNG.random(200) < 0.4]
GOOD = [positive + RNG.normal(0, 0.4) for positive in POSITIVE]
POOR = [positive + RNG.normal(0, 2.0) for positive in POSITIVE]


def test_gain_is_the_difference_of_the_two_areas() -> None:
    good, poor = (auc_score("auc", "c", PATIENTS, POSITIVE, values) for values in (GOOD, POOR))
    gain = auc_gain_score("gain", "c", PATIENTS, POSITIVE, GOOD, POOR)
    assert gain.value == pytest.approx(good.value - poor.value, abs=2e-4)
    assert (gain.low or 0) > 0
    assert gain.n == 200


def test_a_ruler_gains_nothing_over_itself() -> None:
    gain = auc_gain_score("gain", "c", PATIENTS, POSITIVE, GOOD, [2 * value + 1 for value in GOOD])
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_interval_is_by_patient_not_by_row() -> None:
    values = [float(number // 50 % 2) for number in range(200)]  # four patients with fifty equal rows each
    wide = mean_score("mean", "c", [f"P{number // 50}" for number in range(200)], values)
    narrow = mean_score("mean", "c", [f"P{number}" for number in range(200)], values)
    assert width(wide) > 3 * width(narrow) > 0


def width(score: Score) -> float:
    """Of the interval."""
    return (score.high or 0.0) - (score.low or 0.0)
