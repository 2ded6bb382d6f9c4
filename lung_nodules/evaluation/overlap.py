"""How well two masks agree: overlap, distance of the surfaces, volume.

Surfaces and distances are MONAI's. Its surface Dice with ``use_subvoxels`` gives the areas of DeepMind's
surface-distance (Nikolov 2018, arXiv 1809.04430), which the tests compare; MONAI's default counts voxels instead,
so that the result hangs on the spacing. Dice, IoU and volume are one line each on Boolean arrays.

All masks are Boolean arrays ``[slice, row, column]`` of one shape; spacings are mm in that order. A nodule is judged
in its own mask (an instance), never by pooling the voxels of a scan (Metrics Reloaded, 10.1038/s41592-023-02151-z).
What empty masks give is stated a function, so that a nodule without outline counts as the miss it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Mask = npt.NDArray[np.bool_]
NAN = float("nan")


def dice(a: Mask, b: Mask) -> float:
    """Twice the common volume over the sum of both; 1 where both are empty, 0 where one is."""
    _check(a, b)
    total = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / total if total else 1.0


def iou(a: Mask, b: Mask) -> float:
    """The common volume over that of the union; 1 where both are empty, 0 where one is."""
    _check(a, b)
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def surface_dice(a: Mask, b: Mask, spacing_mm: Sequence[float], tolerance_mm: float = 1.0) -> float:
    """The share of both surfaces that lies within a tolerance of the other; 1 where both are empty, 0 where one is.

    Args:
        a: One mask.
        b: The other.
        spacing_mm: Of slices, rows and columns.
        tolerance_mm: About the distance by which readers differ.
    """
    _check(a, b)
    if not (a.any() and b.any()):
        return float(a.any() == b.any())
    from monai.metrics.surface_dice import compute_surface_dice

    one, other = _tensors(a, b)
    spacing = [float(step) for step in spacing_mm]
    with _quiet_monai():
        return float(
            compute_surface_dice(
                one, other, [tolerance_mm], include_background=True, spacing=spacing, use_subvoxels=True
            )
        )


def hd95(a: Mask, b: Mask, spacing_mm: Sequence[float]) -> float:
    """The larger of the two directed 95th percentiles of the distance between surfaces (outermost voxels), mm.

    0 where both are empty. NaN where one is: no distance says how wrong a missing outline is, so that a mean leaves it
    out and states how many nodules it is over.

    Args:
        a: One mask.
        b: The other.
        spacing_mm: Of slices, rows and columns.
    """
    _check(a, b)
    if not (a.any() and b.any()):
        return 0.0 if a.any() == b.any() else NAN
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    one, other = _tensors(a, b)
    spacing = [float(step) for step in spacing_mm]
    with _quiet_monai():
        return float(compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=spacing))


def volume_error(a: Mask, b: Mask) -> float:
    """By how much the volume of a exceeds that of the reference b, relative to b; 0.1 is ten per cent too large.

    0 where both are empty, -1 where only a is, NaN where only the reference is.
    """
    _check(a, b)
    found, reference = int(a.sum()), int(b.sum())
    if not reference:
        return NAN if found else 0.0
    return (found - reference) / reference


@contextmanager
def _quiet_monai() -> Iterator[None]:
    """Without MONAI's warning that MONAI itself passes an argument of its own that it gives up."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "monai.metrics.utils get_mask_edges:always_return_as_numpy", FutureWarning)
        yield


def _check(a: Mask, b: Mask) -> None:
    if a.dtype != np.bool_ or b.dtype != np.bool_:
        raise TypeError(f"masks must be Boolean, not {a.dtype} and {b.dtype}")
    if a.shape != b.shape:
        raise ValueError(f"masks must have one shape, not {a.shape} and {b.shape}")


def _tensors(a: Mask, b: Mask) -> tuple[Tensor, Tensor]:
    """Both masks with batch and channel axes, cut to the box that holds them: whole scans cost too much."""
    import torch

    places = np.argwhere(a | b)
    box = tuple(
        slice(int(low), int(high) + 1) for low, high in zip(places.min(axis=0), places.max(axis=0), strict=True)
    )
    one, other = (torch.from_numpy(np.ascontiguousarray(mask[box])) for mask in (a, b))
    return one[None, None], other[None, None]
