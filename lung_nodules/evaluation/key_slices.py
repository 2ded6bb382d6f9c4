"""What a picture of an outline shows: the slice in which the readers' consensus is largest, cut to the nodule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lung_nodules.evaluation.overlap import Mask

DIAMETERS_SHOWN = 1.2  # from the centre to each edge of the picture
LEAST_REACH_MM = 12.0


@dataclass(frozen=True)
class KeySlice:
    """One slice around a nodule; all arrays ``[row, column]`` of one shape, which ends where the CT does."""

    image: npt.NDArray[np.int16]  # HU
    readers: tuple[Mask, ...]  # a reader's outline each; of a whole scan their consensus alone
    outline: Mask
    center: tuple[float, float]  # row and column of the consensus' centroid
    reach: tuple[float, float]  # rows and columns from there to the edges of the picture


def cut_key_slice(
    image: npt.NDArray[np.int16],
    consensus: Mask,
    readers: Sequence[Mask],
    outline: Mask,
    spacing_mm: tuple[float, float, float],
    diameter_mm: float,
) -> KeySlice:
    """The key slice of a nodule; its arrays are copies, so that a scan is not kept for its pictures.

    Args:
        image: HU, ``[slice, row, column]``.
        consensus: Of the readers, not empty; decides slice and centre.
        readers: The outlines that are drawn beside ours.
        outline: Ours.
        spacing_mm: Of slices, rows and columns.
        diameter_mm: Of the nodule, for the size of the picture.
    """
    key = int(consensus.sum(axis=(1, 2)).argmax())
    middle = np.argwhere(consensus).mean(axis=0)[1:]
    reach = max(DIAMETERS_SHOWN * diameter_mm, LEAST_REACH_MM) / np.asarray(spacing_mm[1:])
    low = np.maximum(np.floor(middle - reach), 0).astype(int)
    high = np.ceil(middle + reach).astype(int) + 1
    rows, columns = (slice(int(first), int(last)) for first, last in zip(low, high, strict=True))
    return KeySlice(
        image=image[key, rows, columns].copy(),
        readers=tuple(mask[key, rows, columns].copy() for mask in readers),
        outline=outline[key, rows, columns].copy(),
        center=(float(middle[0] - low[0]), float(middle[1] - low[1])),
        reach=(float(reach[0]), float(reach[1])),
    )
