"""Teaching the outliner: where a nodule ends, its centre known to a few millimetres.

Method and figures: a residual U-Net on 48 mm cubes at 1 mm; soft consensus of the readers as target; Dice plus weighted
cross-entropy over the voxels whose label is known (`outline_losses`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import nn
from torch.utils.data import Dataset

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.evaluation.crops import crop_dice, nearest_outline, read_crop
from lung_nodules.evaluation.overlap import dice
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.patches import scale_hu
from lung_nodules.networks.record import Preprocessing
from lung_nodules.networks.unet import Variant
from lung_nodules.progress import Progress
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.cubes import Cube, CubeSettings, draw_cube
from lung_nodules.training.loop import LoopSettings, Run, TensorBatch, fit, start_run
from lung_nodules.training.needed import needed
from lung_nodules.training.outline_losses import LossName, outline_loss
from lung_nodules.training.pseudo import PSEUDO, PseudoSettings
from lung_nodules.training.unet_settings import UNetTraining, build_first

WINDOW_HU = (-1000.0, 400.0)
LOG_THRESHOLD = 0.4
THRESHOLDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)  # tried on validation patients


class SegmentationTraining(UNetTraining):
    """Everything that decides a training run of the outliner."""

    loop: LoopSettings = LoopSettings(best_figure="dice")
    weight_by_readers: tuple[float, float, float] = Field(
        (0.2, 0.5, 1.0), description="Sampling weight of nodules outlined by one, two, three or more readers."
    )
    iso_weight: float = Field(2.0, ge=0, description="Sampling weight of crops with full context, relative.")
    hu_steps_limit: int = Field(8, ge=0, description="Crops whose HU scale was chained further are left out.")
    pseudo: PseudoSettings = PseudoSettings()
    loss: LossName = "dice-bce"
    cross_entropy_weight: float = Field(10.0, ge=0, description="Of what stands beside Dice in the loss.")


class NoduleCubes(Dataset[TensorBatch]):
    """The outliner's examples, by running number."""

    def __init__(
        self, crops: Sequence[NoduleCrop], backgrounds: Sequence[Background], settings: SegmentationTraining
    ) -> None:
        self.crops = usable_crops(crops, settings.hu_steps_limit)
        self.weights = sampling_weights(
            self.crops, settings.weight_by_readers, settings.iso_weight, settings.pseudo.weight
        )
        self.backgrounds = backgrounds
        self.settings = settings

    def __getitem__(self, number: int) -> TensorBatch:
        rng = np.random.default_rng([self.settings.loop.seed, number])
        crop = self.crops[rng.choice(len(self.crops), p=self.weights)]
        return to_batch(draw_cube(crop, self.backgrounds, self.settings.cube, rng))


def train_outliner(
    crops: Sequence[NoduleCrop],
    validation: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    settings: SegmentationTraining,
    folder: Path,
    progress: Progress,
    *,
    initial: nn.Module | None = None,
    resume: bool = False,
) -> Run:
    """Train an outliner; `folder` gets the checkpoint and the log. Returns the finished run.

    Args:
        crops: Nodules that train.
        validation: Outlined nodules of other patients, one at least: their mean Dice is the figure ``dice`` of the log.
        backgrounds: Scans that train.
        settings: See `SegmentationTraining`.
        folder: For the checkpoint and the log.
        progress: Told of steps.
        initial: A network of the same architecture to start from.
        resume: Go on from the folder's checkpoint.

    Raises:
        InputRefusal: ``too-few-nodules`` where no nodule trains.
        UsageRefusal: ``initial-unfit``, or what `fit` and `Run.resume` refuse.
    """
    torch.manual_seed(settings.loop.seed)
    network = build_first(settings, initial)
    run = start_run(channels_last(network), settings)
    if resume:
        run.resume(folder / "checkpoint.pt")
    fed = fed_by(settings.cube)
    fit(
        run,
        NoduleCubes(crops, backgrounds, settings),
        outline_loss(settings.cross_entropy_weight, settings.loss),
        lambda average: {"dice": float(np.mean(crop_dice(reader(average), validation, fed, LOG_THRESHOLD)))},
        settings.loop,
        folder,
        progress,
    )
    return run


def unet_architecture(variant: Variant, channels: Sequence[int], deep_supervision: bool) -> dict[str, Any]:
    """What a record says of a U-Net; deep supervision is named only where there is some."""
    supervised = {"deep_supervision": True} if deep_supervision else {}
    return {"name": "unet", "arguments": {"variant": variant, "channels": list(channels), **supervised}}


def channels_last(network: nn.Module) -> nn.Module:
    """The network with its weights in the memory format that runs fastest on CPUs and tensor cores."""
    formatted: nn.Module = network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return formatted


def usable_crops(crops: Sequence[NoduleCrop], hu_steps_limit: int) -> list[NoduleCrop]:
    """The crops whose HU can be trusted and whose consensus is not empty.

    Raises:
        InputRefusal: ``too-few-nodules`` where there are none.
    """
    usable = (crop for crop in crops if crop.hu_steps_max <= hu_steps_limit and crop.consensus.any())
    return needed(usable, "that trains, is outlined and has trusted HU")


def sampling_weights(
    crops: Sequence[NoduleCrop], by_readers: Sequence[float], iso_weight: float, pseudo_weight: float = 0.0
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """How often each crop is drawn; sums to one."""
    weights = np.array([by_readers[min(max(crop.num_masks, 1), 3) - 1] for crop in crops])
    weights *= np.array([iso_weight if crop.kind == "iso" else 1.0 for crop in crops])
    weights[[crop.kind == PSEUDO for crop in crops]] = pseudo_weight
    return np.asarray(weights / weights.sum())


def to_batch(cube: Cube) -> TensorBatch:
    """One cube as tensors with a channel axis."""
    return {
        "image": torch.from_numpy(scale_hu(cube.hu, WINDOW_HU))[None],
        "target": torch.from_numpy(cube.target)[None],
        "known": torch.from_numpy(cube.known)[None],
    }


def fed_by(cube: CubeSettings) -> Preprocessing:
    """What a network that learns from such cubes is fed."""
    return Preprocessing(spacing_mm=cube.spacing_mm, window_hu=WINDOW_HU, patch_voxels=cube.voxels)


def choose_threshold(network: nn.Module, crops: Sequence[NoduleCrop], fed: Preprocessing, num_flips: int) -> float:
    """The threshold with the best mean Dice over one crop and more."""
    read = reader(network)
    scores = []
    for crop in crops:
        one = read_crop(read, crop, fed, num_flips)
        scores.append([dice(nearest_outline(one, threshold, crop), crop.consensus) for threshold in THRESHOLDS])
    return THRESHOLDS[int(np.mean(scores, axis=0).argmax())]
