"""Intervals: by group and not by row, seeded, paired where two figures are compared."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lung_nodules.evaluation.bootstrap import bootstrap_figure, mean_figure, on_rows, paired_gain
from lung_nodules.evaluation.figures import Figure, FigureUndefinedError

VALUES = st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=12)


def width(figure: Figure) -> float:
    return (figure.high or 0) - (figure.low or 0)


@settings(max_examples=40, deadline=None)
@given(VALUES, st.integers(1, 5))
def test_interval_of_a_mean_holds_the_value_and_lies_within_the_data(values: list[float], num_groups: int) -> None:
    groups = [str(row % num_groups) for row in range(len(values))]
    figure = mean_figure(groups, values, num_resamples=200)
    assert figure.n == len(values)
    assert (figure.low is None) == (figure.high is None) == (len(set(groups)) == 1)
    if figure.low is not None and figure.high is not None:
        slack = 1e-9 * (1 + max(map(abs, values)))
        assert min(values) - slack <= figure.low <= figure.value + slack
        assert figure.value - slack <= figure.high <= max(values) + slack


def test_interval_is_by_group_not_by_row() -> None:
    values = [float(number // 50 % 2) for number in range(200)]  # four groups of fifty equal rows each
    wide = mean_figure([str(number // 50) for number in range(200)], values)
    narrow = mean_figure([str(number) for number in range(200)], values)
    assert width(wide) > 3 * width(narrow) > 0


def test_interval_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    figure = mean_figure([str(row) for row in range(400)], values)
    assert width(figure) == pytest.approx(2 * 1.96 * 2 / np.sqrt(400), rel=0.1)


def test_draws_depend_on_the_seed_alone() -> None:
    groups, values = [str(row // 2) for row in range(40)], list(np.random.default_rng(0).random(40))
    assert mean_figure(groups, values) == mean_figure(groups, values)
    assert mean_figure(groups, values) != mean_figure(groups, values, seed=1)


def test_every_draw_holds_whole_groups() -> None:
    seen = []

    def measure(rows: np.ndarray) -> float:
        seen.append(rows.tolist())
        return 0.0

    bootstrap_figure(["a", "b", "a"], measure, num_resamples=50)
    assert seen[0] == [0, 1, 2]
    assert {tuple(rows) for rows in seen[1:]} == {(0, 2, 0, 2), (0, 2, 1), (1, 0, 2), (1, 1)}


def test_gain_is_paired() -> None:
    """A constant lead has no uncertainty, however much both figures vary."""
    groups, values = [str(row) for row in range(30)], np.random.default_rng(0).normal(0, 10, 30)
    gain = paired_gain(groups, on_rows(np.mean, values + 1), on_rows(np.mean, values))
    assert (gain.value, gain.low, gain.high) == (pytest.approx(1), pytest.approx(1), pytest.approx(1))


def test_draws_on_which_the_figure_does_not_exist_are_left_out() -> None:
    figure = bootstrap_figure(list("abc"), lambda rows: 2.0 if 0 in rows else float("nan"))
    assert (figure.value, figure.low, figure.high) == (2, 2, 2)


def test_a_figure_that_does_not_exist_is_refused() -> None:
    for groups in ([], ["a"]):
        with pytest.raises(FigureUndefinedError, match="does not exist"):
            bootstrap_figure(groups, lambda rows: float("nan"))


def test_figure_is_plain_json() -> None:
    figure = Figure(value=0.5, low=0.25, n=3)
    assert figure.model_dump() == {"value": 0.5, "low": 0.25, "high": None, "n": 3}
    assert Figure.model_validate_json(figure.model_dump_json()) == figure
