"""Where a training run stands: network, moving average, optimiser, best weights, mined places; all in one checkpoint.

No state of a random generator is kept, because none is needed: examples are drawn by their running number, and what a
step draws (dropout) follows from seed, step and rank. So a run may go on with another number of ranks, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lung_nodules.errors import UsageRefusal
from lung_nodules.training.options import LoopSettings, TrainingSettings, decisive, refuse_other_settings
from lung_nodules.training.precision import build_scaler, choose_device, choose_dtype
from lung_nodules.training.ranks import this_rank

# What torch's reader and `load_state_dict` raise at a file that is cut off, altered or no checkpoint.
_UNREADABLE = (RuntimeError, UnpicklingError, EOFError, OSError, LookupError, TypeError, ValueError, AttributeError)


@dataclass
class Best:
    """The averaged weights of the best validation so far."""

    value: float = -math.inf
    step: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict, repr=False)
    stale: int = 0  # validations since


@dataclass
class Run:
    """State of a run: all that a checkpoint holds."""

    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer
    scaler: GradScaler
    dtype: torch.dtype  # of autocast
    settings: dict[str, Any]  # those that decide, by name
    step: int = 0
    seconds: float = 0.0
    best: Best = field(default_factory=Best)
    kept: dict[str, Any] = field(default_factory=dict)  # what a recipe made on its way, such as mined places

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "settings": self.settings,
            "step": self.step,
            "seconds": self.seconds,
            "best": vars(self.best),
            "kept": self.kept,
        }
        temporary = path.with_suffix(".partial")
        torch.save(state, temporary)
        temporary.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint; one of an earlier version may lack what was not kept then.

        Raises:
            UsageRefusal: ``no-checkpoint`` where there is none, ``bad-checkpoint`` where it is damaged or of another
                network, ``other-settings`` where the run was begun with others.
        """
        if not path.is_file():
            raise UsageRefusal("no-checkpoint", "The folder of the run holds no checkpoint to resume from.")
        try:
            self._take_over(torch.load(path, weights_only=True, map_location=self.device))
        except _UNREADABLE as error:
            sentence = f"The checkpoint {path} is damaged, or that of another network."
            raise UsageRefusal("bad-checkpoint", sentence, "Begin anew, without --resume.") from error

    def _take_over(self, state: dict[str, Any]) -> None:
        refuse_other_settings(state.get("settings", {}), self.settings)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler") or self.scaler.state_dict())
        self.step, self.seconds = state["step"], state["seconds"]
        self.best = Best(**state.get("best", {}))
        self.kept = state.get("kept", {})

    def note_validation(self, figures: Mapping[str, float], settings: LoopSettings) -> None:
        """Keep the averaged weights where the named figure is the best so far.

        Raises:
            UsageRefusal: ``bad-settings`` where the validation knows no such figure.
        """
        if settings.best_figure is None:
            return
        if settings.best_figure not in figures:
            known = ", ".join(figures)
            raise UsageRefusal(
                "bad-settings", f"The validation has no figure {settings.best_figure!r}; it has {known}."
            )
        value = float(figures[settings.best_figure])
        if value > self.best.value:
            weights = {name: tensor.detach().clone() for name, tensor in self.average.module.state_dict().items()}
            self.best = Best(value, self.step, weights)
        else:
            self.best.stale += 1

    def is_over(self, settings: LoopSettings) -> bool:
        """Whether every step is done, or the patience is at its end."""
        is_exhausted = settings.patience is not None and self.best.stale >= settings.patience
        return self.step >= settings.steps or is_exhausted

    def take_best(self) -> None:
        """Put the best weights, where some were kept, into the moving average: what is judged and published."""
        if self.best.weights:
            self.average.module.load_state_dict(self.best.weights)


def start_run(network: nn.Module, settings: LoopSettings | TrainingSettings) -> Run:
    """Put a network on its device and make its optimiser, scaler and moving average."""
    loop = settings.loop if isinstance(settings, TrainingSettings) else settings
    device = choose_device(loop.device, this_rank().local)
    network = network.to(device)
    encoder = [p for name, p in network.named_parameters() if name.startswith("encoder.")]
    rest = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    groups: list[dict[str, Any]] = [{"params": rest, "scale": 1.0}]
    if encoder:
        groups.append({"params": encoder, "scale": loop.encoder_learning_rate_scale})
    optimizer = torch.optim.AdamW(groups, lr=loop.learning_rate, weight_decay=loop.weight_decay)
    average = AveragedModel(network, multi_avg_fn=_moving_average(loop), use_buffers=True)
    dtype = choose_dtype(loop.precision, device)
    return Run(network, average, optimizer, build_scaler(dtype, device), dtype, decisive(settings))


def _moving_average(settings: LoopSettings) -> Any:
    """Short at first, so that the untrained weights are soon forgotten.

    After 900 steps of a constant 0.998 a sixth of the average would still be the weights that the run began with. The
    rise is that of TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``.
    """

    def update(averaged: Any, current: Any, num_averaged: Any) -> None:
        decay = min(settings.ema_decay, (1 + float(num_averaged)) / (10 + float(num_averaged)))
        get_ema_multi_avg_fn(decay)(averaged, current, num_averaged)  # type: ignore[no-untyped-call]  # torch's

    return update
