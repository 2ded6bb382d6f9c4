"""The classifier's loss: cross-entropy with soft labels, if wanted focal or weighted by class.

The focal factor is that of the quality focal loss (Li 2020, arXiv 2006.04388), ``|target - probability| ** gamma``: the
focal loss of Lin 2017 where labels are not 0 or 1. Both options bend the probabilities, which the heads fitted
afterwards straighten; so they apply to the outputs that have such a head. The characteristics, which are reported as
the network gives them, keep the plain loss.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lung_nodules.training.loop import Forward, Loss, TensorBatch
from lung_nodules.training.ranks import mean_over_ranks

NUM_HEADED = 2  # the first outputs: nodule, malignancy


def soft_label_loss(
    output_weights: Sequence[float], focal_gamma: float = 0.0, positive_shares: Sequence[float] = ()
) -> Loss:
    """Mean over the known labels of each output, summed over the outputs by weight.

    Args:
        output_weights: Of each output; the first two are nodule and malignancy.
        focal_gamma: Of the focal factor of those two; 0 is cross-entropy.
        positive_shares: How much of a batch is expected to be positive of those two, so that both classes weigh the
            same; empty: as they come.
    """
    weights = torch.tensor(list(output_weights))

    def loss(network: Forward, batch: TensorBatch) -> Tensor:
        logits = network(batch["image"].contiguous(memory_format=torch.channels_last_3d)).float()
        target, known = batch["target"], batch["known"]
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        entropy = entropy * _focus(logits, target, focal_gamma) * _balance(target, positive_shares)
        per_output = (entropy * known).sum(dim=0) / mean_over_ranks(known.sum(dim=0)).clamp(min=1)
        return (per_output * weights.to(per_output.device)).sum()

    return loss


def _focus(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """The focal factor, (N, outputs)."""
    factor = torch.ones_like(logits)
    if gamma > 0:
        headed = slice(NUM_HEADED)
        factor[:, headed] = (target - logits.sigmoid())[:, headed].abs() ** gamma
    return factor


def _balance(target: Tensor, positive_shares: Sequence[float]) -> Tensor:
    """Class weights, (N, outputs): a soft label counts in both classes by its part."""
    factor = torch.ones_like(target)
    for output, share in enumerate(positive_shares):
        bounded = min(max(share, 0.02), 0.98)
        positive = target[:, output]
        factor[:, output] = positive * 0.5 / bounded + (1 - positive) * 0.5 / (1 - bounded)
    return factor
