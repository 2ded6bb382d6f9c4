"""A network in training, called as the line calls a finished one: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.networks.patches import PatchGrid
from lung_nodules.networks.runtime import Batch
from lung_nodules.training.cubes import CubeSettings

CENTER_ERROR_MM = 2.0


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


def judging_grid(crop: NoduleCrop, cube: CubeSettings, number: int, seed: int = 0) -> PatchGrid:
    """The cube in which a crop is judged: around the consensus' centroid, off by up to 2 mm an axis, no augmentation.

    Beyond the crop's end slices, sampling on this grid repeats the end slice.
    """
    rng = np.random.default_rng([seed, number])
    error = rng.uniform(-CENTER_ERROR_MM, CENTER_ERROR_MM, 3) / np.asarray(crop.spacing_mm)
    return PatchGrid.centered(crop.center_ijk + error, crop.spacing_mm, (cube.voxels,) * 3, cube.spacing_mm)
