"""Whole runs of the loop on a network of four weights: best weights, patience, checkpoints, arithmetic, logs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.utils.data import Dataset

from lung_nodules.errors import UsageRefusal
from lung_nodules.progress import SilentProgress
from lung_nodules.training.loop import Forward, LoopSettings, NotFiniteError, Run, TensorBatch, fit, start_run
from lung_nodules.training.precision import choose_dtype

SETTINGS = LoopSettings(
    steps=12,
    batch_size=4,
    learning_rate=0.05,
    warmup_steps=2,
    ema_decay=0.5,
    validate_every=2,
    num_workers=0,
    device="cpu",
    precision="fp32",
)


class Lines(Dataset[TensorBatch]):
    """Points on a line, by running number."""

    def __getitem__(self, number: int) -> TensorBatch:
        place = torch.randn(2, generator=torch.Generator().manual_seed(number))
        return {"image": place, "target": place.sum()[None]}


def distance(forward: Forward, batch: TensorBatch) -> Tensor:
    return (forward(batch["image"]).float() - batch["target"]).square().mean()


def changed(**values: object) -> LoopSettings:
    return LoopSettings.model_validate(SETTINGS.model_dump() | values)


def begin(settings: LoopSettings, *, dropout: float = 0.0) -> Run:
    torch.manual_seed(1)
    return start_run(nn.Sequential(nn.Linear(2, 3), nn.Dropout(dropout), nn.Linear(3, 1)), settings)


def teach(
    run: Run, settings: LoopSettings, folder: Path, figures: Iterator[float] | None = None, until: int | None = None
) -> Run:
    folder.mkdir(exist_ok=True)
    given = figures or count()

    def validate(average: nn.Module) -> dict[str, float]:
        return {"figure": float(next(given))}

    fit(run, Lines(), distance, validate, settings, folder, SilentProgress(), until_step=until)
    return run


def weights_of(run: Run) -> list[Tensor]:
    return [tensor.clone() for tensor in run.average.module.state_dict().values()]


def are_equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_weights_of_the_best_validation_are_kept(tmp_path: Path) -> None:
    settings = changed(best_figure="figure")
    run = teach(begin(settings), settings, tmp_path, iter([0.1, 0.9, 0.3, 0.9, 0.2, 0.1]))
    assert (run.best.value, run.best.step) == (0.9, 4)

    four_steps = teach(begin(settings), settings, tmp_path / "four", until=4)
    assert are_equal(weights_of(run), weights_of(four_steps))


def test_a_figure_that_is_no_number_is_never_the_best(tmp_path: Path) -> None:
    settings = changed(best_figure="figure")
    run = teach(begin(settings), settings, tmp_path, iter([float("nan"), 0.1, *[float("nan")] * 4]))
    assert (run.best.value, run.best.step) == (0.1, 4)


def test_a_run_ends_when_nothing_was_better_for_long(tmp_path: Path) -> None:
    settings = changed(best_figure="figure", patience=2)
    run = teach(begin(settings), settings, tmp_path, iter([0.5, 0.4, 0.5]))
    assert run.step == 6

    again = begin(settings)
    again.resume(tmp_path / "checkpoint.pt")
    teach(again, settings, tmp_path, iter([]))
    assert again.step == 6
    assert are_equal(weights_of(again), weights_of(run))


def test_a_figure_that_the_validation_does_not_know_is_refused(tmp_path: Path) -> None:
    settings = changed(best_figure="dice")
    with pytest.raises(UsageRefusal, match="no figure 'dice'; it has figure"):
        teach(begin(settings), settings, tmp_path)


def test_patience_needs_a_figure() -> None:
    with pytest.raises(ValueError, match="patience needs a best_figure"):
        LoopSettings(patience=3)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_resumed_run_ends_with_identical_weights_dropout_and_scaler_included(tmp_path: Path, precision: str) -> None:
    settings = changed(precision=precision, best_figure="figure")
    whole = teach(begin(settings, dropout=0.5), settings, tmp_path / "whole", iter([3, 1, 2, 4, 0, 5]))

    teach(begin(settings, dropout=0.5), settings, tmp_path / "parts", iter([3, 1, 2]), until=6)
    resumed = begin(settings, dropout=0.5)
    resumed.resume(tmp_path / "parts" / "checkpoint.pt")
    teach(resumed, settings, tmp_path / "parts", iter([4, 0, 5]))

    assert are_equal(weights_of(whole), weights_of(resumed))
    assert whole.best.step == resumed.best.step == 12
    assert whole.scaler.state_dict() == resumed.scaler.state_dict()
    assert whole.scaler.is_enabled() == (precision == "fp16")


def test_a_resumed_run_remembers_the_best_weights_from_before(tmp_path: Path) -> None:
    settings = changed(best_figure="figure")
    teach(begin(settings), settings, tmp_path, iter([1, 9, 2]), until=6)
    resumed = begin(settings)
    resumed.resume(tmp_path / "checkpoint.pt")
    teach(resumed, settings, tmp_path, iter([3, 4, 5]))
    assert resumed.best.step == 4
    assert are_equal(weights_of(resumed), list(resumed.best.weights.values()))


def test_a_run_is_not_resumed_with_other_settings(tmp_path: Path) -> None:
    teach(begin(SETTINGS), SETTINGS, tmp_path, until=2)
    with pytest.raises(UsageRefusal, match=r"loop.learning_rate was 0.05 and is 0.01.*other-settings"):
        begin(changed(learning_rate=0.01)).resume(tmp_path / "checkpoint.pt")


def test_a_run_is_resumed_with_what_decides_nothing(tmp_path: Path) -> None:
    teach(begin(SETTINGS), SETTINGS, tmp_path, until=2)
    run = begin(changed(num_workers=2, checkpoint_minutes=1.0))
    run.resume(tmp_path / "checkpoint.pt")
    assert run.step == 2


def test_there_must_be_a_checkpoint_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(UsageRefusal, match="no-checkpoint"):
        begin(SETTINGS).resume(tmp_path / "checkpoint.pt")


def test_a_checkpoint_without_the_newer_parts_is_resumed(tmp_path: Path) -> None:
    whole = teach(begin(SETTINGS), SETTINGS, tmp_path / "whole")
    teach(begin(SETTINGS), SETTINGS, tmp_path / "parts", until=6)
    path = tmp_path / "parts" / "checkpoint.pt"
    state = torch.load(path, weights_only=True)
    old = {name: state[name] for name in ("network", "average", "optimizer", "step", "seconds")}
    torch.save(old, path)

    run = begin(SETTINGS)
    run.resume(path)
    assert are_equal(weights_of(teach(run, SETTINGS, tmp_path / "parts")), weights_of(whole))


def test_a_batch_in_parts_teaches_what_it_teaches_whole(tmp_path: Path) -> None:
    whole = teach(begin(SETTINGS), SETTINGS, tmp_path / "whole")
    settings = changed(accumulate=4)
    parts = teach(begin(settings), settings, tmp_path / "parts")
    for one, other in zip(weights_of(whole), weights_of(parts), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_gradients_are_clipped(tmp_path: Path) -> None:
    settings = changed(clip_norm=1e-3)
    run = teach(begin(settings), settings, tmp_path)
    gradients = torch.cat([p.grad.flatten() for p in run.network.parameters() if p.grad is not None])
    assert 0 < gradients.norm() <= 1.001e-3


def test_a_loss_that_is_no_number_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    settings = changed(checkpoint_minutes=1e-9)
    run = begin(settings)

    def breaking(forward: Forward, batch: TensorBatch) -> Tensor:
        return distance(forward, batch) * (float("inf") if run.step == 3 else 1.0)

    with pytest.raises(NotFiniteError, match="step 3"):
        fit(run, Lines(), breaking, lambda average: {}, settings, tmp_path, SilentProgress())
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3


def test_bfloat16_is_chosen_on_a_cpu() -> None:
    assert choose_dtype("auto", torch.device("cpu")) is torch.bfloat16
    assert choose_dtype("fp16", torch.device("cpu")) is torch.float16


def test_figures_are_written_as_lines_and_for_tensorboard(tmp_path: Path) -> None:
    settings = changed(log_every=3)
    teach(begin(settings), settings, tmp_path, iter([1, 2, 3]), until=6)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["step"], line["figure"]) for line in lines] == [(2, 1), (4, 2), (6, 3)]
    assert {"minutes", "loss"} <= set(lines[0])

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(one.step, one.value) for one in events.Scalars("validation/figure")] == [(2, 1), (4, 2), (6, 3)]
    assert [one.step for one in events.Scalars("train/loss")] == [3, 6]
    assert {"train/learning_rate", "train/steps_per_second"} <= set(events.Tags()["scalars"])


def test_what_was_written_after_the_checkpoint_is_taken_back(tmp_path: Path) -> None:
    teach(begin(SETTINGS), SETTINGS, tmp_path, until=4)
    resumable = (tmp_path / "checkpoint.pt").read_bytes()
    teach(begin(SETTINGS), SETTINGS, tmp_path, until=8)
    (tmp_path / "checkpoint.pt").write_bytes(resumable)
    run = begin(SETTINGS)
    run.resume(tmp_path / "checkpoint.pt")
    teach(run, SETTINGS, tmp_path)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6, 8, 10, 12]


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_the_loss_and_the_rate_are_shown(tmp_path: Path) -> None:
    notes = Notes()
    fit(begin(SETTINGS), Lines(), distance, lambda average: {}, SETTINGS, tmp_path, notes)
    assert len(notes.said) == SETTINGS.steps
    assert notes.said[-1].startswith("loss ")
    assert notes.said[-1].endswith(" steps/s")
