"""The loop's own rules: the schedule, the stop on a loss that is no number, and figures with intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lung_nodules.errors import UsageRefusal
from lung_nodules.networks.unet import build_unet
from lung_nodules.training.classifier_shape import ClassifierShape
from lung_nodules.training.classifier_start import ClassifierStart
from lung_nodules.training.detection import DetectionTraining
from lung_nodules.training.loop import (
    LoopSettings,
    NotFiniteError,
    TrainingSettings,
    schedule,
    start_run,
    train_step,
)
from lung_nodules.training.scores import auc_score, mean_score
from lung_nodules.training.segmentation import SegmentationTraining
from lung_nodules.training.unet_settings import build_first

SETTINGS = LoopSettings(steps=100, warmup_steps=10)


def test_schedule_warms_up_and_falls_to_zero() -> None:
    factors = [schedule(step, SETTINGS) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == factors[10] == 1
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert factors[100] == pytest.approx(0, abs=1e-9)


def test_loss_that_is_no_number_stops_before_the_update() -> None:
    network = nn.Linear(2, 1)
    run = start_run(network, SETTINGS)
    before = network.weight.detach().clone()

    def loss(forward: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        value: Tensor = forward(batch["image"]).sum() * float("nan")
        return value

    with pytest.raises(NotFiniteError, match="step 0"):
        train_step(run, network, {"image": torch.ones(1, 2)}, loss, SETTINGS)  # type: ignore[arg-type]
    assert torch.equal(network.weight, before)


def test_average_follows_the_weights() -> None:
    network = nn.Linear(2, 1)
    run = start_run(network, LoopSettings(ema_decay=0.5))
    batch = {"image": torch.ones(1, 2)}
    for _ in range(30):
        train_step(run, network, batch, lambda forward, given: forward(given["image"]).square().sum(), SETTINGS)
    assert torch.allclose(run.average.module.weight, network.weight, atol=0.02)


def test_average_of_a_short_run_has_forgotten_the_untrained_weights() -> None:
    network = nn.Linear(2, 1)
    run = start_run(network, LoopSettings(ema_decay=0.999))
    with torch.no_grad():
        network.weight.fill_(100.0)
        run.average.update_parameters(network)  # takes the weights as they are
        network.weight.fill_(1.0)
        for _ in range(50):
            run.average.update_parameters(network)
    assert torch.allclose(run.average.module.weight, network.weight, atol=0.01)


def test_interval_is_over_patients_not_rows() -> None:
    values = [0.0, 1.0] * 20
    alone = mean_score("x", "y", [str(number) for number in range(40)], values)
    paired = mean_score("x", "y", [str(number // 20) for number in range(40)], sorted(values))
    assert alone.value == paired.value == 0.5
    assert (alone.low or 0) > 0.2
    assert (paired.low, paired.high) == (0.0, 1.0)
    assert alone.n == 40


def test_auc_of_a_perfect_and_of_a_useless_score() -> None:
    positive = [True, False] * 10
    patients = [str(number) for number in range(20)]
    assert auc_score("a", "c", patients, positive, [float(is_positive) for is_positive in positive]).value == 1
    assert auc_score("a", "c", patients, positive, np.zeros(20).tolist()).value == 0.5


def test_settings_change_by_name() -> None:
    changed = SegmentationTraining().changed(["loop.steps=7", "variant=standard", "channels=[4, 8, 8]"])
    assert (changed.loop.steps, changed.variant, changed.channels) == (7, "standard", (4, 8, 8))


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("loop.steps=0", "The setting loop.steps is not valid: Input should be greater than or equal to 1."),
        ("loop.stepz=4", "There is no setting loop.stepz."),
        ("no.such=1", "There is no setting no.such."),
        ("steps", "There is no setting steps."),
        ("loop.steps.x=1", "There is no setting loop.steps.x."),
        ("variant.x=1", "There is no setting variant.x."),
        ("loop.steps=[", "The value of the setting loop.steps is not YAML."),
        ("loop.patience=2", "The setting loop is not valid: patience needs a best_figure to wait for."),
        (
            "channels=[]",
            "The setting channels is not valid: Tuple should have at least 3 items after validation, not 0.",
        ),
        ("channels=[8,0,8]", "The setting channels.1 is not valid: Input should be greater than 0."),
    ],
)
@pytest.mark.parametrize("settings", [DetectionTraining(), ClassifierShape()])
def test_settings_that_cannot_be_used_are_refused_in_one_sentence(
    settings: TrainingSettings, assignment: str, said: str
) -> None:
    with pytest.raises(UsageRefusal) as refused:
        settings.changed([assignment])
    assert (refused.value.code, refused.value.sentence) == ("bad-settings", said)


@pytest.mark.parametrize("channels", ["[16]", "[8,8]", "[4,4,4,4,4,4,4]"])
@pytest.mark.parametrize("settings", [SegmentationTraining(), DetectionTraining()])
def test_channels_that_no_cube_has_room_for_are_refused(settings: TrainingSettings, channels: str) -> None:
    with pytest.raises(UsageRefusal, match="The setting channels is not valid"):
        settings.changed([f"channels={channels}"])


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["variant=standard", "deep_supervision=true"], "the variant standard has no deep_supervision"),
        (["channels=[4,4,4,4,4]", "cube.voxels=24"], "a cube of 24 voxels cannot be halved 4 times, once a level"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(assignments: list[str], said: str) -> None:
    with pytest.raises(UsageRefusal) as refused:
        SegmentationTraining().changed(assignments)
    assert refused.value.sentence == f"The settings are not valid: {said}."


def test_the_longest_and_the_shortest_channels_can_be_read() -> None:
    for channels in ("[2,2,2]", "[2,2,2,2,2]"):
        settings = SegmentationTraining().changed([f"channels={channels}"])
        network = build_first(settings, None)
        assert network(torch.zeros(1, 1, 48, 48, 48)).shape == (1, 1, 48, 48, 48)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageRefusal, match="no CUDA GPU") as refused:
        start_run(nn.Linear(1, 1), LoopSettings(device="cuda"))
    assert refused.value.code == "runtime-missing"


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "list", "other"])
def test_a_checkpoint_that_cannot_be_read_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "checkpoint.pt"
    start_run(nn.Linear(2, 2), LoopSettings()).save(path)
    match damage:
        case "cut":
            path.write_bytes(path.read_bytes()[:-200])
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("no checkpoint", encoding="utf-8")
        case "list":
            torch.save([1, 2], path)
        case _:
            start_run(nn.Linear(3, 3), LoopSettings()).save(path)
    with pytest.raises(UsageRefusal, match="is damaged, or that of another network") as refused:
        start_run(nn.Linear(2, 2), LoopSettings()).resume(path)
    assert refused.value.code == "bad-checkpoint"


@pytest.mark.parametrize(
    "other", [build_unet("separable", (4, 8, 8)), build_unet("residual", (4, 4, 8)), nn.Linear(1, 1)]
)
def test_first_weights_of_another_network_are_refused(other: nn.Module) -> None:
    settings = DetectionTraining().changed(["channels=[4,8,8]"])
    with pytest.raises(UsageRefusal, match="initial-unfit"):
        build_first(settings, other)
    with pytest.raises(UsageRefusal, match="initial-unfit"):
        ClassifierStart(outliner=other).build(ClassifierShape().changed(["channels=[4,8,8]"]))
