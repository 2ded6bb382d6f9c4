"""How well a score tells yes from no: areas and curves over all thresholds, and what one threshold gives.

scikit-learn does the work; what is added is a stated value, NaN, where only one class is there, as happens in
resamples, instead of scikit-learn's mixture of warnings and errors.

Throughout, `positive` is a yes or no a row and `values` a finite score a row that grows with yes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
YesNo = Sequence[bool] | npt.NDArray[np.bool_]
Values = Sequence[float] | npt.NDArray[np.floating]
NAN = float("nan")


@dataclass(frozen=True)
class Curve:
    """One point a threshold."""

    x: Floats  # (point,) ROC: 1 - specificity; precision and recall: recall
    y: Floats  # (point,) ROC: sensitivity; precision and recall: precision
    thresholds: Floats  # (point,) yes is a value of at least this much


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold; a ratio is NaN where its denominator is 0."""

    num_true_positive: int
    num_false_positive: int
    num_false_negative: int
    num_true_negative: int

    @property
    def accuracy(self) -> float:
        """The share of rows that are judged rightly."""
        right = self.num_true_positive + self.num_true_negative
        return _ratio(right, right + self.num_false_positive + self.num_false_negative)

    @property
    def sensitivity(self) -> float:
        """The share of the positive rows that are called so (recall)."""
        return _ratio(self.num_true_positive, self.num_true_positive + self.num_false_negative)

    @property
    def specificity(self) -> float:
        """The share of the negative rows that are called so."""
        return _ratio(self.num_true_negative, self.num_true_negative + self.num_false_positive)

    @property
    def precision(self) -> float:
        """The share of the rows called positive that are so; it hangs on how frequent they are."""
        return _ratio(self.num_true_positive, self.num_true_positive + self.num_false_positive)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and sensitivity; of the positive class."""
        wrong = self.num_false_positive + self.num_false_negative
        return _ratio(2 * self.num_true_positive, 2 * self.num_true_positive + wrong)


def auc(positive: YesNo, values: Values) -> float:
    """Area under the ROC curve: how often a positive row has the larger value, a tie counting half.

    NaN where all rows are of one class.
    """
    truth, scores = _rows(positive, values)
    if truth.all() or not truth.any():
        return NAN
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores))


def average_precision(positive: YesNo, values: Values) -> float:
    """Area under precision and recall, by steps and not by the line between points; NaN without positive rows."""
    truth, scores = _rows(positive, values)
    if not truth.any():
        return NAN
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(truth, scores))


def roc_curve(positive: YesNo, values: Values) -> Curve:
    """Sensitivity over 1 - specificity, from (0, 0) to (1, 1).

    Raises:
        ValueError: All rows are of one class.
    """
    truth, scores = _rows(positive, values)
    if truth.all() or not truth.any():
        raise ValueError("a ROC curve needs rows of both classes")
    from sklearn.metrics import roc_curve as sklearn_curve

    false, true, thresholds = sklearn_curve(truth, scores)
    return Curve(false, true, thresholds)


def pr_curve(positive: YesNo, values: Values) -> Curve:
    """Precision over recall, recall falling, without scikit-learn's last point (0, 1) that no threshold gives.

    Raises:
        ValueError: No row is positive.
    """
    truth, scores = _rows(positive, values)
    if not truth.any():
        raise ValueError("precision and recall need positive rows")
    from sklearn.metrics import precision_recall_curve

    precision, recall, thresholds = precision_recall_curve(truth, scores)
    return Curve(recall[:-1], precision[:-1], thresholds)


def confusion(positive: YesNo, values: Values, threshold: float) -> Confusion:
    """Counts when a value of at least the threshold is called positive."""
    truth, scores = _rows(positive, values)
    called = scores >= threshold
    return Confusion(
        num_true_positive=int((truth & called).sum()),
        num_false_positive=int((~truth & called).sum()),
        num_false_negative=int((truth & ~called).sum()),
        num_true_negative=int((~truth & ~called).sum()),
    )


def accuracy(positive: YesNo, values: Values, threshold: float) -> float:
    """See `Confusion`."""
    return confusion(positive, values, threshold).accuracy


def f1(positive: YesNo, values: Values, threshold: float) -> float:
    """See `Confusion`."""
    return confusion(positive, values, threshold).f1


def sensitivity(positive: YesNo, values: Values, threshold: float) -> float:
    """See `Confusion`."""
    return confusion(positive, values, threshold).sensitivity


def specificity(positive: YesNo, values: Values, threshold: float) -> float:
    """See `Confusion`."""
    return confusion(positive, values, threshold).specificity


def _rows(positive: YesNo, values: Values) -> tuple[npt.NDArray[np.bool_], Floats]:
    truth, scores = np.asarray(positive, dtype=np.bool_), np.asarray(values, dtype=np.float64)
    if truth.shape != scores.shape or truth.ndim != 1:
        raise ValueError(f"one yes or no and one value a row are needed, not {truth.shape} and {scores.shape}")
    return truth, scores


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else NAN
