"""Whether a probability means what it says: of nodules given 0.3, three in ten should be positive.

Throughout, `positive` is a yes or no a row and `probability` a value of 0-1 a row. scikit-learn gives the Brier score
and the regression. The bins are our own, as its `calibration_curve` makes the same ones but does not say how many rows
each holds, which ECE needs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import expit, logit

from lung_nodules.evaluation.discrimination import Floats, Values, YesNo
from lung_nodules.evaluation.figures import Figure, FigureUndefinedError

NUM_BINS = 15
PROBABILITY_LIMIT = 1e-6  # a logit is taken of nothing nearer to 0 or 1
NAN = float("nan")


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: the rows in bins of rising probability; a bin that ties leave empty is left out."""

    mean_probability: Floats  # (bin,)
    observed: Floats  # (bin,) the share of positive rows
    counts: npt.NDArray[np.intp]  # (bin,)


@dataclass(frozen=True)
class CalibrationLine:
    """How the logits would have to be changed; NaN where one class is missing or the classes do not overlap."""

    slope: float  # 1 is right; below 1 the probabilities are too extreme
    intercept: float  # with the slope held at 1: 0 is right; below 0 they are too high


def reliability(positive: YesNo, probability: Values, num_bins: int = NUM_BINS) -> Reliability:
    """Sort the rows into bins of equal mass; rows of one probability stay in one bin."""
    truth, values = _rows(positive, probability)
    if not len(values):
        return Reliability(np.array([]), np.array([]), np.array([], dtype=np.intp))
    edges = np.percentile(values, np.linspace(0, 1, num_bins + 1) * 100)[1:-1]
    numbers = np.searchsorted(edges, values)
    counts = np.bincount(numbers, minlength=num_bins)
    held = counts > 0
    sums = (np.bincount(numbers, weights, minlength=num_bins)[held] for weights in (values, truth))
    mean, observed = (total / counts[held] for total in sums)
    return Reliability(mean, observed, counts[held])


def ece(positive: YesNo, probability: Values, num_bins: int = NUM_BINS) -> float:
    """Expected calibration error: mean distance of probability and share over the bins, weighted by their rows.

    Too high where rows are few: a perfect model has about 0.08 at 200 rows, 0.05 at 500, 0.04 at 1,000 (15 bins,
    probabilities spread from 0 to 1). State `perfect_ece` beside it. NaN without rows.
    """
    diagram = reliability(positive, probability, num_bins)
    if not len(diagram.counts):
        return NAN
    return float(np.average(np.abs(diagram.mean_probability - diagram.observed), weights=diagram.counts))


def perfect_ece(probability: Values, num_bins: int = NUM_BINS, *, num_draws: int = 1000, seed: int = 0) -> Figure:
    """The ECE of a model that is right: the truth is drawn from its own probabilities.

    Returns:
        The mean over the draws, with the range of 95 % of them.

    Raises:
        FigureUndefinedError: There is no row.
    """
    values = np.asarray(probability, dtype=np.float64)
    if not len(values):
        raise FigureUndefinedError("no row, no calibration")
    rng = np.random.default_rng(seed)
    drawn = [ece(rng.random(len(values)) < values, values, num_bins) for _ in range(num_draws)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Figure(value=float(np.mean(drawn)), low=float(low), high=float(high), n=len(values))


def brier(positive: YesNo, probability: Values) -> float:
    """Mean squared distance of probability and truth: calibration and discrimination at once. NaN without rows."""
    truth, values = _rows(positive, probability)
    if not len(values):
        return NAN
    from sklearn.metrics import brier_score_loss

    return float(brier_score_loss(truth, values, labels=[False, True]))


def calibration_line(positive: YesNo, probability: Values) -> CalibrationLine:
    """Slope and intercept of a logistic regression on the logits (Cox; Van Calster 2019, 10.1186/s12916-019-1466-7)."""
    truth, values = _rows(positive, probability)
    logits = logit(np.clip(values, PROBABILITY_LIMIT, 1 - PROBABILITY_LIMIT))
    if truth.all() or not truth.any():
        return CalibrationLine(NAN, NAN)
    intercept = float(brentq(lambda shift: float((expit(logits + shift) - truth).sum()), -40, 40))
    if _do_not_overlap(truth, logits):
        return CalibrationLine(NAN, intercept)
    from sklearn.linear_model import LogisticRegression

    line = LogisticRegression(C=np.inf, max_iter=1000).fit(logits[:, None], truth)
    return CalibrationLine(float(line.coef_[0, 0]), intercept)


def _do_not_overlap(truth: npt.NDArray[np.bool_], logits: Floats) -> bool:
    """Whether one threshold parts the classes, either way round, so that the slope would be infinite."""
    yes, no = logits[truth], logits[~truth]
    return bool(yes.min() >= no.max() or yes.max() <= no.min())


def _rows(positive: YesNo, probability: Values) -> tuple[npt.NDArray[np.bool_], Floats]:
    truth, values = np.asarray(positive, dtype=np.bool_), np.asarray(probability, dtype=np.float64)
    if truth.shape != values.shape or truth.ndim != 1:
        raise ValueError(f"one yes or no and one probability a row are needed, not {truth.shape} and {values.shape}")
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("a probability lies outside 0-1")
    return truth, values
