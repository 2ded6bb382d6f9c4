"""Fitting the classifier's heads: logistic regressions that join the network's outputs with the measurements.

A network knows its own training nodules too well. Where networks by fold have read them, the suspicion head is fitted
to all of them and to the validation patients at once. Else it is fitted in two steps: a regression on the measurements
alone to training patients; how much of it and of the image is to be believed to validation patients. Either way is
linear, so it is stored as one head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from lung_nodules.evaluation.measured import Measured, decided
from lung_nodules.networks.record import LinearHead
from lung_nodules.training.temperature import fit_temperature, tempered

NODULE_INPUTS = ("image.nodule", "candidate.logit")
STRENGTH = 0.3  # inverse regularisation of the regression on measurements

Table = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


def fit_suspicion(out_of_fold: Sequence[Measured], validation: Sequence[Measured]) -> LinearHead:
    """Fit the suspicion head to training and validation patients; 0-1, as `fit_suspicion_on_validation`.

    How sure it is, its temperature, is fitted to the validation patients alone: only they were read by the network that
    is published.

    Args:
        out_of_fold: Training patients' nodules, each read by a network that does not know the patient.
        validation: Validation patients' nodules, read by the network that is published.
    """
    both = decided([*out_of_fold, *validation])
    names = tuple(
        name for name in both[0].inputs if name.startswith(("feature.", "image.")) and name != NODULE_INPUTS[0]
    )
    head = fit_logistic(*_table(both, names), names, STRENGTH)
    table, labels = _table(decided(validation), names)
    return tempered(head, fit_temperature(head_logits(head, table), labels))


def fit_suspicion_on_validation(train: Sequence[Measured], validation: Sequence[Measured]) -> LinearHead:
    """Fit the suspicion head; 0-1, the share of such nodules whose mean malignancy rating is above 3.

    Args:
        train: Training patients' nodules, read by the network that learned from them; only measurements are used.
        validation: Validation patients' nodules.
    """
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


def fit_nodule(
    nodules: Sequence[Mapping[str, float]],
    mistakes: Sequence[Mapping[str, float]],
    known_mistakes: Sequence[Mapping[str, float]],
) -> LinearHead:
    """Fit the nodule head: the finder's score and the classifier's, joined; both sides weigh the same.

    How sure it is, its temperature, is fitted to the validation patients alone.

    Args:
        nodules: Head inputs of validation patients' nodules.
        mistakes: Head inputs of validation patients' places where the finder was wrong.
        known_mistakes: The same of training patients.
    """
    names = NODULE_INPUTS
    table = np.array([[one[name] for name in names] for one in (*nodules, *mistakes, *known_mistakes)])
    labels = np.arange(len(table)) < len(nodules)
    head = fit_logistic(table, labels, names, 1.0, balanced=True)
    if not mistakes:
        return head
    held = slice(len(nodules) + len(mistakes))
    weights = np.where(labels[held], 1 / len(nodules), 1 / len(mistakes))
    return tempered(head, fit_temperature(head_logits(head, table[held]), labels[held], weights))


def fit_logistic(
    table: Table, labels: Labels, names: tuple[str, ...], strength: float, *, balanced: bool = False
) -> LinearHead:
    """A logistic regression on standardised inputs.

    Args:
        table: (rows, inputs).
        labels: (rows,).
        names: Of the inputs.
        strength: Inverse regularisation.
        balanced: Both classes weigh the same.
    """
    from sklearn.linear_model import LogisticRegression  # of the training extra

    mean, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    weight = "balanced" if balanced else None
    fitted = LogisticRegression(C=strength, class_weight=weight, max_iter=1000).fit((table - mean) / scale, labels)
    return LinearHead(
        inputs=names,
        mean=tuple(mean.tolist()),
        scale=tuple(scale.tolist()),
        weights=tuple(fitted.coef_[0].tolist()),
        intercept=float(fitted.intercept_[0]),
    )


def head_logits(head: LinearHead, table: Table) -> Table:
    """The head's logit for rows of its inputs."""
    return np.asarray(head.intercept + (table - head.mean) / head.scale @ np.array(head.weights))


def _table(measured: Sequence[Measured], names: Sequence[str]) -> tuple[Table, Labels]:
    table = np.array([[one.inputs[name] for name in names] for one in measured])
    return table, np.array([one.is_suspicious for one in measured])
