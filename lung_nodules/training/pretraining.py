"""Masked pre-training: what lung looks like, learned from every voxel of the training side without a label.

Cubes come from the whole training scans and from the training side's crops; no rating and no outline is read. Out
comes a folder with the weights of a Vision Transformer without its head, for ``train classification --initial``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.utils.data import Dataset

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.errors import ModelRefusal, UsageRefusal
from lung_nodules.networks.build import build_network
from lung_nodules.networks.masked import MaskedHybrid, MaskedPlain, without_head
from lung_nodules.networks.patches import scale_hu
from lung_nodules.networks.record import Architecture, sha256_of
from lung_nodules.networks.starting import check_alike
from lung_nodules.networks.vit import HybridViT
from lung_nodules.progress import Progress
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.classifier_shape import ClassifierShape, architecture
from lung_nodules.training.cubes import Cube, CubeSettings, draw_background, draw_cube
from lung_nodules.training.loop import Forward, LoopSettings, Run, TensorBatch, fit, start_run
from lung_nodules.training.ranks import leave_to_first_rank
from lung_nodules.training.segmentation import WINDOW_HU, channels_last

RECORD_FILE, WEIGHTS_FILE = "encoder.json", "encoder.safetensors"
NUM_JUDGED = 64  # cubes of validation patients


class PretrainingSettings(ClassifierShape):
    """Everything that decides a masked pre-training; the shape must be that of the classification to come."""

    cube: CubeSettings = CubeSettings(center_jitter_mm=12.0, lung_context=1.0)
    loop: LoopSettings = LoopSettings(steps=3000, batch_size=16, learning_rate=1e-3, weight_decay=0.05)
    masked_share: float = Field(default=0.6, gt=0, lt=1, description="Of the blocks of a cube.")
    lung_share: float = Field(default=0.6, ge=0, le=1, description="Cubes from whole scans; the others are of crops.")


class EncoderRecord(BaseModel):
    """What stands beside a pre-trained encoder's weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    architecture: Architecture
    num_patients: int
    steps: int
    wall_time: str
    settings: dict[str, Any]
    git_commit: str
    weights_sha256: str


class UnlabelledCubes(Dataset[TensorBatch]):
    """Augmented cubes by running number, without labels."""

    def __init__(
        self, crops: Sequence[NoduleCrop], backgrounds: Sequence[Background], settings: PretrainingSettings
    ) -> None:
        self.crops, self.backgrounds, self.settings = crops, backgrounds, settings

    def __getitem__(self, number: int) -> TensorBatch:
        rng = np.random.default_rng([self.settings.loop.seed, number])
        return {"image": torch.from_numpy(scale_hu(self._draw(rng).hu, WINDOW_HU))[None]}

    def _draw(self, rng: np.random.Generator) -> Cube:
        if self.backgrounds and (not self.crops or rng.random() < self.settings.lung_share):
            background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
            place = background.lung_ijk[int(rng.integers(len(background.lung_ijk)))]
            return draw_background(background, place, self.settings.cube, rng)
        crop = self.crops[int(rng.integers(len(self.crops)))]
        return draw_cube(crop, self.backgrounds, self.settings.cube, rng)


def pretrain(
    crops: Sequence[NoduleCrop],
    validation: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    settings: PretrainingSettings,
    folder: Path,
    progress: Progress,
    *,
    outliner: nn.Module | None = None,
    resume: bool = False,
) -> Run:
    """Pre-train; `folder` gets the checkpoint and the log. The finished run's network has `trained()`.

    Args:
        crops: Crops of patients who train; those without an outline in them are left out.
        validation: Crops of other patients, for the log: the lower their error, the better.
        backgrounds: Scans that train.
        settings: See `PretrainingSettings`.
        folder: For the checkpoint and the log.
        progress: Told of each step.
        outliner: A trained outliner whose encoder the hybrid starts from.
        resume: Go on from the folder's checkpoint.

    Raises:
        UsageRefusal: ``bad-settings`` for the ImageNet encoder, which is pre-trained already.
    """
    torch.manual_seed(settings.loop.seed)
    run = start_run(channels_last(build_masked(settings, outliner)), settings)
    if resume:
        run.resume(folder / "checkpoint.pt")
    with_outline = [crop for crop in crops if crop.consensus.any()]
    judged = UnlabelledCubes([crop for crop in validation if crop.consensus.any()], (), settings)
    fit(
        run,
        UnlabelledCubes(with_outline, backgrounds, settings),
        _loss,
        lambda average: {"minus_masked_error": -_mean_error(average, judged)},
        settings.loop,
        folder,
        progress,
    )
    return run


def build_masked(settings: PretrainingSettings, outliner: nn.Module | None = None) -> MaskedHybrid | MaskedPlain:
    """The network that fills in what it is not shown, with random weights but for the outliner's encoder."""
    described = architecture(settings)
    if settings.encoder == "imagenet":
        raise UsageRefusal("bad-settings", "The ImageNet encoder is pre-trained already.")
    if settings.encoder == "plain":
        return MaskedPlain(described, settings.masked_share)
    trunk = build_network(described)
    assert isinstance(trunk, HybridViT)
    if outliner is not None:
        trunk.encoder.load_unet(outliner)
    return MaskedHybrid(trunk, settings.masked_share)


def write_encoder(
    folder: Path, run: Run, settings: PretrainingSettings, num_patients: int, git_commit: str
) -> EncoderRecord:
    """Write the averaged encoder and what it is; an older one in the folder is replaced.

    Raises:
        RankFinished: This is not the first rank, which alone writes.
    """
    from safetensors.torch import save_file

    leave_to_first_rank()
    average = run.average.module
    assert isinstance(average, MaskedHybrid | MaskedPlain)
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS_FILE
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in average.trained().items()}, weights)
    weights.chmod(0o644)  # safetensors lets only the owner read
    record = EncoderRecord(
        architecture=architecture(settings),
        num_patients=num_patients,
        steps=run.step,
        wall_time=str(timedelta(seconds=round(run.seconds))),
        settings=settings.model_dump(mode="json"),
        git_commit=git_commit,
        weights_sha256=sha256_of(weights),
    )
    (folder / RECORD_FILE).write_text(json.dumps(record.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
    return record


def load_encoder(folder: Path, network: nn.Module) -> None:
    """Give a classifier the weights of a pre-trained encoder; its head keeps its own.

    Raises:
        ModelRefusal: ``model-altered`` or ``model-record-invalid``.
        UsageRefusal: ``initial-unfit`` where the encoder is another network's.
    """
    from safetensors.torch import load_file

    weights = folder / WEIGHTS_FILE
    try:
        record = EncoderRecord.model_validate_json((folder / RECORD_FILE).read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ModelRefusal("model-record-invalid", "The record of the pre-trained encoder cannot be read.") from error
    if not weights.is_file() or sha256_of(weights) != record.weights_sha256:
        raise ModelRefusal("model-altered", "The weights of the pre-trained encoder are not the ones of its record.")
    give_trunk(network, load_file(weights))


def give_trunk(network: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Load all of a classifying ViT but its head.

    Raises:
        UsageRefusal: ``initial-unfit``.
    """
    own = without_head(network)
    check_alike(own, tensors, "Pre-train with the same encoder, sizes and cube as the classification.")
    network.load_state_dict(tensors, strict=False)


def _loss(network: Forward, batch: TensorBatch) -> Tensor:
    return network(batch["image"].contiguous(memory_format=torch.channels_last_3d)).mean()


@torch.inference_mode()
def _mean_error(network: nn.Module, cubes: UnlabelledCubes) -> float:
    """The mean error on a fixed set of cubes with fixed masks."""
    if not cubes.crops:
        return float("nan")
    network.eval()
    device = next(network.parameters()).device
    errors = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for start in range(0, NUM_JUDGED, 8):
            images = torch.stack([cubes[number]["image"] for number in range(start, start + 8)])
            errors.append(network(images.to(device)).float().mean().item())
    return float(np.mean(errors))
