"""What another scanner would have made of the same voxels: another kernel, thicker slices.

Not MONAI's, whose random transforms keep a random state of their own (see `cubes`), and whose low resolution
(`RandSimulateLowResolution`) zooms all axes alike and averages no slices.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float32]


def change_kernel(hu: Array, sharpness: float, sigma_voxels: float) -> Array:
    """Blur or sharpen in plane, as a softer or harder reconstruction kernel does.

    Args:
        hu: [slice, row, column].
        sharpness: -1 gives the Gaussian blur, 0 the same, 1 what unsharp masking makes of it: as much away from the
            blur again.
        sigma_voxels: Of the Gaussian.
    """
    blurred = ndimage.gaussian_filter(hu, [0, sigma_voxels, sigma_voxels], mode="nearest")
    return np.asarray(hu + sharpness * (hu - blurred), dtype=np.float32)


def thicken_slices(hu: Array, thickness_voxels: float, phase_voxels: float) -> Array:
    """Average along the slice axis, keep one slice every `thickness_voxels`, and interpolate linearly between them.

    Args:
        hu: [slice, row, column].
        thickness_voxels: From 1 (unchanged but for the phase); the slices are as thick as they are apart.
        phase_voxels: Where the first kept slice lies.
    """
    num = hu.shape[0]
    kept = np.arange(phase_voxels, num - 1 + thickness_voxels, thickness_voxels)
    kept = np.concatenate([[phase_voxels - thickness_voxels], kept]) if phase_voxels > 0 else kept
    averaged = np.stack([_mean_between(hu, at - thickness_voxels / 2, at + thickness_voxels / 2) for at in kept])
    position = (np.arange(num) - kept[0]) / thickness_voxels
    below = np.clip(np.floor(position).astype(int), 0, len(kept) - 2) if len(kept) > 1 else np.zeros(num, dtype=int)
    weight = (position - below)[:, None, None] if len(kept) > 1 else 0.0
    above = np.minimum(below + 1, len(kept) - 1)
    return np.asarray(averaged[below] * (1 - weight) + averaged[above] * weight, dtype=np.float32)


def _mean_between(hu: Array, low: float, high: float) -> Array:
    """Mean of the slices between two positions, each by how much of it (a voxel is one thick) lies between."""
    slices = np.arange(np.floor(low + 0.5), np.ceil(high - 0.5) + 1)
    covered = np.minimum(high, slices + 0.5) - np.maximum(low, slices - 0.5)
    weights = np.clip(covered, 0, None)
    own = hu[np.clip(slices, 0, hu.shape[0] - 1).astype(int)]
    return np.asarray(np.tensordot(weights / weights.sum(), own, axes=1), dtype=np.float32)
