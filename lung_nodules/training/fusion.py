"""Late fusion: a suspicion joined with what is known beside the image (age, sex, slice thickness, kernel, contrast).

One logistic regression on the logit of a head that stands already and the covariates (late fusion: Huang 2020,
10.1038/s41746-020-00341-z). What is missing counts as the mean of the known ones, and its indicator may move that. All
of it is linear, so that it becomes one `LinearHead`, which reads in the line what it read here.

The network has learned from the training patients, so that only others may teach how far it is to be believed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lung_nodules.errors import InputRefusal
from lung_nodules.evaluation.bootstrap import on_rows, paired_gain
from lung_nodules.evaluation.discrimination import auc
from lung_nodules.evaluation.figures import Figure
from lung_nodules.evaluation.measured import Measured, decided
from lung_nodules.networks.record import LinearHead
from lung_nodules.stages.classification import head_values
from lung_nodules.stages.covariates import MISSING, NAMES, PREFIX
from lung_nodules.training.folds import fold_of
from lung_nodules.training.heads import head_logits

STRENGTH = 1.0  # inverse regularisation
IMAGE_ALONE = LinearHead(inputs=("image.malignancy",), mean=(0.0,), scale=(1.0,), weights=(1.0,), intercept=0.0)
DIAMETER = "feature.long_axis_mm"

Table = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Columns:
    """The covariates of some nodules, standardised: known values first, then the indicators of the missing."""

    names: tuple[str, ...]  # of the values; each has an indicator
    mean: Table  # of the known ones
    scale: Table
    table: Table  # (nodules, 2 x names)


def fit_fusion(nodules: Sequence[Measured], base: LinearHead, extra: Sequence[str] = ()) -> LinearHead:
    """Join a head with the covariates; 0-1, the share of such nodules whose mean malignancy rating is above 3.

    Args:
        nodules: Of patients who did not train the network; their inputs hold the base's and the covariates.
        base: The head whose logit is one input, by its own weights.
        extra: Names of further inputs, never missing.

    Raises:
        InputRefusal: ``too-few-nodules`` where there are none above 3, or none below.
    """
    judged = decided(nodules)
    if len({one.is_suspicious for one in judged}) < 2:
        raise InputRefusal(
            "too-few-nodules",
            "The fusion needs outlined nodules of validation patients with a mean malignancy above 3, and some below.",
            "Name a folder of crops with more patients on the validation side.",
        )
    columns = _columns(judged, extra)
    logits = _logits(base, judged)
    weights, intercept = _regress(np.column_stack([logits, columns.table]), [one.is_suspicious for one in judged])
    return _as_head(base, columns, weights, intercept)


def judge_fusion_by_folds(
    nodules: Sequence[Measured], base: LinearHead, extra: Sequence[str] = (), num_folds: int = 5
) -> tuple[list[Measured], Table]:
    """The decided nodules, and the logit of each by a fusion that has seen no nodule of its patient."""
    judged = decided(nodules)
    own = np.array([fold_of(one.crop.patient_id, num_folds) for one in judged])
    logits = np.zeros(len(judged))
    for fold in np.unique(own):
        others = [one for one, number in zip(judged, own, strict=True) if number != fold]
        held = [one for one, number in zip(judged, own, strict=True) if number == fold]
        logits[own == fold] = _logits(fit_fusion(others, base, extra), held)
    return judged, logits


def fusion_gain(judged: Sequence[Measured], logits: Table, base: LinearHead) -> Figure:
    """By how much the AUC of the fusion exceeds that of the base on the same nodules, paired by patient."""
    positive = [one.is_suspicious for one in judged]
    patients = [one.crop.patient_id for one in judged]
    return paired_gain(patients, on_rows(auc, positive, logits), on_rows(auc, positive, _logits(base, judged)))


def wins(gain: Figure) -> bool:
    """Whether the fusion is better than its base beyond chance: the interval lies above zero."""
    return gain.low is not None and gain.low > 0


def _logits(head: LinearHead, nodules: Sequence[Measured]) -> Table:
    return head_logits(head, np.array([head_values(head.inputs, one.inputs) for one in nodules]))


def _columns(nodules: Sequence[Measured], extra: Sequence[str]) -> _Columns:
    names = (*(f"{PREFIX}{name}" for name in NAMES), *extra)
    values = np.array([[one.inputs[name] for name in names] for one in nodules])
    missing = np.array([[one.inputs.get(f"{name}{MISSING}", 0.0) for name in names] for one in nodules])
    known = np.ma.masked_array(values, missing > 0)
    mean, scale = known.mean(axis=0).filled(0.0), np.ma.filled(known.std(axis=0), 0.0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    standard = np.where(missing > 0, 0.0, (values - mean) / scale)
    return _Columns(names, mean, scale, np.column_stack([standard, missing]))


def _regress(table: Table, labels: Sequence[bool]) -> tuple[Table, float]:
    """Weights and intercept; a column that does not vary, as the indicator of what is never missing, weighs nothing."""
    from sklearn.linear_model import LogisticRegression  # of the training extra

    varies = np.ptp(table, axis=0) > 0
    fitted = LogisticRegression(C=STRENGTH, max_iter=1000).fit(table[:, varies], labels)
    weights = np.zeros(table.shape[1])
    weights[varies] = fitted.coef_[0]
    return weights, float(fitted.intercept_[0])


def _as_head(base: LinearHead, columns: _Columns, weights: Table, intercept: float) -> LinearHead:
    """One head of the base's inputs and the covariates.

    In the line a missing value is given as 0, and not as the mean: the weight of its indicator makes up for that.
    """
    num = len(columns.names)
    of_base, of_values, of_missing = weights[0], weights[1 : 1 + num], weights[1 + num :]
    indicated = [number for number, name in enumerate(columns.names) if name.startswith(PREFIX)]
    made_up = (of_missing + of_values * columns.mean / columns.scale)[indicated]
    return LinearHead(
        inputs=(*base.inputs, *columns.names, *(f"{columns.names[number]}{MISSING}" for number in indicated)),
        mean=(*base.mean, *columns.mean.tolist(), *(0.0 for _ in indicated)),
        scale=(*base.scale, *columns.scale.tolist(), *(1.0 for _ in indicated)),
        weights=(*(of_base * np.array(base.weights)).tolist(), *of_values.tolist(), *made_up.tolist()),
        intercept=intercept + float(of_base) * base.intercept,
    )
