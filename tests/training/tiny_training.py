"""What a training of a few steps learns from: invented nodules, and a cube of noise for lung."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_cohort import write_tiny_crops

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.training.backgrounds import Background


def make_training_crops(folder: Path) -> tuple[NoduleCrop, ...]:
    """The crops that train of a tiny cohort, which is written to the folder."""
    write_tiny_crops(folder)
    return read_crops(folder, [Split.TRAIN])


def make_noise(below_hu: int) -> Background:
    """A clear scan of 40 voxels a side, 3 mm, of uniform noise from -900 HU to below the given HU."""
    hu = np.random.default_rng(0).integers(-900, below_hu, (40, 40, 40)).astype(np.int16)
    clear = np.ones(hu.shape, dtype=bool)
    return Background("scan", hu, clear, clear, np.argwhere(clear)[::500].astype(np.int32), spacing_mm=3.0)
