"""Teaching the Vision Transformer: nodule or not, suspicion, and LIDC's characteristics.

Targets are the readers' mean ratings, scaled to 0-1 and used as soft labels, so that a vote of two against two is not a
coin. Nodules that more readers marked weigh more. What is no nodule is lung of the training scans and of the crops
beside their nodules, above all the places where the finder or the outliner was wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import nn
from torch.utils.data import Dataset

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.evaluation.measured import MALIGNANCY_MIDDLE, is_decided, read_logits
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.patches import scale_hu
from lung_nodules.progress import Progress
from lung_nodules.stages.classification import RATING_SCALES
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.classifier_shape import OUTPUTS, ClassifierShape
from lung_nodules.training.cubes import CubeSettings, Excerpt, draw_excerpt, with_worn_edges
from lung_nodules.training.loop import LoopSettings, Loss, Run, TensorBatch, fit, start_run
from lung_nodules.training.mistakes import CropMistake, MiningSettings, Mistake
from lung_nodules.training.needed import needed
from lung_nodules.training.segmentation import WINDOW_HU, fed_by, sampling_weights, usable_crops
from lung_nodules.training.soft_label_loss import soft_label_loss

MALIGNANCY_SCALE = (1, 5)
_SCALES = {"malignancy": MALIGNANCY_SCALE, **RATING_SCALES}


class ClassificationTraining(ClassifierShape):
    """Everything that decides a training run of the classifier."""

    cube: CubeSettings = CubeSettings(center_jitter_mm=3.0)
    loop: LoopSettings = LoopSettings(
        steps=1200, batch_size=16, learning_rate=1e-3, encoder_learning_rate_scale=0.3, weight_decay=0.05
    )
    weight_by_readers: tuple[float, float, float] = (0.3, 0.6, 1.0)
    iso_weight: float = Field(default=1.0, ge=0)
    hu_steps_limit: int = Field(default=8, ge=0)
    negative_share: float = Field(default=0.35, ge=0, le=1)
    beside_share: float = Field(default=0.4, ge=0, le=1, description="Of these, from crops, beside the nodule.")
    mined_share: float = Field(default=0.7, ge=0, le=1, description="Of the others, from mistakes in whole scans.")
    worn_voxels: int = Field(default=10, ge=0, description="Greatest depth to which an edge in plane is repeated.")
    mining: MiningSettings = MiningSettings()
    characteristics_weight: float = Field(default=0.3, ge=0)
    focal_gamma: float = Field(default=0.0, ge=0, le=5, description="Focal loss of nodule and malignancy; 0: none.")
    balanced: bool = Field(default=False, description="Nodule and malignancy: both classes weigh the same in the loss.")
    folds: int = Field(default=0, ge=0, le=20, description="Of the training patients; 0: none.")
    fold_classifiers: bool = Field(
        default=True, description="With folds: a classifier by fold, whose readings the suspicion head is fitted to."
    )
    fold_finder_steps: int = Field(
        default=0,
        ge=0,
        description="Steps of a finder by fold whose mistakes on the others train nodule or not; 0: the one finder's.",
    )

    @model_validator(mode="after")
    def _two_folds_or_none(self) -> Self:
        if self.folds == 1 or (self.fold_finder_steps and not self.folds):
            raise ValueError("folds are two or more, and finders by fold need them")
        return self


@dataclass(frozen=True)
class Negatives:
    """Places that look like nodules to the finder or the outliner, and are none."""

    in_scans: Sequence[Mistake] = ()  # numbers of the backgrounds that train
    in_crops: Sequence[CropMistake] = ()  # numbers of the crops that train


class CandidateCubes(Dataset[TensorBatch]):
    """The classifier's examples, by running number.

    Cubes with and without a nodule are made in the same way: most end above and below and are given other lung there
    or their end slices again, as many have their full context, and all have worn edges. Else the network would learn
    the making. A nodule that nobody rated teaches what a nodule is, and nothing of its ratings.

    Raises:
        InputRefusal: ``too-few-nodules`` where no nodule trains, or none has a malignancy.
    """

    def __init__(
        self,
        crops: Sequence[NoduleCrop],
        backgrounds: Sequence[Background],
        negatives: Negatives,
        settings: ClassificationTraining,
    ) -> None:
        self.all_crops = crops
        self.crops = usable_crops(crops, settings.hu_steps_limit)
        check_rated(self.crops)
        self.weights = sampling_weights(self.crops, settings.weight_by_readers, settings.iso_weight)
        self.backgrounds, self.negatives, self.settings = backgrounds, negatives, settings

    def __getitem__(self, number: int) -> TensorBatch:
        rng = np.random.default_rng([self.settings.loop.seed, number])
        crop = self.crops[rng.choice(len(self.crops), p=self.weights)]
        if self.backgrounds and rng.random() < self.settings.negative_share:
            target, known = np.zeros(len(OUTPUTS)), np.eye(1, len(OUTPUTS))[0]
            excerpt = self._negative(crop, rng)
        else:
            target, known = soft_targets(crop)
            excerpt = Excerpt.of_nodule(crop)
        cube = draw_excerpt(excerpt, self.backgrounds, self.settings.cube, rng)
        return _example(with_worn_edges(cube.hu, self.settings.worn_voxels, rng), target, known)

    def _negative(self, like: NoduleCrop, rng: np.random.Generator) -> Excerpt:
        if self.negatives.in_crops and rng.random() < self.settings.beside_share:
            mistake = self.negatives.in_crops[int(rng.integers(len(self.negatives.in_crops)))]
            return Excerpt.beside_nodule(self.all_crops[mistake.crop], mistake.center_ijk)
        background, place = self._place(rng)
        return Excerpt.of_lung(background, place, like)

    def _place(self, rng: np.random.Generator) -> tuple[Background, npt.NDArray[np.int32]]:
        if self.negatives.in_scans and rng.random() < self.settings.mined_share:
            mistake = self.negatives.in_scans[int(rng.integers(len(self.negatives.in_scans)))]
            return self.backgrounds[mistake.background], np.array(mistake.center_ijk, dtype=np.int32)
        background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        return background, background.lung_ijk[int(rng.integers(len(background.lung_ijk)))]


def check_rated(crops: Sequence[NoduleCrop]) -> None:
    """Check that the malignancy of one of the nodules is rated.

    Raises:
        InputRefusal: ``too-few-nodules``.
    """
    rated = (crop for crop in crops if np.isfinite(crop.ratings["malignancy"]))
    needed(rated, "on the training side whose malignancy is rated")


def soft_targets(crop: NoduleCrop) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The targets of OUTPUTS, 0-1: a nodule, and the mean ratings on their scales; and which are known, 1 or 0.

    A rating that nobody gave has the target 0, as NaN would pass through a mask: NaN times 0 is NaN.
    """
    ratings = [(crop.ratings[name] - low) / (high - low) for name, (low, high) in _SCALES.items()]
    targets = np.array([1.0, *ratings])
    known = np.isfinite(targets)
    return np.clip(np.where(known, targets, 0.0), 0, 1), known.astype(np.float64)


def positive_shares(
    crops: Sequence[NoduleCrop], weights: npt.NDArray[np.float64], negative_share: float
) -> tuple[float, float]:
    """How much of a batch is positive: nodules among cubes, and the mean malignancy target among rated nodules."""
    targets, known = np.array([soft_targets(crop) for crop in crops])[:, :, OUTPUTS.index("malignancy")].T
    return 1 - negative_share, float(np.average(targets, weights=weights * known))


def train_classifier(
    network: nn.Module,
    crops: Sequence[NoduleCrop],
    validation: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    negatives: Negatives,
    settings: ClassificationTraining,
    folder: Path,
    progress: Progress,
    *,
    resume: bool = False,
) -> Run:
    """Train a classifier; `folder` gets the checkpoint and the log. Returns the finished run.

    Args:
        network: From cubes to the logits of OUTPUTS; see `classifier_start.py`.
        crops: Nodules that train.
        validation: Nodules of other patients, for the log.
        backgrounds: Scans that train.
        negatives: Places where the finder or the outliner was wrong.
        settings: See `ClassificationTraining`.
        folder: For the checkpoint and the log.
        progress: Told of each step.
        resume: Go on from the folder's checkpoint.

    Raises:
        InputRefusal: ``too-few-nodules`` where no nodule trains, or none has a malignancy.
    """
    run = start_run(network, settings)
    if resume:
        run.resume(folder / "checkpoint.pt")
    judged = [crop for crop in validation if crop.num_readers >= 3 and crop.kind == "slices"]
    examples = CandidateCubes(crops, backgrounds, negatives, settings)
    fit(
        run,
        examples,
        _loss(examples),
        lambda average: {"malignancy_auc": _malignancy_auc(average, judged, settings)},
        settings.loop,
        folder,
        progress,
    )
    return run


def _loss(examples: CandidateCubes) -> Loss:
    """The loss that the settings describe for such examples."""
    settings = examples.settings
    negative_share = settings.negative_share if examples.backgrounds else 0.0
    shares = positive_shares(examples.crops, examples.weights, negative_share) if settings.balanced else ()
    weights = [1.0, 1.0] + [settings.characteristics_weight] * len(RATING_SCALES)
    return soft_label_loss(weights, settings.focal_gamma, shares)


def _malignancy_auc(network: nn.Module, crops: Sequence[NoduleCrop], settings: ClassificationTraining) -> float:
    """AUC of the malignancy logit, mean rating above 3 against below 3."""
    from sklearn.metrics import roc_auc_score  # of the training extra

    decided = [crop for crop in crops if is_decided(crop)]
    above = np.array([crop.ratings["malignancy"] > MALIGNANCY_MIDDLE for crop in decided])
    if above.all() or not above.any():
        return 0.5
    logits = read_logits(reader(network), decided, fed_by(settings.cube), 1)[:, OUTPUTS.index("malignancy")]
    return float(roc_auc_score(above, logits))


def _example(
    hu: npt.NDArray[np.float32], target: npt.NDArray[np.float64], known: npt.NDArray[np.float64]
) -> TensorBatch:
    return {
        "image": torch.from_numpy(scale_hu(hu, WINDOW_HU))[None],
        "target": torch.from_numpy(target.astype(np.float32)),
        "known": torch.from_numpy(known.astype(np.float32)),
    }
