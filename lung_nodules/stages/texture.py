"""Texture of a nodule: how the densities of neighbouring pixels go together.

Grey level co-occurrence as the Image Biomarker Standardisation Initiative defines it (Haralick 1973,
10.1109/TSMC.1973.4309314): bins of fixed size, neighbours at a distance of one pixel in four directions within the
slice, both in the mask, the matrices of all slices and directions merged into one. In slices and not in space, as
slices lie up to five times as far apart as pixels do.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.feature import graycomatrix

BIN_HU = 50.0
RANGE_HU = (-1000.0, 400.0)  # what is denser or less dense counts into the last bins
DIRECTIONS_RAD = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)

_NUM_BINS = int((RANGE_HU[1] - RANGE_HU[0]) / BIN_HU)


def measure_texture(hu: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> dict[str, float]:
    """Measure how unlike, manifold, alike and dependent neighbours are.

    Args:
        hu: ``[slice, row, column]``.
        mask: The nodule, same shape.

    Returns:
        Contrast in squared bins (IBSI ACUI), joint entropy in bits (TU9B), inverse difference moment, 0-1 (WF0Z), and
        correlation, -1 to 1 (NI2N). Where no two pixels of the mask are neighbours, all count as alike: 0, 0, 1, 1.
    """
    joint = _co_occurrence(hu, mask)
    if not joint.any():
        return _named(0.0, 0.0, 1.0, 1.0)
    joint = joint / joint.sum()
    one, other = np.indices(joint.shape)
    filled = joint[joint > 0]
    mean = float((one * joint).sum())
    variance = float(((one - mean) ** 2 * joint).sum())
    covariance = float(((one - mean) * (other - mean) * joint).sum())
    return _named(
        float(((one - other) ** 2 * joint).sum()),
        abs(float((filled * np.log2(filled)).sum())),
        float((joint / (1 + (one - other) ** 2)).sum()),
        covariance / variance if variance > 1e-12 else 1.0,
    )


def _co_occurrence(hu: npt.NDArray[np.floating], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """How often bins are neighbours, (bins, bins), symmetric."""
    bins = np.clip(np.floor((hu - RANGE_HU[0]) / BIN_HU), 0, _NUM_BINS - 1).astype(np.uint8) + 1
    bins[~mask] = 0
    counts = sum(
        graycomatrix(plane, [1], DIRECTIONS_RAD, levels=_NUM_BINS + 1, symmetric=True).sum(axis=(2, 3))
        for plane in bins
        if plane.any()
    )
    return np.asarray(counts, dtype=np.float64)[1:, 1:]


def _named(contrast: float, entropy: float, moment: float, correlation: float) -> dict[str, float]:
    return {
        "texture_contrast": contrast,
        "texture_joint_entropy": entropy,
        "texture_inverse_difference_moment": moment,
        "texture_correlation": correlation,
    }
