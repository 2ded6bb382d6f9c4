"""Temperature: what is too sure is cooled, and the head absorbs it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import expit

from lung_nodules.networks.record import LinearHead
from lung_nodules.stages.classification import apply_head
from lung_nodules.training.temperature import LOG_BOUNDS, fit_temperature, tempered

TRUE_LOGITS = np.linspace(-4, 4, 401)
COLDEST, HOTTEST = np.exp(LOG_BOUNDS)


@pytest.mark.parametrize("factor", [0.3, 1.0, 3.0])
def test_logits_that_are_too_large_by_a_factor_are_divided_by_it(factor: float) -> None:
    assert fit_temperature(TRUE_LOGITS * factor, expit(TRUE_LOGITS)) == pytest.approx(factor, rel=1e-2)


def test_rows_of_no_weight_do_not_count() -> None:
    logits, labels = (
        np.concatenate([TRUE_LOGITS, TRUE_LOGITS]),
        np.concatenate([expit(TRUE_LOGITS), 1 - expit(TRUE_LOGITS)]),
    )
    weights = np.repeat([1.0, 0.0], len(TRUE_LOGITS))
    assert fit_temperature(logits, labels, weights) == pytest.approx(1, rel=1e-2)


def test_the_temperature_stays_in_its_bounds() -> None:
    assert fit_temperature([-3, 3], [0, 1]) == pytest.approx(COLDEST, rel=1e-3)  # always right
    assert fit_temperature([-3, 3], [1, 0]) == pytest.approx(HOTTEST, rel=1e-3)  # always wrong


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(float, 12, elements=st.floats(-6, 6)), st.lists(st.booleans(), min_size=12, max_size=12))
def test_no_other_temperature_has_a_lower_cross_entropy(logits: np.ndarray, labels: list[bool]) -> None:
    def cross_entropy(temperature: float) -> float:
        scaled = logits / temperature
        return float(np.mean(np.logaddexp(0, scaled) - scaled * np.array(labels)))

    others = np.geomspace(COLDEST, HOTTEST, 30)
    assert cross_entropy(fit_temperature(logits, labels)) <= min(map(cross_entropy, others)) + 1e-4


@given(st.floats(0.1, 10), st.floats(-5, 5), st.floats(-5, 5))
def test_the_head_gives_its_logit_divided(temperature: float, value: float, intercept: float) -> None:
    head = LinearHead(inputs=("x",), mean=(1.0,), scale=(2.0,), weights=(3.0,), intercept=intercept)
    logit = intercept + 3 * (value - 1) / 2
    assert apply_head(tempered(head, temperature), {"x": value}) == pytest.approx(expit(logit / temperature))
