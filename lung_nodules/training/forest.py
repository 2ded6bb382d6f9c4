"""A random forest on measured features and on the networks' embeddings: what can be had without a Transformer.

Breiman 2001 (10.1023/A:1010933404324), scikit-learn's. It is judged in folds by patient and on the test patients, each
time beside the diameter. With SMOTE (Chawla 2002, 10.1613/jair.953; imbalanced-learn's), the rarer class is filled up
with points between neighbours: after the folds are made, as a point between patients of two folds would give the one
away to the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from lung_nodules.errors import UsageRefusal
from lung_nodules.evaluation.bootstrap import bootstrap_figure, on_rows, paired_gain
from lung_nodules.evaluation.discrimination import auc
from lung_nodules.evaluation.measured import MALIGNANCY_MIDDLE
from lung_nodules.evaluation.suspicion import SUSPICIOUS_FROM
from lung_nodules.networks.record import Score
from lung_nodules.settings import Section
from lung_nodules.training.folds import fold_of
from lung_nodules.training.scores import to_score

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestClassifier

Source = Literal["features", "outliner", "classifier"]
SMOTE_NEIGHBOURS = 5

ABOVE_BELOW = "mean malignancy above 3 against below 3"
SUSPICIOUS_REST = "mean malignancy of 3.5 and more against the rest"

Table = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


class ForestSettings(Section):
    """Everything that decides a forest."""

    sources: tuple[Source, ...] = Field(("features",), min_length=1)
    num_trees: int = Field(200, ge=1, le=5000)
    min_leaf: int = Field(4, ge=1, description="Nodules in a leaf, at least.")
    inputs_share: float = Field(0.3, gt=0, le=1, description="Of the inputs, tried at a split.")
    smote: bool = False
    folds: int = Field(5, ge=2, le=20)
    seed: int = Field(0, ge=0)

    @field_validator("sources")
    @classmethod
    def _each_once(cls, sources: tuple[Source, ...]) -> tuple[Source, ...]:
        return tuple(dict.fromkeys(sources))


@dataclass(frozen=True)
class Rated:
    """A nodule that three and more readers rated, with what a forest may know of it."""

    patient_id: str
    malignancy: float  # the readers' mean
    diameter_mm: float  # longest of the readers' consensus, in plane
    inputs: Mapping[str, float]

    @property
    def is_decided(self) -> bool:
        """Whether the mean is not the middle of the scale."""
        return self.malignancy != MALIGNANCY_MIDDLE


def grow(nodules: Sequence[Rated], settings: ForestSettings) -> RandomForestClassifier:
    """Grow a forest on the nodules whose mean malignancy is above 3 or below 3.

    Raises:
        UsageRefusal: ``too-few-nodules`` where there are none of one kind.
    """
    from sklearn.ensemble import RandomForestClassifier  # of the training extra

    learned = [one for one in nodules if one.is_decided]
    labels = np.array([one.malignancy > MALIGNANCY_MIDDLE for one in learned], dtype=bool)
    if len(set(labels.tolist())) < 2:
        raise UsageRefusal("too-few-nodules", "A forest needs nodules that readers suspect, and others.")
    table = table_of(learned)
    if settings.smote:
        table, labels = fill_up(table, labels, settings.seed)
    forest = RandomForestClassifier(
        settings.num_trees,
        min_samples_leaf=settings.min_leaf,
        max_features=settings.inputs_share,
        random_state=settings.seed,
    )
    return forest.fit(table, labels)


def fill_up(table: Table, labels: Labels, seed: int) -> tuple[Table, Labels]:
    """SMOTE, its neighbours found on standardised inputs; both classes have as many rows then.

    Nothing changes where the rarer class has one row only, which has no neighbour.
    """
    from imblearn.over_sampling import SMOTE  # of the training extra

    num_rarer = int(min(labels.sum(), (~labels).sum()))
    if num_rarer < 2:
        return table, labels
    mean, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-9)
    smote = SMOTE(random_state=seed, k_neighbors=min(SMOTE_NEIGHBOURS, num_rarer - 1))
    filled, kinds = smote.fit_resample((table - mean) / scale, labels)
    return filled * scale + mean, kinds


def judge_by_folds(nodules: Sequence[Rated], settings: ForestSettings) -> Table:
    """The suspicion of each nodule, 0-1, by a forest that has seen no nodule of its patient."""
    own = np.array([fold_of(one.patient_id, settings.folds) for one in nodules])
    judged = np.zeros(len(nodules))
    for fold in np.unique(own):
        forest = grow([one for one, number in zip(nodules, own, strict=True) if number != fold], settings)
        held = [one for one, number in zip(nodules, own, strict=True) if number == fold]
        judged[own == fold] = forest.predict_proba(table_of(held))[:, 1]
    return judged


def table_of(nodules: Sequence[Rated]) -> Table:
    """The inputs, (nodules, inputs), in the order that the first nodule has them in."""
    return np.array([[one.inputs[name] for name in nodules[0].inputs] for one in nodules], dtype=np.float64)


def forest_scores(nodules: Sequence[Rated], suspicion: npt.ArrayLike, cohort: str) -> list[Score]:
    """AUC of a suspicion and of the diameter on the same nodules, and the gain; what does not exist is left out."""
    given, diameter_mm = np.asarray(suspicion, dtype=float), np.array([one.diameter_mm for one in nodules])
    malignancy = np.array([one.malignancy for one in nodules])
    decided, everyone = malignancy != MALIGNANCY_MIDDLE, np.full(len(nodules), True)
    return [
        *_areas(nodules, given, diameter_mm, decided, malignancy > MALIGNANCY_MIDDLE, f"{cohort}, {ABOVE_BELOW}"),
        *_areas(nodules, given, diameter_mm, everyone, malignancy >= SUSPICIOUS_FROM, f"{cohort}, {SUSPICIOUS_REST}"),
    ]


def _areas(
    nodules: Sequence[Rated], given: Table, diameter_mm: Table, asked: Labels, positive: Labels, cohort: str
) -> list[Score]:
    patients = [one.patient_id for one, is_asked in zip(nodules, asked, strict=True) if is_asked]
    if len(set(positive[asked].tolist())) < 2:
        return []
    ours, ruler = on_rows(auc, positive[asked], given[asked]), on_rows(auc, positive[asked], diameter_mm[asked])
    return [
        to_score("auc", cohort, bootstrap_figure(patients, ours)),
        to_score("auc, readers' diameter alone", cohort, bootstrap_figure(patients, ruler)),
        to_score("auc less readers' diameter alone, paired", cohort, paired_gain(patients, ours, ruler)),
    ]
