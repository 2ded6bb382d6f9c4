"""From candidates to outlines on the CT's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lung_nodules.stages.detection import Candidate


@dataclass(frozen=True)
class Outlines:
    """Every candidate that could be outlined, as one label map."""

    label_map: npt.NDArray[np.uint16]  # [slice, row, column] on the CT's grid; 0 outside, label k is candidates[k-1]
    candidates: tuple[Candidate, ...]  # by falling score
    num_without_outline: int  # candidates dropped because the outliner drew nothing there
    num_merged: int  # candidates dropped because their outline was that of a higher one
