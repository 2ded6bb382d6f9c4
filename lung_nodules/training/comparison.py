"""The U-Net's variants side by side: each taught by the outliner's recipe on the same split, steps and examples.

Judged on the validation patients, as a choice among variants is a choice; the test patients' figure is in each
variant's own record. Milliseconds are those of the runtime that the line would use.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.errors import ModelRefusal
from lung_nodules.evaluation.bootstrap import mean_figure
from lung_nodules.evaluation.crops import crop_dice
from lung_nodules.evaluation.figures import Figure
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import Model, load_model
from lung_nodules.networks.runtime import Network, open_network
from lung_nodules.networks.unet import NNUNET_CHANNELS, Variant
from lung_nodules.progress import Progress
from lung_nodules.settings import RuntimeSettings
from lung_nodules.training.recipes import teach_segmentation
from lung_nodules.training.segmentation import SegmentationTraining
from lung_nodules.training.workshop import Workshop, tuning_nodules

FLIPS = 8
RUNS = {48: 15, 96: 5}  # voxels along a side: timed runs; the outliner's cube and the finder's window


@dataclass(frozen=True)
class Compared:
    """What is known of one variant."""

    variant: Variant
    channels: tuple[int, ...]
    num_parameters: int
    dice: Figure  # centre known to 2 mm, native grid, see `tuning_nodules`
    milliseconds: dict[int, float]  # of one cube by its side in voxels, median
    minutes: str  # wall time of its training
    runtime: str


def compare_variants(
    variants: Sequence[Variant],
    workshop: Workshop,
    settings: SegmentationTraining,
    runtime: RuntimeSettings,
    progress: Progress,
) -> Iterator[Compared]:
    """Teach and judge one variant after the other.

    Args:
        variants: In this order.
        workshop: Its `run` gets a folder a variant, with checkpoint, log and model; `models` is not written to. A
            variant that has been taught with the same settings is not taught again.
        settings: For all, but that `nnunet` has the channels of its plan.
        runtime: What is timed.
        progress: Told of the training.

    Raises:
        InputRefusal: ``too-few-nodules`` where no outlined nodule trains, or none tunes.
    """
    judged = tuning_nodules(read_crops(workshop.crops, [Split.VALIDATION]))
    for variant in variants:
        channels = NNUNET_CHANNELS if variant == "nnunet" else settings.channels
        changed = settings.model_copy(update={"variant": variant, "channels": channels})
        own = replace(workshop, run=workshop.run / variant, models=workshop.run / variant / "models", initial=None)
        yield _judge(_taught(own, changed, progress), judged, changed, runtime)


def _taught(workshop: Workshop, settings: SegmentationTraining, progress: Progress) -> Model:
    folder = workshop.models / "segmentation"
    try:
        model = load_model(folder)
    except ModelRefusal:
        model = None
    if model is None or model.record.training["settings"] != settings.model_dump(mode="json"):
        checkpoint = workshop.run / "checkpoint.pt"
        teach_segmentation(replace(workshop, resume=workshop.resume and checkpoint.is_file()), settings, progress)
    return load_model(folder)


def _judge(
    model: Model, judged: Sequence[NoduleCrop], settings: SegmentationTraining, runtime: RuntimeSettings
) -> Compared:
    network = open_network(model, runtime)
    threshold = model.record.operating_point()[1].threshold
    dices = crop_dice(network, judged, model.record.preprocessing, threshold, FLIPS)
    return Compared(
        variant=settings.variant,
        channels=settings.channels,
        num_parameters=count_parameters(model),
        dice=mean_figure([crop.patient_id for crop in judged], dices),
        milliseconds={side: time_cube(network, side, runs) for side, runs in RUNS.items()},
        minutes=model.record.training["wall_time"],
        runtime=f"{network.identity.runtime}, {network.identity.device}",
    )


def count_parameters(model: Model) -> int:
    """Learned numbers of a network."""
    return sum(parameter.numel() for parameter in load_network(model).parameters())


def time_cube(network: Network, side: int, runs: int) -> float:
    """Milliseconds that a network needs for one cube, median after one run that does not count."""
    cube = np.random.default_rng(0).random((1, 1, side, side, side), dtype=np.float32)
    seconds = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        network(cube)
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds[1:]) * 1000


def as_markdown(rows: Sequence[Compared]) -> str:
    """The table, as documents show it."""
    sides = " | ".join(f"ms, {side}^3" for side in RUNS)
    lines = [
        f"| variant | channels | parameters | Dice (n {rows[0].dice.n if rows else 0}) | {sides} | trained for |",
        "| --- | --- | ---: | --- |" + " ---: |" * (len(RUNS) + 1),
    ]
    for row in rows:
        dice = f"{row.dice.value:.3f}"
        if row.dice.low is not None and row.dice.high is not None:
            dice += f" ({row.dice.low:.3f}-{row.dice.high:.3f})"
        times = " | ".join(f"{row.milliseconds[side]:.1f}" for side in RUNS)
        channels = ", ".join(map(str, row.channels))
        lines.append(f"| {row.variant} | {channels} | {row.num_parameters:,} | {dice} | {times} | {row.minutes} |")
    return "\n".join(lines)


def write_comparison(rows: Sequence[Compared], path: Path) -> None:
    """Write the table under a line that names the runtime."""
    runtime = rows[0].runtime if rows else "nothing measured"
    path.write_text(f"{as_markdown(rows)}\n\nMilliseconds: {runtime}.\n", encoding="utf-8")
