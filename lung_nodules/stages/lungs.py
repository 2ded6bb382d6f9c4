"""From the volume to the two lungs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RIGHT_LUNG = 1
LEFT_LUNG = 2


@dataclass(frozen=True)
class Lungs:
    """Where the lungs are."""

    label_map: npt.NDArray[np.uint8]  # [slice, row, column] on the CT's grid; 0 outside, RIGHT_LUNG, LEFT_LUNG
    right_litres: float
    left_litres: float
    bounding_box: tuple[slice, slice, slice]  # of both lungs, [slice, row, column]
