"""Teaching the Vision Transformer: nodule or not, suspicion, and LIDC's characteristics.

Targets are the readers' mean ratings, scaled to 0-1 and used as soft labels, so that a vote of two against two is not a
coin. Nodules that more readers marked weigh more. What is no nodule is lung of the training scans and of the crops
beside their nodules, above all the places where the finder or the outliner was wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.utils.data import Dataset

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.networks.build import build_network
from lung_nodules.networks.patches import flips, scale_hu
from lung_nodules.networks.record import Architecture
from lung_nodules.networks.vit import HybridViT
from lung_nodules.progress import Progress
from lung_nodules.stages.classification import RATING_SCALES
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.cubes import CubeSettings, Excerpt, draw_excerpt, with_worn_edges
from lung_nodules.training.loop import Forward, LoopSettings, Loss, Run, TensorBatch, TrainingSettings, fit, start_run
from lung_nodules.training.mistakes import CropMistake, MiningSettings, Mistake
from lung_nodules.training.reading import judging_grid, reader
from lung_nodules.training.segmentation import WINDOW_HU, channels_last, sampling_weights, usable_crops

MALIGNANCY_SCALE = (1, 5)
MALIGNANCY_MIDDLE = 3  # "indeterminate"
OUTPUTS = ("nodule", "malignancy", *RATING_SCALES)
_SCALES = {"malignancy": MALIGNANCY_SCALE, **RATING_SCALES}


class ClassificationTraining(TrainingSettings):
    """Everything that decides a training run of the classifier."""

    plain: bool = Field(default=False, description="A plain ViT on voxels instead of the hybrid on the encoder.")
    channels: tuple[int, ...] = (16, 32, 64, 128)
    token_voxels: int = Field(default=8, ge=2, description="Of the plain ViT.")
    hidden_size: int = Field(default=128, ge=8)
    num_layers: int = Field(default=4, ge=1)
    num_heads: int = Field(default=4, ge=1)
    dropout: float = Field(default=0.1, ge=0, lt=1)
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


@dataclass(frozen=True)
class Negatives:
    """Places that look like nodules to the finder or the outliner, and are none."""

    in_scans: Sequence[Mistake] = ()  # numbers of the backgrounds that train
    in_crops: Sequence[CropMistake] = ()  # numbers of the crops that train


class CandidateCubes(Dataset[TensorBatch]):
    """The classifier's examples, by running number.

    Cubes with and without a nodule are made in the same way: most end above and below and are given other lung there
    or their end slices again, as many have their full context, and all have worn edges. Else the network would learn
    the making.
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
        self.weights = sampling_weights(self.crops, settings.weight_by_readers, settings.iso_weight)
        self.backgrounds, self.negatives, self.settings = backgrounds, negatives, settings

    def __getitem__(self, number: int) -> TensorBatch:
        rng = np.random.default_rng([self.settings.loop.seed, number])
        crop = self.crops[rng.choice(len(self.crops), p=self.weights)]
        if self.backgrounds and rng.random() < self.settings.negative_share:
            target, known = np.zeros(len(OUTPUTS)), np.eye(1, len(OUTPUTS))[0]
            excerpt = self._negative(crop, rng)
        else:
            target, known = soft_targets(crop), np.ones(len(OUTPUTS))
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


def soft_targets(crop: NoduleCrop) -> npt.NDArray[np.float64]:
    """The targets of OUTPUTS, 0-1: a nodule, and the mean ratings on their scales."""
    ratings = [(crop.ratings[name] - low) / (high - low) for name, (low, high) in _SCALES.items()]
    return np.asarray(np.clip(np.array([1.0, *ratings]), 0, 1))


def build_classifier(settings: ClassificationTraining) -> nn.Module:
    """The network that the settings describe, with random weights."""
    return build_network(architecture(settings))


def architecture(settings: ClassificationTraining) -> Architecture:
    """The network that the settings describe, as it stands in the record."""
    own = {"token_voxels": settings.token_voxels} if settings.plain else {"channels": list(settings.channels)}
    shared = {
        "patch_voxels": settings.cube.voxels,
        "hidden_size": settings.hidden_size,
        "num_layers": settings.num_layers,
        "num_heads": settings.num_heads,
        "num_outputs": len(OUTPUTS),
        "dropout": settings.dropout,
    }
    return Architecture(name="plain-vit" if settings.plain else "hybrid-vit", arguments=own | shared)


def train_classifier(
    crops: Sequence[NoduleCrop],
    validation: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    negatives: Negatives,
    settings: ClassificationTraining,
    folder: Path,
    progress: Progress,
    *,
    outliner: nn.Module | None = None,
    resume: bool = False,
) -> Run:
    """Train a classifier; `folder` gets the checkpoint and the log. Returns the finished run.

    Args:
        crops: Nodules that train.
        validation: Nodules of other patients, for the log.
        backgrounds: Scans that train.
        negatives: Places where the finder or the outliner was wrong.
        settings: See `ClassificationTraining`.
        folder: For the checkpoint and the log.
        progress: Told of each step.
        outliner: The trained outliner whose encoder the hybrid starts from.
        resume: Go on from the folder's checkpoint.
    """
    torch.manual_seed(settings.loop.seed)
    network = build_classifier(settings)
    if outliner is not None and isinstance(network, HybridViT):
        network.encoder.load_unet(outliner)
    run = start_run(channels_last(network), settings.loop)
    if resume:
        run.resume(folder / "checkpoint.pt")
    judged = [crop for crop in validation if crop.num_readers >= 3 and crop.kind == "slices"]
    fit(
        run,
        CandidateCubes(crops, backgrounds, negatives, settings),
        soft_label_loss(settings.characteristics_weight),
        lambda average: {"malignancy_auc": _malignancy_auc(average, judged, settings)},
        settings.loop,
        folder,
        progress,
    )
    return run


def soft_label_loss(characteristics_weight: float) -> Loss:
    """Cross-entropy with soft labels: nodule, malignancy and, with a lower weight, the characteristics."""
    weight = torch.tensor([1.0, 1.0] + [characteristics_weight] * len(RATING_SCALES))

    def loss(network: Forward, batch: TensorBatch) -> Tensor:
        logits = network(batch["image"].contiguous(memory_format=torch.channels_last_3d)).float()
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, batch["target"], reduction="none")
        known = batch["known"]
        per_output = (entropy * known).sum(dim=0) / known.sum(dim=0).clamp(min=1)
        return (per_output * weight.to(per_output.device)).sum()

    return loss


def read_logits(
    network: nn.Module, crops: Sequence[NoduleCrop], cube: CubeSettings, num_flips: int
) -> npt.NDArray[np.float32]:
    """The network's logits for each crop's nodule, (crops, outputs), averaged over flips; end slices repeated."""
    cubes = (judging_grid(crop, cube, number).sample(crop.image) for number, crop in enumerate(crops))
    return read_cubes(network, cubes, num_flips)


def read_cubes(network: nn.Module, cubes: Iterable[npt.NDArray[Any]], num_flips: int) -> npt.NDArray[np.float32]:
    """The network's logits for cubes in HU, (cubes, outputs), averaged over flips."""
    read = reader(network)
    rows = []
    for cube in cubes:
        image = scale_hu(cube, WINDOW_HU)
        batch = np.stack([np.flip(image, axes) for axes in flips(num_flips)])[:, None]
        rows.append(read(np.ascontiguousarray(batch)).mean(axis=0))
    return np.array(rows, dtype=np.float32).reshape(len(rows), len(OUTPUTS))


def _malignancy_auc(network: nn.Module, crops: Sequence[NoduleCrop], settings: ClassificationTraining) -> float:
    """AUC of the malignancy logit, mean rating above 3 against below 3."""
    from sklearn.metrics import roc_auc_score  # of the training extra

    decided = [crop for crop in crops if crop.ratings["malignancy"] != MALIGNANCY_MIDDLE]
    above = np.array([crop.ratings["malignancy"] > MALIGNANCY_MIDDLE for crop in decided])
    if above.all() or not above.any():
        return 0.5
    logits = read_logits(network, decided, settings.cube, 1)[:, OUTPUTS.index("malignancy")]
    return float(roc_auc_score(above, logits))


def _example(
    hu: npt.NDArray[np.float32], target: npt.NDArray[np.float64], known: npt.NDArray[np.float64]
) -> TensorBatch:
    return {
        "image": torch.from_numpy(scale_hu(hu, WINDOW_HU))[None],
        "target": torch.from_numpy(target.astype(np.float32)),
        "known": torch.from_numpy(known.astype(np.float32)),
    }
