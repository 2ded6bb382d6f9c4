"""What a run writes down: `log.jsonl`, one line a validation, and TensorBoard's events beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Diary:
    """Figures of a run by step. TensorBoard's part is left out where `tensorboard` (of the train extra) is missing.

    Args:
        folder: Of the run; None writes nothing.
        from_step: The run goes on from here: what was written of later steps is taken back.
    """

    def __init__(self, folder: Path | None, from_step: int) -> None:
        self._lines = folder / "log.jsonl" if folder else None
        self._writer = _open_writer(folder / "tensorboard", from_step) if folder else None
        if self._lines and self._lines.is_file():
            kept = [line for line in self._lines.read_text().splitlines() if json.loads(line)["step"] <= from_step]
            self._lines.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer:
            self._writer.close()

    def add_step(self, step: int, figures: Mapping[str, float]) -> None:
        """A point of the training curves."""
        self._plot("train", step, figures)

    def add_validation(self, step: int, seconds: float, loss: float, figures: Mapping[str, float]) -> None:
        """A validation, with the mean training loss since the one before."""
        self._plot("validation", step, figures)
        if self._lines:
            line = {"step": step, "minutes": round(seconds / 60, 2), "loss": loss, **figures}
            with self._lines.open("a", encoding="utf-8") as log:
                log.write(json.dumps({name: round(value, 5) for name, value in line.items()}) + "\n")

    def _plot(self, side: str, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            if self._writer:
                self._writer.add_scalar(f"{side}/{name}", value, step)


def _open_writer(folder: Path, from_step: int) -> SummaryWriter | None:
    try:
        from torch.utils.tensorboard import SummaryWriter  # of the train extra
    except ImportError:
        return None
    options: dict[str, Any] = {"purge_step": from_step + 1} if from_step else {}
    return SummaryWriter(str(folder), **options)
