"""What a network makes of a nodule before it decides: the numbers that a forest can be taught on.

`outliner`: the deepest features of the U-Net, which has learned outlines and no ratings: their mean and largest value
over the cube, and their mean over the middle, where the nodule is. `classifier`: the Transformer's class token after
the last block. It has learned the ratings of the patients who trained it, so that only others may teach a forest on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.errors import ModelRefusal
from lung_nodules.evaluation.crops import judging_grid
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.patches import scale_hu
from lung_nodules.networks.record import Preprocessing

MIDDLE = 2  # tokens an edge


class DeepestFeatures(nn.Module):
    """From cubes (N, 1, D, H, W) to the pooled features of a U-Net's deepest level, (N, 3 x channels).

    Raises:
        ModelRefusal: ``model-unsupported`` where the U-Net does not keep its levels apart.
    """

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        try:
            parts = [unet.input_block, *unet.downsamples, unet.bottleneck]  # type: ignore[misc]
        except (AttributeError, TypeError) as error:
            raise ModelRefusal("model-unsupported", "A forest cannot read the features of this U-Net.") from error
        self.levels = nn.Sequential(*parts)

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        deep: Tensor = self.levels(image)
        lows = [(size - MIDDLE) // 2 for size in deep.shape[2:]]
        first, second, third = (slice(max(low, 0), max(low, 0) + MIDDLE) for low in lows)
        middle = deep[:, :, first, second, third]
        return torch.cat([deep.mean((2, 3, 4)), deep.amax((2, 3, 4)), middle.mean((2, 3, 4))], dim=1)


class ClassToken(nn.Module):
    """From cubes (N, 1, D, H, W) to the class token of a hybrid Vision Transformer, (N, hidden_size).

    Raises:
        ModelRefusal: ``model-unsupported`` where the network has no `tokens`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        if not hasattr(network, "tokens"):
            raise ModelRefusal(
                "model-unsupported", "A forest reads the class token of a hybrid Vision Transformer only."
            )
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """See the class."""
        tokens: Tensor = self.network.tokens(image)  # type: ignore[operator]
        return tokens[:, 0]


def embed(
    name: str, network: nn.Module, crops: Sequence[NoduleCrop], fed: Preprocessing, advance: Callable[[int], None]
) -> list[dict[str, float]]:
    """Each crop's embedding, ``NAME.0``, ``NAME.1`` and so on, from the cubes on which crops are judged."""
    read = reader(network)
    rows = []
    for crop in crops:
        image: npt.NDArray[np.float32] = scale_hu(judging_grid(crop, fed).sample(crop.image), fed.window_hu)
        values = read(np.ascontiguousarray(image[None, None]))[0]
        rows.append({f"{name}.{number}": float(value) for number, value in enumerate(values)})
        advance(1)
    return rows
