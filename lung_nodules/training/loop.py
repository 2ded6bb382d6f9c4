"""The one training loop. What is special to a network (examples, loss, validation) is handed in.

A step is: draw a batch, forward under bf16 autocast, loss, stop if it is not finite, backward, clip, AdamW on a cosine
schedule with warm-up, update the moving average of the weights. The moving average is what is validated and kept.

Examples are drawn by their running number, so a run that resumes from a checkpoint sees what it would have seen.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Self

import torch
import yaml
from pydantic import Field, ValidationError
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from lung_nodules.errors import UsageRefusal
from lung_nodules.progress import Progress
from lung_nodules.settings import Section
from lung_nodules.training.cubes import CubeSettings

TensorBatch = dict[str, Tensor]
Forward = Callable[[Tensor], Tensor]
Loss = Callable[[Forward, TensorBatch], Tensor]
Validate = Callable[[nn.Module], dict[str, float]]


class LoopSettings(Section):
    """What every training run decides."""

    steps: int = Field(6000, ge=1)
    batch_size: int = Field(8, ge=1, le=512)
    learning_rate: float = Field(3e-3, gt=0, le=1)
    encoder_learning_rate_scale: float = Field(1.0, gt=0, le=1, description="For parameters named encoder.*")
    weight_decay: float = Field(0.01, ge=0, le=1)
    warmup_steps: int = Field(100, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.998, ge=0, lt=1)
    seed: int = 0
    checkpoint_minutes: float = Field(10.0, gt=0)
    validate_every: int = Field(1000, ge=1, description="Steps between validations.")
    num_workers: int = Field(1, ge=0, le=16)
    compiled: bool = Field(
        False, description="torch.compile the network: a minute of start-up, a quarter faster after."
    )


class TrainingSettings(Section):
    """What the recipes have in common."""

    cube: CubeSettings = CubeSettings()
    loop: LoopSettings = LoopSettings()

    def changed(self, assignments: Sequence[str]) -> Self:
        """The same settings but for assignments such as ``loop.steps=100``, the values written as in YAML.

        Raises:
            UsageRefusal: ``bad-settings`` where a name is not known or a value is out of bounds.
        """
        document = self.model_dump()
        try:
            for assignment in assignments:
                name, _, value = assignment.partition("=")
                *sections, last = name.split(".")
                place = reduce(lambda part, section: part[section], sections, document)
                place[last] = yaml.safe_load(value)
            return self.model_validate(document)
        except (KeyError, TypeError, yaml.YAMLError, ValidationError) as error:
            raise UsageRefusal("bad-settings", f"The training settings cannot be used: {error}.") from error


class NotFiniteError(RuntimeError):
    """The loss was not a finite number; the weights were not updated."""


@dataclass
class Run:
    """State of a run: all that a checkpoint holds."""

    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        temporary = path.with_suffix(".partial")
        torch.save(state, temporary)
        temporary.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, weights_only=True, map_location="cpu")
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]


def start_run(network: nn.Module, settings: LoopSettings) -> Run:
    """Make the optimiser and the moving average of a network."""
    encoder = [p for name, p in network.named_parameters() if name.startswith("encoder.")]
    rest = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    groups: list[dict[str, Any]] = [{"params": rest, "scale": 1.0}]
    if encoder:
        groups.append({"params": encoder, "scale": settings.encoder_learning_rate_scale})
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)
    average = AveragedModel(network, multi_avg_fn=_moving_average(settings), use_buffers=True)
    return Run(network, average, optimizer)


def fit(
    run: Run,
    examples: Dataset[TensorBatch],
    loss: Loss,
    validate: Validate,
    settings: LoopSettings,
    folder: Path,
    progress: Progress,
    until_step: int | None = None,
) -> None:
    """Train until `until_step` (by default to the end), validate on the way, and leave a checkpoint.

    Args:
        run: Where the run stands; changed in place.
        examples: Draws the example of a running number; ``examples[n]`` is always the same.
        loss: From the network and a batch to the mean loss.
        validate: From the averaged network to named figures.
        settings: See `LoopSettings`; the learning rate is scheduled over ``settings.steps``.
        folder: Gets `checkpoint.pt` and `log.jsonl`.
        progress: Told of each step.
        until_step: Stop here, for a run in rounds.

    Raises:
        NotFiniteError: When the loss is not a finite number.
    """
    end = settings.steps if until_step is None else min(until_step, settings.steps)
    device = next(run.network.parameters()).device
    forward: Forward = torch.compile(run.network) if settings.compiled else run.network
    started, saved = time.monotonic() - run.seconds, time.monotonic()
    losses: list[float] = []
    with progress.stage("training", end - run.step) as advance:
        for batch in _batches(examples, run.step, end, settings):
            losses.append(train_step(run, forward, {k: v.to(device) for k, v in batch.items()}, loss, settings))
            run.step, run.seconds = run.step + 1, time.monotonic() - started
            advance(1)
            if run.step % settings.validate_every == 0 or run.step == end:
                _log(folder, run, losses, validate(run.average.module))
                losses = []
            if time.monotonic() - saved > settings.checkpoint_minutes * 60 or run.step == end:
                run.save(folder / "checkpoint.pt")
                saved = time.monotonic()


def train_step(run: Run, forward: Forward, batch: TensorBatch, loss: Loss, settings: LoopSettings) -> float:
    """One update of the weights; the value of the loss before it."""
    run.network.train()
    for group in run.optimizer.param_groups:
        group["lr"] = settings.learning_rate * group["scale"] * schedule(run.step, settings)
    device_type = next(iter(batch.values())).device.type
    with torch.autocast(device_type, dtype=torch.bfloat16):
        value = loss(forward, batch)
    if not torch.isfinite(value):
        raise NotFiniteError(f"the loss is {value.item()} at step {run.step}")
    run.optimizer.zero_grad(set_to_none=True)
    value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    nn.utils.clip_grad_norm_(run.network.parameters(), settings.clip_norm)
    run.optimizer.step()
    run.average.update_parameters(run.network)
    return float(value.detach())


def schedule(step: int, settings: LoopSettings) -> float:
    """The learning rate's factor: a linear warm-up, then a cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _moving_average(settings: LoopSettings) -> Any:
    return get_ema_multi_avg_fn(settings.ema_decay)  # type: ignore[no-untyped-call]  # torch leaves it untyped


def _batches(examples: Dataset[TensorBatch], start: int, end: int, settings: LoopSettings) -> Iterator[TensorBatch]:
    numbers = range(start * settings.batch_size, end * settings.batch_size)
    return iter(
        DataLoader(
            examples,
            batch_size=settings.batch_size,
            sampler=numbers,
            num_workers=settings.num_workers,
            prefetch_factor=4 if settings.num_workers else None,
        )
    )


def _log(folder: Path, run: Run, losses: list[float], figures: dict[str, float]) -> None:
    line = {
        "step": run.step,
        "minutes": round(run.seconds / 60, 2),
        "loss": sum(losses) / max(len(losses), 1),
        **figures,
    }
    with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps({key: round(value, 5) for key, value in line.items()}) + "\n")
