"""The classifier's loss, against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lung_nodules.training.loop import TensorBatch
from lung_nodules.training.soft_label_loss import soft_label_loss

HALF = math.log(2)  # cross-entropy at a probability of one half, whatever the label


def batch(target: list[list[float]], known: list[list[float]] | None = None) -> TensorBatch:
    labels = torch.tensor(target)
    return {
        "image": torch.zeros(len(target), 1, 2, 2, 2),
        "target": labels,
        "known": torch.ones_like(labels) if known is None else torch.tensor(known),
    }


def at(logits: list[list[float]]):  # type: ignore[no-untyped-def]
    return lambda image: torch.tensor(logits)


def test_outputs_are_weighted_and_unknown_labels_left_out() -> None:
    loss = soft_label_loss([1.0, 1.0, 0.5])
    given = batch([[1, 0, 0.3], [0, 0, 0]], known=[[1, 1, 1], [1, 0, 0]])
    assert loss(at([[0, 0, 0], [0, 9, 9]]), given).item() == pytest.approx(HALF + HALF + 0.5 * HALF)


def test_focal_factor_is_the_distance_of_the_probability_and_spares_the_characteristics() -> None:
    loss = soft_label_loss([1.0, 1.0, 1.0], focal_gamma=2.0)
    value = loss(at([[0, 0, 0]]), batch([[1, 0.75, 1]])).item()
    assert value == pytest.approx(HALF * 0.5**2 + HALF * 0.25**2 + HALF)


def test_both_classes_weigh_the_same() -> None:
    target = [[1.0, 1.0]] + [[0.0, 0.0]] * 3
    plain = [_gradient(target, ()), _gradient(target, (0.25, 0.25))]
    assert plain[0][0] == pytest.approx(-plain[0][1] / 3)
    assert plain[1][0] == pytest.approx(-plain[1][1])


def _gradient(target: list[list[float]], shares: tuple[float, ...]) -> tuple[float, float]:
    """On the first output, of the positive row and of the negative rows together."""
    logits = torch.zeros(len(target), 2, requires_grad=True)
    loss = soft_label_loss([1.0, 1.0], positive_shares=shares)
    value: Tensor = loss(lambda image: logits, batch(target))
    value.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    return logits.grad[0, 0].item(), logits.grad[1:, 0].sum().item()
