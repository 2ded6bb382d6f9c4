"""The outline losses: only known voxels count, the right answer costs least, and levels are averaged."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from lung_nodules.networks.unet import build_unet
from lung_nodules.training.outline_losses import LossName, outline_loss

NAMES = get_args(LossName)
SHAPE = (2, 1, 8, 8, 8)


def batch(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    target = torch.zeros(SHAPE)
    target[:, :, 2:5, 2:5, 2:5] = 1
    known = torch.ones(SHAPE)
    known[:, :, 6:] = 0
    return {"image": torch.rand(SHAPE), "target": target, "known": known}


def of_logits(name: LossName, logits: torch.Tensor, given: dict[str, torch.Tensor]) -> float:
    return float(outline_loss(10.0, name)(lambda _: logits, given))


@pytest.mark.parametrize("name", NAMES)
def test_unknown_voxels_neither_count_nor_teach(name: LossName) -> None:
    given = batch()
    logits = torch.randn(SHAPE, requires_grad=True)
    value = outline_loss(10.0, name)(lambda _: logits, given)
    value.backward()
    assert logits.grad is not None
    assert not logits.grad[given["known"] == 0].any()
    assert logits.grad[given["known"] == 1].any()
    other = torch.where(given["known"] == 1, logits.detach(), torch.randn(SHAPE) * 5)
    unknown = {**given, "target": torch.where(given["known"] == 1, given["target"], 1 - given["target"])}
    assert of_logits(name, other, unknown) == pytest.approx(float(value.detach()))


@pytest.mark.parametrize("name", NAMES)
def test_the_right_answer_costs_least(name: LossName) -> None:
    given = batch()
    right = of_logits(name, (given["target"] - 0.5) * 40, given)
    assert right == pytest.approx(0, abs=0.01)
    assert of_logits(name, torch.zeros(SHAPE), given) > right + 0.5
    assert of_logits(name, -(given["target"] - 0.5) * 40, given) > of_logits(name, torch.zeros(SHAPE), given)


@pytest.mark.parametrize("name", NAMES)
def test_coarser_levels_weigh_half_as_much_each(name: LossName) -> None:
    given = batch()
    levels = [torch.randn(SHAPE) for _ in range(3)]
    alone = [of_logits(name, level, given) for level in levels]
    together = of_logits(name, torch.stack(levels, dim=1), given)
    assert together == pytest.approx((alone[0] + alone[1] / 2 + alone[2] / 4) / 1.75, rel=1e-5)


def test_a_network_under_deep_supervision_gets_a_loss() -> None:
    network = build_unet("nnunet", [4, 8, 8], deep_supervision=True)
    assert torch.isfinite(outline_loss(10.0)(network, batch()))
