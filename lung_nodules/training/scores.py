"""Figures for the records: those of the evaluation, rounded, with a name and the cohort in words."""

from __future__ import annotations

from collections.abc import Sequence

from lung_nodules.evaluation.bootstrap import bootstrap_figure, mean_figure, on_rows, paired_gain
from lung_nodules.evaluation.discrimination import auc
from lung_nodules.evaluation.figures import Figure
from lung_nodules.networks.record import Score

NUM_DECIMALS = 4


def mean_score(name: str, cohort: str, patients: Sequence[str], values: Sequence[float]) -> Score:
    """The mean of one value a row, its interval by bootstrap over patients."""
    return to_score(name, cohort, mean_figure(patients, values))


def auc_score(
    name: str, cohort: str, patients: Sequence[str], positive: Sequence[bool], values: Sequence[float]
) -> Score:
    """Area under the ROC curve of values against a yes or no a row."""
    return to_score(name, cohort, bootstrap_figure(patients, on_rows(auc, positive, values)))


def auc_gain_score(
    name: str,
    cohort: str,
    patients: Sequence[str],
    positive: Sequence[bool],
    values: Sequence[float],
    baseline: Sequence[float],
) -> Score:
    """By how much the area under the curve of values exceeds that of a baseline, on the same draws (paired)."""
    ours, theirs = on_rows(auc, positive, values), on_rows(auc, positive, baseline)
    return to_score(name, cohort, paired_gain(patients, ours, theirs))


def to_score(name: str, cohort: str, figure: Figure) -> Score:
    """A figure as a record holds it."""
    low, high = (None if end is None else round(end, NUM_DECIMALS) for end in (figure.low, figure.high))
    return Score(name=name, value=round(figure.value, NUM_DECIMALS), low=low, high=high, n=figure.n, cohort=cohort)
