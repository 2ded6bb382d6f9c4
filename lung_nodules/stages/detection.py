"""From the volume and its lungs to candidates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A place where a nodule may be: one connected component of the finder's probability."""

    center_ijk: tuple[float, float, float]  # on the CT's grid, slice, row, column
    center_lps: tuple[float, float, float]  # mm
    score: float  # peak of the finder's probability, 0-1
    volume_mm3: float  # of the component
    extent_mm: tuple[float, float, float]  # of its bounding box, along slices, rows, columns
