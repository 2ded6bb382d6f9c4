"""Fitting the classifier's heads: logistic regressions that join the network's outputs with the measurements.

The suspicion head learns from the readers' mean ratings as soft labels: just above the middle of the scale tells less
than far above. Sizes and spreads enter by their logarithms, too, as they span orders of magnitude.

A network knows its own training nodules too well. Where networks by fold have read them, the head is fitted to all of
them and to the validation patients at once. Else it is fitted in two steps: a regression on the measurements alone to
training patients; how much of it and of the image is to be believed to validation patients, and how sure the two are
together to those of them whom a fold left out. Either way is linear, so it is stored as one head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from lung_nodules.evaluation.measured import MALIGNANCY_MIDDLE, Measured, decided, is_rated
from lung_nodules.evaluation.suspicion import SUSPICION_THRESHOLD
from lung_nodules.networks.record import LinearHead
from lung_nodules.stages.classification import LOG_OF, head_values
from lung_nodules.training.folds import fold_of
from lung_nodules.training.temperature import fit_temperature, tempered

NODULE = "image.nodule"
LOGGED = tuple(
    f"feature.{name}"
    for name in (
        "mean_diameter_mm",
        "long_axis_mm",
        "surface_to_volume",
        "margin_sharpness",
        "std_hu",
        "shell_std_hu",
    )
)
STRENGTH = 0.3  # inverse regularisation
SHARPNESS = 2.5  # of the soft labels, per step of the malignancy scale
WIDER_MUST_GAIN = 0.002  # in AUC, for all of the image's ratings to be taken

Table = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


def fit_suspicion(nodules: Sequence[Measured]) -> LinearHead:
    """Fit the suspicion head; 0-1, the share of such nodules whose mean malignancy rating is above 3.

    The image enters by its malignancy alone or by all of its ratings, whichever tells more in folds by patient.

    Args:
        nodules: Of training and validation patients, each read by a network that does not know the patient.
    """
    read = well_rated(nodules)
    names = (*measurements(read), "image.malignancy")
    ratings = tuple(name for name in read[0].inputs if name.startswith("image.") and name != NODULE)
    wider = (*measurements(read), *ratings)
    if cross_validated_auc(read, wider) > cross_validated_auc(read, names) + WIDER_MUST_GAIN:
        names = wider
    return _straightened(_fit_soft(read, names), decided(read)).model_copy(update={"threshold": SUSPICION_THRESHOLD})


def fit_suspicion_on_validation(train: Sequence[Measured], validation: Sequence[Measured]) -> LinearHead:
    """Fit the suspicion head in two steps where no network by fold has read the training patients; 0-1, as above.

    Args:
        train: Training patients' nodules, read by the network that learned from them; only measurements are used.
        validation: Validation patients' nodules.
    """
    read = well_rated(train)
    ruler, judged = _fit_soft(read, measurements(read)), decided(validation)
    head = tempered(_join(ruler, judged), _temperature_in_folds(ruler, judged))
    return head.model_copy(update={"threshold": SUSPICION_THRESHOLD})


def _join(ruler: LinearHead, judged: Sequence[Measured]) -> LinearHead:
    """The ruler's logit and the image's malignancy as one head, each believed as far as it tells of these nodules."""
    table, labels = _table(judged, ruler.inputs)
    image = _table(judged, ("image.malignancy",))[0][:, 0]
    joint = _logistic(np.column_stack([head_logits(ruler, table), image]), labels, strength=10.0)
    of_ruler, of_image = joint.coef_[0]
    return LinearHead(
        inputs=(*ruler.inputs, "image.malignancy"),
        mean=(*ruler.mean, 0.0),
        scale=(*ruler.scale, 1.0),
        weights=(*(of_ruler * np.array(ruler.weights)).tolist(), float(of_image)),
        intercept=float(joint.intercept_[0] + of_ruler * ruler.intercept),
    )


def _temperature_in_folds(ruler: LinearHead, judged: Sequence[Measured], num_folds: int = 5) -> float:
    """The temperature of `_join` on patients whom it was not fitted to; 1 where a fold leaves no two classes."""
    folds = [fold_of(one.crop.patient_id, num_folds) for one in judged]
    logits, labels = list[float](), list[bool]()
    for fold in set(folds):
        others = [one for one, its in zip(judged, folds, strict=True) if its != fold]
        if len({one.is_suspicious for one in others}) < 2:
            return 1.0
        head = _join(ruler, others)
        table, truth = _table([one for one, its in zip(judged, folds, strict=True) if its == fold], head.inputs)
        logits += head_logits(head, table).tolist()
        labels += truth.tolist()
    return fit_temperature(logits, labels)


def well_rated(nodules: Sequence[Measured]) -> list[Measured]:
    """Nodules that three and more readers rated, those of the middle of the scale among them."""
    return [one for one in nodules if is_rated(one.crop)]


def measurements(nodules: Sequence[Measured]) -> tuple[str, ...]:
    """The names of the measured features, and of the logarithms of those that span orders of magnitude."""
    plain = tuple(name for name in nodules[0].inputs if name.startswith("feature."))
    return plain + tuple(f"{LOG_OF}{name}" for name in LOGGED if name in plain)


def cross_validated_auc(nodules: Sequence[Measured], names: tuple[str, ...], num_folds: int = 5) -> float:
    """AUC of a suspicion head with these inputs, mean malignancy above 3 against below 3, in folds by patient."""
    from sklearn.metrics import roc_auc_score  # of the training extra

    logits, labels = list[float](), list[bool]()
    for fold in range(num_folds):
        held = decided([one for one in nodules if fold_of(one.crop.patient_id, num_folds) == fold])
        others = [one for one in nodules if fold_of(one.crop.patient_id, num_folds) != fold]
        if held and others:
            head = _fit_soft(others, names)
            logits += head_logits(head, _table(held, names)[0]).tolist()
            labels += [one.is_suspicious for one in held]
    return float(roc_auc_score(labels, logits)) if len(set(labels)) == 2 else 0.5


def fit_nodule(
    nodules: Sequence[Mapping[str, float]],
    mistakes: Sequence[Mapping[str, float]],
    known_mistakes: Sequence[Mapping[str, float]],
) -> LinearHead:
    """Fit the nodule head: the finder's score and all that the classifier reads, joined; both sides weigh the same.

    The ratings tell of what is no nodule, too: ``benchmarks/nodule_head.py`` measures by how much the area under the
    curve exceeds that of the output `nodule` and the finder's score alone, on patients whom no network knows. How sure
    the head is, its temperature, is fitted to the validation patients alone.

    Args:
        nodules: Head inputs of validation patients' nodules.
        mistakes: Head inputs of validation patients' places where the finder was wrong.
        known_mistakes: The same of training patients.
    """
    names = (*(name for name in nodules[0] if name.startswith("image.")), "candidate.logit")
    table = np.array([[one[name] for name in names] for one in (*nodules, *mistakes, *known_mistakes)])
    labels = np.arange(len(table)) < len(nodules)
    head = fit_logistic(table, labels, names, 1.0, balanced=True)
    if not mistakes:
        return head
    held = slice(len(nodules) + len(mistakes))
    weights = np.where(labels[held], 1 / len(nodules), 1 / len(mistakes))
    return tempered(head, fit_temperature(head_logits(head, table[held]), labels[held], weights))


def fit_logistic(
    table: Table,
    labels: npt.ArrayLike,
    names: tuple[str, ...],
    strength: float,
    *,
    balanced: bool = False,
) -> LinearHead:
    """A logistic regression on standardised inputs.

    Args:
        table: (rows, inputs).
        labels: (rows,) 0 or 1, or shares between: a row then counts in both classes by its part.
        names: Of the inputs.
        strength: Inverse regularisation.
        balanced: Both classes weigh the same.
    """
    mean, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    fitted = _logistic((table - mean) / scale, labels, strength, balanced=balanced)
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


def _fit_soft(nodules: Sequence[Measured], names: tuple[str, ...]) -> LinearHead:
    """A head on the readers' mean rating as soft label: just above the middle tells less than far above."""
    mean_rating = np.array([one.crop.ratings["malignancy"] for one in nodules])
    return fit_logistic(
        _table(nodules, names)[0], expit(SHARPNESS * (mean_rating - MALIGNANCY_MIDDLE)), names, STRENGTH
    )


def _straightened(head: LinearHead, judged: Sequence[Measured]) -> LinearHead:
    """The head with its logit moved and scaled (Platt 1999), so that it is the share of suspicious ones among these."""
    table, labels = _table(judged, head.inputs)
    fitted = _logistic(head_logits(head, table)[:, None], labels, strength=1e4)
    slope, shift = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    weights = tuple(slope * weight for weight in head.weights)
    return head.model_copy(update={"weights": weights, "intercept": slope * head.intercept + shift})


def _logistic(table: Table, labels: npt.ArrayLike, strength: float, *, balanced: bool = False) -> Any:
    from sklearn.linear_model import LogisticRegression  # of the training extra

    share = np.asarray(labels, dtype=float)
    rows, weights = np.concatenate([table, table]), np.concatenate([share, 1 - share])
    given = weights > 0
    model = LogisticRegression(C=strength, class_weight="balanced" if balanced else None, max_iter=3000)
    return model.fit(rows[given], np.repeat([True, False], len(table))[given], sample_weight=weights[given])


def _table(measured: Sequence[Measured], names: Sequence[str]) -> tuple[Table, Labels]:
    table = np.array([head_values(names, one.inputs) for one in measured])
    return table, np.array([one.is_suspicious for one in measured])
