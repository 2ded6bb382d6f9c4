"""A network that is not published yet, called as the line calls a finished one: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from lung_nodules.networks.runtime import Batch


def reader(network: nn.Module) -> Callable[[Batch], Batch]:
    """The network in evaluation mode as a function from float32 (n, 1, D, H, W) to its float32 output."""
    network.eval()
    device = next(network.parameters()).device

    @torch.inference_mode()
    def read(batch: Batch) -> Batch:
        image = torch.from_numpy(batch).to(device).contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            output: Batch = network(image).float().cpu().numpy()
        return output

    return read
