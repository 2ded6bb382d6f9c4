"""What every training run decides, and what the recipes have in common."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from lung_nodules.errors import UsageRefusal
from lung_nodules.settings import Section, bad_setting
from lung_nodules.training.cubes import CubeSettings

Precision = Literal["auto", "bf16", "fp16", "fp32"]


class LoopSettings(Section):
    """What every training run decides."""

    steps: int = Field(6000, ge=1)
    batch_size: int = Field(8, ge=1, le=512, description="Of a step, over all ranks and parts.")
    accumulate: int = Field(1, ge=1, le=64, description="Parts that a rank's batch is read in, one after another.")
    learning_rate: float = Field(3e-3, gt=0, le=1)
    encoder_learning_rate_scale: float = Field(1.0, gt=0, le=1, description="For parameters named encoder.*")
    weight_decay: float = Field(0.01, ge=0, le=1)
    warmup_steps: int = Field(100, ge=0)
    clip_norm: float = Field(1.0, gt=0)
    ema_decay: float = Field(0.998, ge=0, lt=1)
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: a GPU where there is one.")
    precision: Precision = Field(
        "auto", description="auto: autocast to bf16, or to fp16 with a scaler on a GPU without bf16. fp32: no autocast."
    )
    checkpoint_minutes: float = Field(10.0, gt=0)
    validate_every: int = Field(1000, ge=1, description="Steps between validations.")
    best_figure: str | None = Field(
        None, description="Validation figure by whose highest value the weights are kept; null: the last weights."
    )
    patience: int | None = Field(
        None, ge=1, description="Validations without a better figure after which the run ends; null: never early."
    )
    log_every: int = Field(20, ge=1, description="Steps between two points of TensorBoard's training curves.")
    num_workers: int = Field(1, ge=0, le=16)
    compiled: bool = Field(False, description="torch.compile the network: slower start, faster steps.")

    @model_validator(mode="after")
    def _patience_has_a_figure(self) -> Self:
        if self.patience is not None and self.best_figure is None:
            raise ValueError("patience needs a best_figure to wait for")
        return self


NOT_DECISIVE = ("checkpoint_minutes", "compiled", "device", "log_every", "num_workers")  # a resumed run may change them


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
        for assignment in assignments:
            name, _, value = assignment.partition("=")
            *sections, last = name.split(".")
            place = reduce(lambda part, section: _section(part, section, name), sections, document)
            place[last] = _read_value(name, value)
        try:
            return self.model_validate(document)
        except ValidationError as error:
            raise bad_setting(error) from error


def decisive(settings: LoopSettings | TrainingSettings) -> dict[str, Any]:
    """The settings that decide what a run learns, by dotted name, as JSON values."""
    document = settings.model_dump(mode="json")
    named = _flat({"loop": document} if isinstance(settings, LoopSettings) else document)
    return {name: value for name, value in named.items() if name not in {f"loop.{one}" for one in NOT_DECISIVE}}


def refuse_other_settings(then: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with a run under settings that it was not begun with.

    A setting that only one side knows is passed over: versions differ in what can be set, and what is new is off.

    Raises:
        UsageRefusal: ``other-settings``, with the first names that differ.
    """
    changed = [name for name in then if name in now and then[name] != now[name]]
    if changed:
        shown = ", ".join(f"{name} was {then[name]} and is {now[name]}" for name in changed[:3])
        raise UsageRefusal(
            "other-settings",
            f"The run was begun with other settings: {shown}.",
            "Resume with the settings that it was begun with, or begin anew in another folder.",
        )


def _section(document: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    part = document.get(section)
    if not isinstance(part, dict):
        raise UsageRefusal("bad-settings", f"There is no setting {name}.")
    return part


def _read_value(name: str, value: str) -> Any:
    try:
        return yaml.safe_load(value)
    except (ValueError, yaml.YAMLError) as error:
        raise UsageRefusal("bad-settings", f"The value of the setting {name} is not YAML.") from error


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    named: dict[str, Any] = {}
    for name, value in document.items():
        named |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return named
