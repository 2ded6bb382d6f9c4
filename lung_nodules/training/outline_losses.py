"""The losses of the outliner and the finder, by name; all look at the known voxels only.

`dice-bce` is Dice with squared denominators (Milletari 2016, 10.1109/3DV.2016.79) per cube plus weighted cross-entropy.
`dice-ce` and `dice-focal` are MONAI's `DiceCELoss` and `DiceFocalLoss` (Lin 2017, arXiv 1708.02002). MONAI's
`MaskedLoss` multiplies logits by the mask, which makes unknown voxels half a nodule; here they get a logit that is
surely none, as their target is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from monai.losses.dice import DiceCELoss, DiceFocalLoss, MaskedDiceLoss
from torch import Tensor, nn

from lung_nodules.training.loop import Forward, Loss, TensorBatch
from lung_nodules.training.ranks import mean_over_ranks

LossName = Literal["dice-bce", "dice-ce", "dice-focal"]
SURELY_NONE = -30.0
OnLogits = Callable[[Tensor, Tensor, Tensor], Tensor]  # logits, target, known: (N, 1, D, H, W)
_DICE = {"sigmoid": True, "squared_pred": True, "smooth_nr": 1.0, "smooth_dr": 1.0}


def outline_loss(cross_entropy_weight: float, name: LossName = "dice-bce") -> Loss:
    """The mean loss of a batch, from a network's logits.

    Where a network under deep supervision returns several outputs, their losses are averaged with halved weight a
    level, as nnU-Net does.

    Args:
        cross_entropy_weight: Of the cross-entropy or the focal loss beside Dice.
        name: See the module.
    """
    on_logits = _on_logits(cross_entropy_weight, name)

    def loss(network: Forward, batch: TensorBatch) -> Tensor:
        logits = network(batch["image"].contiguous(memory_format=torch.channels_last_3d)).float()
        outputs = logits.unbind(dim=1) if logits.dim() == batch["image"].dim() + 1 else (logits,)
        weights = [0.5**level for level in range(len(outputs))]
        losses = [on_logits(output, batch["target"], batch["known"]) for output in outputs]
        return torch.stack([w * one for w, one in zip(weights, losses, strict=True)]).sum() / sum(weights)

    return loss


def _on_logits(cross_entropy_weight: float, name: LossName) -> OnLogits:
    match name:
        case "dice-bce":
            return _dice_and_cross_entropy(cross_entropy_weight)
        case "dice-ce":
            return _masked(DiceCELoss(**_DICE, lambda_ce=cross_entropy_weight))
        case "dice-focal":
            return _masked(DiceFocalLoss(**_DICE, lambda_focal=cross_entropy_weight))


def _dice_and_cross_entropy(weight: float) -> OnLogits:
    masked_dice = MaskedDiceLoss(**_DICE)

    def loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
        dice: Tensor = masked_dice(logits, target, known)
        entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, weight=known, reduction="sum")
        return dice + weight * entropy / mean_over_ranks(known.sum()).clamp(min=1)

    return loss


def _masked(whole: nn.Module) -> OnLogits:
    def loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
        value: Tensor = whole(torch.where(known > 0, logits, SURELY_NONE), target * known)
        return value

    return loss
