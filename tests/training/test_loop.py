"""The loop's own rules: the schedule, the stop on a loss that is no number, and figures with intervals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lung_nodules.errors import UsageRefusal
from lung_nodules.training.loop import LoopSettings, NotFiniteError, schedule, start_run, train_step
from lung_nodules.training.scores import auc_score, mean_score
from lung_nodules.training.segmentation import SegmentationTraining

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
    changed = SegmentationTraining().changed(["loop.steps=7", "variant=standard", "channels=[4, 8]"])
    assert (changed.loop.steps, changed.variant, changed.channels) == (7, "standard", (4, 8))


@pytest.mark.parametrize("assignment", ["loop.steps=0", "loop.stepz=4", "no.such=1", "steps"])
def test_settings_that_cannot_be_used_are_refused(assignment: str) -> None:
    with pytest.raises(UsageRefusal, match="bad-settings"):
        SegmentationTraining().changed([assignment])
