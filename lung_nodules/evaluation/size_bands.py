"""Size bands: overlap is unstable on few voxels, so that outlines are judged by size (Metrics Reloaded, 2024)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

BANDS = ("<6", "6-10", "10-20", ">=20")  # mm; the lower end belongs to a band, the upper to the next
EDGES_MM = (6.0, 10.0, 20.0)


def band_of(diameter_mm: float) -> str:
    """The name of the band that a diameter lies in.

    Raises:
        ValueError: The diameter is no number or below zero.
    """
    if not diameter_mm >= 0:
        raise ValueError(f"a diameter of {diameter_mm} mm lies in no size band")
    return BANDS[int(np.searchsorted(EDGES_MM, diameter_mm, side="right"))]


def rows_by_band(diameters_mm: Sequence[float]) -> dict[str, npt.NDArray[np.intp]]:
    """The rows of each band, in the order of `BANDS`; an empty array for a band without rows."""
    bands = np.array([band_of(diameter_mm) for diameter_mm in diameters_mm], dtype=object)
    return {band: np.flatnonzero(bands == band) for band in BANDS}
