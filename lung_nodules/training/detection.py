"""Teaching the finder: where a nodule may be.

The finder starts from the outliner's weights, which know what a nodule's tissue looks like, and learns what is none:
its cubes hold the nodule anywhere, and three of eight hold lung without a nodule, from places where the finder itself
was wrong on the training scans (hard negatives, mined again and again while it learns).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from scipy.special import expit
from torch import nn
from torch.utils.data import Dataset

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.evaluation.crops import judging_grid
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.patches import scale_hu
from lung_nodules.progress import Progress
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.cubes import CubeSettings, draw_background, draw_cube, with_slab
from lung_nodules.training.loop import LoopSettings, Run, TensorBatch, fit, start_run
from lung_nodules.training.mistakes import MiningSettings, Mistake, mine, smoothed
from lung_nodules.training.outline_losses import LossName, outline_loss
from lung_nodules.training.pasted import draw_pasted
from lung_nodules.training.segmentation import (
    WINDOW_HU,
    channels_last,
    fed_by,
    sampling_weights,
    to_batch,
    usable_crops,
)
from lung_nodules.training.unet_settings import UNetTraining, build_first


class DetectionTraining(UNetTraining):
    """Everything that decides a training run of the finder."""

    cube: CubeSettings = CubeSettings(center_jitter_mm=16.0)
    loop: LoopSettings = LoopSettings(steps=3000, learning_rate=1e-3)
    weight_by_readers: tuple[float, float, float] = (0.2, 0.5, 1.0)
    iso_weight: float = Field(default=2.0, ge=0)
    hu_steps_limit: int = Field(default=8, ge=0)
    loss: LossName = "dice-bce"
    cross_entropy_weight: float = Field(default=10.0, ge=0, description="Of what stands beside Dice in the loss.")
    paste_share: float = Field(
        default=0.0, ge=0, le=1, description="Of cubes with a nodule: pasted into a training scan or a phantom."
    )
    phantoms: int = Field(default=0, ge=0, le=50, description="Synthetic chests that stand beside the training scans.")
    negative_share: float = Field(default=0.375, ge=0, le=1, description="Cubes without a nodule.")
    mined_share: float = Field(default=0.6, ge=0, le=1, description="Of these, from mined places where there are any.")
    slab_share: float = Field(default=0.4, ge=0, le=1, description="Of these, with a slab of other lung pasted in.")
    mine_at: tuple[float, ...] = Field(default=(0.05, 0.25, 0.5, 0.75), description="Parts of the run.")
    mining: MiningSettings = MiningSettings()
    judged_threshold: float = Field(default=0.3, gt=0, lt=1, description="For the sensitivity in the log.")


class FinderCubes(Dataset[TensorBatch]):
    """The finder's examples, by running number."""

    def __init__(
        self,
        crops: Sequence[NoduleCrop],
        backgrounds: Sequence[Background],
        mistakes: Sequence[Mistake],
        settings: DetectionTraining,
    ) -> None:
        self.crops = usable_crops(crops, settings.hu_steps_limit)
        self.weights = sampling_weights(self.crops, settings.weight_by_readers, settings.iso_weight)
        self.backgrounds, self.mistakes, self.settings = backgrounds, mistakes, settings

    def __getitem__(self, number: int) -> TensorBatch:
        rng = np.random.default_rng([self.settings.loop.seed, number])
        if rng.random() < self.settings.negative_share:
            return self._negative(rng)
        crop = self.crops[rng.choice(len(self.crops), p=self.weights)]
        if self.settings.paste_share and self.backgrounds and rng.random() < self.settings.paste_share:
            background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
            return to_batch(draw_pasted(crop, background, self.settings.cube, rng))
        return to_batch(draw_cube(crop, self.backgrounds, self.settings.cube, rng))

    def _negative(self, rng: np.random.Generator) -> TensorBatch:
        cube = self.settings.cube
        background, place = self._place(rng)
        drawn = draw_background(background, place, cube, rng)
        if rng.random() < self.settings.slab_share:
            other = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
            drawn = with_slab(drawn, other, cube, rng)
        return to_batch(drawn)

    def _place(self, rng: np.random.Generator) -> tuple[Background, npt.NDArray[np.int32]]:
        if self.mistakes and rng.random() < self.settings.mined_share:
            mistake = self.mistakes[int(rng.integers(len(self.mistakes)))]
            reach = self.settings.cube.voxels // 3
            shift = rng.integers(-reach, reach + 1, 3)
            return self.backgrounds[mistake.background], (np.array(mistake.center_ijk) + shift).astype(np.int32)
        background = self.backgrounds[int(rng.integers(len(self.backgrounds)))]
        return background, background.lung_ijk[int(rng.integers(len(background.lung_ijk)))]


def train_finder(
    crops: Sequence[NoduleCrop],
    validation: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    settings: DetectionTraining,
    folder: Path,
    progress: Progress,
    *,
    initial: nn.Module | None = None,
    resume: bool = False,
) -> Run:
    """Train a finder; `folder` gets the checkpoint and the log. Returns the finished run.

    Args:
        crops: Nodules that train.
        validation: Outlined nodules of other patients: the share that is found is the figure ``found`` of the log.
        backgrounds: Scans that train.
        settings: See `DetectionTraining`.
        folder: For the checkpoint and the log.
        progress: Told of steps and of mining.
        initial: A network of the same architecture to start from, such as the outliner.
        resume: Go on from the folder's checkpoint, and with what was mined until then.

    Raises:
        InputRefusal: ``too-few-nodules`` where no nodule trains.
        UsageRefusal: ``initial-unfit``, or what `fit` and `Run.resume` refuse.
    """
    torch.manual_seed(settings.loop.seed)
    network = build_first(settings, initial)
    run = start_run(channels_last(network), settings)
    if resume:
        run.resume(folder / "checkpoint.pt")
    for end in _ends_of_rounds(settings):
        if run.step <= end:
            fit(
                run,
                FinderCubes(crops, backgrounds, kept_mistakes(run), settings),
                outline_loss(settings.cross_entropy_weight, settings.loss),
                lambda network: _share_found(network, validation, settings),
                settings.loop,
                folder,
                progress,
                until_step=end,
            )
        if run.kept.get("mined_at", 0) < end and not run.is_over(settings.loop):
            _mine_more(run, backgrounds, settings, progress)
    return run


def kept_mistakes(run: Run) -> list[Mistake]:
    """What a finder's run has mined so far; it is in the checkpoint."""
    return [Mistake(*row) for row in run.kept.get("mistakes", ())]


def _ends_of_rounds(settings: DetectionTraining) -> list[int]:
    """The steps after which mistakes are mined, and the last one."""
    steps = settings.loop.steps
    return sorted({int(part * steps) for part in settings.mine_at} - {0} | {steps})


def _mine_more(run: Run, backgrounds: Sequence[Background], settings: DetectionTraining, progress: Progress) -> None:
    found = mine(run.average.module, backgrounds, WINDOW_HU, settings.mining, progress)
    rows = [*run.kept.get("mistakes", ()), *(astuple(one) for one in found)]
    run.kept = {"mistakes": rows, "mined_at": run.step}


def _share_found(network: nn.Module, crops: Sequence[NoduleCrop], settings: DetectionTraining) -> dict[str, float]:
    """The figure of the log; none without crops, as in a fold whose patients have no nodule that is well read."""
    return {"found": float(np.mean(found_crops(network, crops, settings)))} if crops else {}


def found_crops(network: nn.Module, crops: Sequence[NoduleCrop], settings: DetectionTraining) -> list[float]:
    """1 for each nodule in which the probability somewhere reaches the threshold, else 0; end slices repeated."""
    peaks = (probability[inside].max(initial=0.0) for probability, inside in _read_crops(network, crops, settings))
    return [float(peak >= settings.judged_threshold) for peak in peaks]


def candidate_scores(network: nn.Module, crops: Sequence[NoduleCrop], settings: DetectionTraining) -> list[float]:
    """The score that each nodule would have as a candidate; end slices repeated."""
    spacing_mm = settings.cube.spacing_mm
    return [
        float(smoothed(probability, spacing_mm)[inside].max(initial=0.0))
        for probability, inside in _read_crops(network, crops, settings)
    ]


def _read_crops(
    network: nn.Module, crops: Sequence[NoduleCrop], settings: DetectionTraining
) -> Iterator[tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]]:
    """For each crop the finder's probability in the judging cube, and where the nodule is."""
    read = reader(network)
    for crop in crops:
        grid = judging_grid(crop, fed_by(settings.cube))
        logits = read(scale_hu(grid.sample(crop.image), WINDOW_HU)[None, None])[0, 0]
        yield expit(logits), grid.sample(crop.consensus.astype(np.uint8)) >= 0.5
