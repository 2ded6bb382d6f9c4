"""The one training loop. What is special to a network (examples, loss, validation) is handed in.

A step is: draw a batch, forward under autocast, loss, stop if it is not finite, backward, clip, AdamW on a cosine
schedule with warm-up, update the moving average of the weights. The moving average is what is validated and kept; at
the end of a run the weights of the best validation are put back into it where a figure for that is named.

Examples are drawn by their running number, so a run that resumes from a checkpoint sees what it would have seen, and
so that several ranks (`ranks.py`) share a step's examples and learn what one process would.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from lung_nodules.errors import UsageRefusal
from lung_nodules.progress import Progress
from lung_nodules.training.diary import Diary
from lung_nodules.training.options import LoopSettings, TrainingSettings
from lung_nodules.training.precision import autocast
from lung_nodules.training.ranks import Rank, agree, mean_over_ranks, share_network, spread, this_rank
from lung_nodules.training.run import Run, start_run

__all__ = [
    "Forward",
    "LoopSettings",
    "Loss",
    "NotFiniteError",
    "Run",
    "TensorBatch",
    "TrainingSettings",
    "Validate",
    "fit",
    "schedule",
    "start_run",
    "train_step",
]

TensorBatch = dict[str, Tensor]
Forward = Callable[[Tensor], Tensor]
Loss = Callable[[Forward, TensorBatch], Tensor]
Validate = Callable[[nn.Module], dict[str, float]]
PACE_STEPS = 50  # over which the shown loss and rate are averaged


class NotFiniteError(RuntimeError):
    """The loss was not a finite number; the weights were not updated."""


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
        run: Where the run stands; changed in place. When the run is over its average holds the weights to keep.
        examples: Draws the example of a running number; ``examples[n]`` is always the same.
        loss: From the network and a batch to the mean loss.
        validate: From the averaged network to named figures; higher is better for the one that chooses the weights.
        settings: See `LoopSettings`; the learning rate is scheduled over ``settings.steps``.
        folder: Gets `checkpoint.pt`, `log.jsonl` and `tensorboard/`.
        progress: Told of each step, its loss and the rate.
        until_step: Stop here, for a run in rounds.

    Raises:
        NotFiniteError: When the loss is not a finite number.
        UsageRefusal: ``bad-settings`` where a batch cannot be shared, or no such figure is known.
    """
    end = settings.steps if until_step is None else min(until_step, settings.steps)
    rank, checkpoint = this_rank(), folder / "checkpoint.pt"
    batches = _batches(examples, range(run.step, end if not run.is_over(settings) else run.step), rank, settings)
    forward = _forward(run.network, settings)
    started, saved, losses, pace = time.monotonic() - run.seconds, time.monotonic(), list[float](), _Pace()
    with Diary(folder if rank.is_first else None, run.step) as diary, progress.stage("training", len(batches)) as done:
        for batch in batches:
            losses.append(train_step(run, forward, {k: v.to(run.device) for k, v in batch.items()}, loss, settings))
            run.step, run.seconds = run.step + 1, time.monotonic() - started
            progress.note(pace.after(losses[-1]))
            if run.step % settings.log_every == 0:
                diary.add_step(run.step, {"loss": losses[-1], "learning_rate": _rate(run), **pace.figures})
            done(1)
            if run.step % settings.validate_every == 0 or run.step == end:
                _validate(run, validate, losses, settings, diary)
                losses = []
            is_last = run.step == end or run.is_over(settings)
            if rank.is_first and (is_last or time.monotonic() - saved > settings.checkpoint_minutes * 60):
                run.save(checkpoint)
                saved = time.monotonic()
            if is_last:
                break
    if run.is_over(settings):
        _finish(run)


def train_step(run: Run, forward: Forward, batch: TensorBatch, loss: Loss, settings: LoopSettings) -> float:
    """One update of the weights; the value of the loss before it, on this rank's share."""
    run.network.train()
    torch.manual_seed(_seed_of(run.step, this_rank(), settings))
    for group in run.optimizer.param_groups:
        group["lr"] = settings.learning_rate * group["scale"] * schedule(run.step, settings)
    run.optimizer.zero_grad(set_to_none=True)
    value = _backward(run, forward, batch, loss, settings)
    run.scaler.unscale_(run.optimizer)
    nn.utils.clip_grad_norm_(run.network.parameters(), settings.clip_norm)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.average.update_parameters(run.network)
    return value


def schedule(step: int, settings: LoopSettings) -> float:
    """The learning rate's factor: a linear warm-up, then a cosine to zero."""
    if step < settings.warmup_steps:
        return (step + 1) / settings.warmup_steps
    done = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def _backward(run: Run, forward: Forward, batch: TensorBatch, loss: Loss, settings: LoopSettings) -> float:
    """Gradients of the mean loss over the batch's parts; batch normalisation sees one part at a time."""
    total = 0.0
    for number in range(settings.accumulate):
        part = {name: tensor.chunk(settings.accumulate)[number] for name, tensor in batch.items()}
        with _averaged_if(forward, is_last=number + 1 == settings.accumulate):
            with autocast(run.dtype, run.device):
                value = loss(forward, part) / settings.accumulate
            if not torch.isfinite(value):
                raise NotFiniteError(f"the loss is {value.item()} at step {run.step}")
            run.scaler.scale(value).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        total += float(value.detach())
    return total


def _averaged_if(forward: Forward, *, is_last: bool) -> AbstractContextManager[None]:
    """Ranks average their gradients once a step, with its last part."""
    if is_last or not isinstance(forward, DistributedDataParallel):
        return nullcontext()
    return forward.no_sync()


def _forward(network: nn.Module, settings: LoopSettings) -> Forward:
    shared = share_network(network)
    compiled: Forward = torch.compile(shared) if settings.compiled else shared
    return compiled


def _validate(run: Run, validate: Validate, losses: list[float], settings: LoopSettings, diary: Diary) -> None:
    """Judge the averaged weights, on the first rank; the others wait, and learn how long nothing was better."""
    loss = float(mean_over_ranks(torch.tensor(sum(losses) / max(len(losses), 1), device=run.device)))
    if this_rank().is_first:
        figures = validate(run.average.module)
        diary.add_validation(run.step, run.seconds, loss, figures)
        run.note_validation(figures, settings)
    run.best.stale = agree(run.best.stale)


def _finish(run: Run) -> None:
    """End a run that is over: every rank goes on with the best weights, which the first one kept."""
    run.take_best()
    spread(run.average.module.state_dict().values())


def _seed_of(step: int, rank: Rank, settings: LoopSettings) -> int:
    """Of what a step draws beside its examples, such as dropout: another for each step and rank."""
    return int(np.random.SeedSequence([settings.seed, step, rank.number]).generate_state(1)[0])


def _rate(run: Run) -> float:
    return float(run.optimizer.param_groups[0]["lr"])


def _batches(
    examples: Dataset[TensorBatch], steps: range, rank: Rank, settings: LoopSettings
) -> DataLoader[TensorBatch]:
    """This rank's share of the batches of some steps: of the numbers of each step an equal, contiguous part."""
    whole, parts = settings.batch_size, rank.count * settings.accumulate
    if whole % parts:
        raise UsageRefusal("bad-settings", f"A batch of {whole} cannot be shared by {parts} ranks and parts.")
    share = whole // rank.count
    first = rank.number * share
    return DataLoader(
        examples,
        batch_size=share,
        sampler=[step * whole + number for step in steps for number in range(first, first + share)],
        num_workers=settings.num_workers,
        prefetch_factor=4 if settings.num_workers else None,
    )


class _Pace:
    """The loss and the rate of the last steps, for whoever watches."""

    def __init__(self) -> None:
        self._losses: deque[float] = deque(maxlen=PACE_STEPS)
        self._ends: deque[float] = deque([time.monotonic()], maxlen=PACE_STEPS + 1)

    def after(self, loss: float) -> str:
        """Count a step, and say how it goes."""
        self._losses.append(loss)
        self._ends.append(time.monotonic())
        return f"loss {sum(self._losses) / len(self._losses):.3f}, {self.figures['steps_per_second']:.2f} steps/s"

    @property
    def figures(self) -> dict[str, float]:
        seconds = max(self._ends[-1] - self._ends[0], 1e-9)
        return {"steps_per_second": (len(self._ends) - 1) / seconds}
