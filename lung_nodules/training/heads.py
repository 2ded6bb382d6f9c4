"""Fitting the classifier's heads: logistic regressions that join the network's outputs with the measurements.

The suspicion head is fitted in two steps, because the network knows its own training nodules too well: a regression
on the measurements alone is fitted to training patients; how much of it and of the image is to be believed is fitted
to validation patients. Both steps are linear, so they are stored as one head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lung_nodules.evaluation.measured import Measured, decided
from lung_nodules.networks.record import LinearHead

NODULE_INPUTS = ("image.nodule", "candidate.logit")
STRENGTH = 0.3  # inverse regularisation of the regression on measurements


def fit_suspicion(train: Sequence[Measured], validation: Sequence[Measured]) -> LinearHead:
    """Fit the suspicion head; 0-1, the share of such nodules whose mean malignancy rating is above 3."""
    from sklearn.linear_model import LogisticRegression  # of the training extra

    names = tuple(name for name in decided(train)[0].inputs if name.startswith("feature."))
    table, labels = _table(decided(train), names)
    mean, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    ruler = LogisticRegression(C=STRENGTH, max_iter=1000).fit((table - mean) / scale, labels)
    held, held_labels = _table(decided(validation), names)
    image = _table(decided(validation), ("image.malignancy",))[0][:, 0]
    measured = (held - mean) / scale @ ruler.coef_[0] + ruler.intercept_[0]
    joint = LogisticRegression(C=10.0, max_iter=1000).fit(np.column_stack([measured, image]), held_labels)
    of_ruler, of_image = joint.coef_[0]
    return LinearHead(
        inputs=(*names, "image.malignancy"),
        mean=(*mean.tolist(), 0.0),
        scale=(*scale.tolist(), 1.0),
        weights=(*(of_ruler * ruler.coef_[0]).tolist(), float(of_image)),
        intercept=float(joint.intercept_[0] + of_ruler * ruler.intercept_[0]),
    )


def fit_nodule(nodules: Sequence[Mapping[str, float]], mistakes: Sequence[Mapping[str, float]]) -> LinearHead:
    """Fit the nodule head: the finder's score and the classifier's, joined; both sides weigh the same.

    Args:
        nodules: Head inputs of validation patients' nodules.
        mistakes: Head inputs of places where the finder was wrong.
    """
    from sklearn.linear_model import LogisticRegression  # of the training extra

    table = np.array([[one[name] for name in NODULE_INPUTS] for one in (*nodules, *mistakes)])
    labels = np.arange(len(table)) < len(nodules)
    mean, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    fitted = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000).fit((table - mean) / scale, labels)
    return LinearHead(
        inputs=NODULE_INPUTS,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(fitted.coef_[0].tolist()),
        intercept=float(fitted.intercept_[0]),
    )


def _table(measured: Sequence[Measured], names: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    table = np.array([[one.inputs[name] for name in names] for one in measured])
    return table, np.array([one.is_suspicious for one in measured])
