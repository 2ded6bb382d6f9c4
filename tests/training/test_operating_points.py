"""Operating points, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logit

from lung_nodules.networks.record import LinearHead, OperatingPoint
from lung_nodules.training.operating_points import ScanRate, greater_rate, operating_points, threshold_for

PLAIN = LinearHead(inputs=("logit",), mean=(0.0,), scale=(1.0,), weights=(1.0,), intercept=0.0)
MISTAKES = np.arange(1, 11) / 20  # ten: 0.05, 0.10 ... 0.50
TWENTY = ScanRate(20.0, "two scans")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (4.0, 0.425),  # 4 of 20 are a fifth: two of the ten stay, 0.50 and 0.45; half-way to 0.40
        (2.0, 0.475),
        (1.0, 0.75),  # half a mistake is none: half-way between the highest and 1
        (20.0, 0.0),
        (50.0, 0.0),
    ],
)
def test_the_threshold_leaves_the_wanted_false_positives(wanted: float, expected: float) -> None:
    assert threshold_for(MISTAKES, wanted, TWENTY) == pytest.approx(expected)


def test_a_finder_without_mistakes_needs_no_threshold() -> None:
    assert threshold_for(MISTAKES, 0.5, ScanRate(0.0, "")) == 0
    assert threshold_for(np.array([]), 0.5, TWENTY) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.1, 50), st.floats(0.1, 50))
def test_no_more_than_the_wanted_are_above_the_threshold(values: list[float], wanted: float, per_scan: float) -> None:
    wrong = np.array(values)
    threshold = threshold_for(wrong, wanted, ScanRate(per_scan, ""))
    assert 0 <= threshold <= 1
    assert (wrong > threshold).sum() <= max(wanted / per_scan, 0) * len(wrong) or threshold == 0


def test_every_point_says_what_it_keeps_and_costs() -> None:
    nodules = [{"logit": float(logit(value))} for value in (0.3, 0.44, 0.6, 0.9)]
    mistakes = [{"logit": float(logit(value))} for value in MISTAKES]
    points = {
        name: OperatingPoint.model_validate(one)
        for name, one in operating_points(PLAIN, nodules, mistakes, TWENTY).items()
    }
    assert set(points) == {"sensitive", "balanced", "specific", "fp_0.5", "fp_1", "fp_2", "fp_4"}
    assert points["fp_4"].false_positives_per_scan == 4.0
    assert points["fp_1"].false_positives_per_scan == 0.0
    assert points["sensitive"].false_positives_per_scan == 8.0  # 0.50, 0.45, 0.40 and 0.35 of ten
    assert "keeps 3 of 4 nodules" in points["fp_4"].chosen_on
    assert "2 of the finder's 10 mistakes" in points["fp_4"].chosen_on
    assert "two scans" in points["fp_4"].chosen_on


@pytest.mark.parametrize(
    ("num_counted", "num_scans", "used"),
    [
        (9, 2, ScanRate(4.5, "2 training scans, by finders which did not learn from them")),
        (5, 2, ScanRate(3.5, "two scans")),
        (0, 0, ScanRate(3.5, "two scans")),
    ],
)
def test_the_greater_rate_is_used_and_both_counts_are_logged(
    num_counted: int, num_scans: int, used: ScanRate, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "lung_nodules"):
        assert greater_rate(ScanRate(3.5, "two scans"), num_counted, num_scans) == used
    (said,) = caplog.messages
    assert f"{num_counted} in {num_scans} scans" in said
    assert "3.50 a scan in two scans" in said
    assert said.endswith(f"used: {used.per_scan:.2f} a scan")
