"""Areas, curves and counts: cases worked out by hand, and what no rescaling of the score may change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lung_nodules.evaluation.discrimination import (
    Confusion,
    accuracy,
    auc,
    average_precision,
    confusion,
    f1,
    pr_curve,
    roc_curve,
    sensitivity,
    specificity,
)

MANY = settings(max_examples=50, deadline=None)

#           falling:  yes  no   yes  yes  no
POSITIVE = [True, False, True, True, False]
VALUES = [0.9, 0.8, 0.7, 0.4, 0.1]
ROWS = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=1, max_size=30)


def columns(rows: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([yes for yes, _ in rows]), np.array([value for _, value in rows], dtype=float)


def test_auc_by_hand() -> None:
    assert auc(POSITIVE, VALUES) == pytest.approx(4 / 6)  # of six pairs, 0.7 and 0.4 lose against 0.8
    assert auc([True, False], [0.5, 0.5]) == 0.5


def test_average_precision_by_hand() -> None:
    assert average_precision(POSITIVE, VALUES) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)


def test_counts_at_a_threshold_by_hand() -> None:
    counts = confusion(POSITIVE, VALUES, 0.7)  # a value of exactly the threshold is called positive
    assert counts == Confusion(2, 1, 1, 1)
    assert accuracy(POSITIVE, VALUES, 0.7) == 3 / 5
    assert sensitivity(POSITIVE, VALUES, 0.7) == 2 / 3
    assert specificity(POSITIVE, VALUES, 0.7) == 1 / 2
    assert counts.precision == 2 / 3
    assert f1(POSITIVE, VALUES, 0.7) == 2 / 3


def test_curves_end_where_they_must() -> None:
    roc = roc_curve(POSITIVE, VALUES)
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    precision = pr_curve(POSITIVE, VALUES)
    assert (precision.x[0], precision.y[0]) == (1, 3 / 5)
    assert (precision.x[-1], precision.y[-1]) == (pytest.approx(1 / 3), 1)
    assert len(precision.x) == len(precision.y) == len(precision.thresholds)


def test_one_class_has_no_area() -> None:
    assert np.isnan(auc([True, True], [1, 2]))
    assert np.isnan(auc([False], [1]))
    assert np.isnan(average_precision([False], [1]))
    assert np.isnan(specificity([True], [1], 0))
    with pytest.raises(ValueError, match="both classes"):
        roc_curve([True], [1])
    with pytest.raises(ValueError, match="positive rows"):
        pr_curve([False], [1])


def test_columns_must_fit() -> None:
    with pytest.raises(ValueError, match="one value a row"):
        auc([True, False], [1])


@MANY
@given(ROWS)
def test_area_does_not_hang_on_the_scale(rows: list[tuple[bool, int]]) -> None:
    positive, values = columns(rows)
    assume(positive.any() and not positive.all())
    assert 0 <= auc(positive, values) <= 1
    assert auc(positive, np.exp(values)) == auc(positive, values)
    assert average_precision(positive, np.exp(values)) == average_precision(positive, values)


@MANY
@given(ROWS)
def test_turning_the_score_round_turns_the_area_round(rows: list[tuple[bool, int]]) -> None:
    positive, values = columns(rows)
    assume(positive.any() and not positive.all())
    assert auc(positive, -values) == pytest.approx(1 - auc(positive, values))
    assert auc(~positive, values) == pytest.approx(1 - auc(positive, values))


@MANY
@given(ROWS)
def test_area_is_the_share_of_pairs_in_order(rows: list[tuple[bool, int]]) -> None:
    positive, values = columns(rows)
    assume(positive.any() and not positive.all())
    difference = values[positive][:, None] - values[~positive][None]
    assert auc(positive, values) == pytest.approx(np.mean((difference > 0) + 0.5 * (difference == 0)))


@MANY
@given(ROWS, st.integers(-6, 6))
def test_counts_hold_every_row(rows: list[tuple[bool, int]], threshold: int) -> None:
    positive, values = columns(rows)
    counts = confusion(positive, values, threshold)
    assert counts.num_true_positive + counts.num_false_negative == positive.sum()
    assert counts.num_false_positive + counts.num_true_negative == (~positive).sum()
    ratios = (counts.accuracy, counts.f1, counts.precision, counts.sensitivity, counts.specificity)
    assert all(np.isnan(ratio) or 0 <= ratio <= 1 for ratio in ratios)
