"""Crops with what the line would know of them: the classifier's logits, and the measurements of the own outline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.evaluation.crops import judging_grid, nearest_outline, read_crop
from lung_nodules.networks.patches import flips, scale_hu
from lung_nodules.networks.record import Preprocessing
from lung_nodules.networks.runtime import Batch
from lung_nodules.stages.features import measure_features

MIN_READERS = 3
MALIGNANCY_MIDDLE = 3  # "indeterminate"


@dataclass(frozen=True)
class Measured:
    """A crop with what the line would know of it."""

    crop: NoduleCrop
    inputs: Mapping[str, float]  # of the heads, but for the candidate's score

    @property
    def is_suspicious(self) -> bool:
        """Whether the readers' mean malignancy is above the middle of the scale."""
        return self.crop.ratings["malignancy"] > MALIGNANCY_MIDDLE


def decided(measured: Sequence[Measured]) -> list[Measured]:
    """Nodules of three and more readers whose mean malignancy is not the middle of the scale."""
    return [
        one
        for one in measured
        if one.crop.num_readers >= MIN_READERS and one.crop.ratings["malignancy"] != MALIGNANCY_MIDDLE
    ]


def measure_crops(
    crops: Sequence[NoduleCrop],
    outliner: Callable[[Batch], Batch],
    threshold: float,
    classifier: Callable[[Batch], Batch],
    outputs: Sequence[str],
    fed: Preprocessing,
    num_flips: int,
) -> list[Measured]:
    """Outline, measure and read crops; a crop in which nothing is outlined is left out.

    Args:
        crops: The nodules.
        outliner: From cubes (n, 1, D, H, W) scaled to 0-1 to logits of that shape.
        threshold: Of the outliner.
        classifier: From such cubes to logits (n, outputs).
        outputs: Names of the classifier's outputs.
        fed: What both are fed.
        num_flips: The classifier's mirrored readings that are averaged.
    """
    logits = read_logits(classifier, crops, fed, num_flips)
    measured = []
    for crop, row in zip(crops, logits, strict=True):
        mask = nearest_outline(read_crop(outliner, crop, fed, 1), threshold, crop)
        if mask.any():
            features = measure_features(crop.image, mask, crop.spacing_mm)
            image = {f"image.{name}": float(value) for name, value in zip(outputs, row, strict=True)}
            measured.append(Measured(crop, image | {f"feature.{name}": value for name, value in features.items()}))
    return measured


def read_logits(
    classifier: Callable[[Batch], Batch], crops: Sequence[NoduleCrop], fed: Preprocessing, num_flips: int
) -> npt.NDArray[np.float32]:
    """The logits for each crop's nodule, (crops, outputs), averaged over flips; end slices repeated."""
    cubes = (judging_grid(crop, fed).sample(crop.image) for crop in crops)
    return read_cubes(classifier, cubes, fed.window_hu, num_flips)


def read_cubes(
    classifier: Callable[[Batch], Batch],
    cubes: Iterable[npt.NDArray[Any]],
    window_hu: tuple[float, float],
    num_flips: int,
) -> npt.NDArray[np.float32]:
    """The logits for cubes in HU, (cubes, outputs), averaged over flips."""
    rows = []
    for cube in cubes:
        image = scale_hu(cube, window_hu)
        batch = np.stack([np.flip(image, axes) for axes in flips(num_flips)])[:, None]
        rows.append(classifier(np.ascontiguousarray(batch)).mean(axis=0))
    return np.array(rows, dtype=np.float32)
