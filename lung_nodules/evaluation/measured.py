"""Crops with what the line would know of them: the classifier's logits, and the measurements of the own outline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.evaluation.crops import judging_grid, nearest_outline, read_crop
from lung_nodules.networks.patches import PatchGrid, flips, scale_hu
from lung_nodules.networks.record import Preprocessing
from lung_nodules.networks.runtime import Batch
from lung_nodules.settings import ClassificationSettings, SegmentationSettings
from lung_nodules.stages.features import measure_features

MIN_READERS = 3
MALIGNANCY_MIDDLE = 3  # "indeterminate"
OUTLINE_FLIPS = SegmentationSettings().num_flips  # as the line averages them
CLASSIFIER_FLIPS = ClassificationSettings().num_flips


@dataclass(frozen=True)
class Measured:
    """A crop with what the line would know of it."""

    crop: NoduleCrop
    inputs: Mapping[str, float]  # of the heads, but for the candidate's score

    @property
    def is_suspicious(self) -> bool:
        """Whether the readers' mean malignancy is above the middle of the scale."""
        return self.crop.ratings["malignancy"] > MALIGNANCY_MIDDLE


def is_rated(crop: NoduleCrop) -> bool:
    """Whether three readers and more rated the nodule's malignancy."""
    return crop.num_readers >= MIN_READERS and bool(np.isfinite(crop.ratings["malignancy"]))


def is_decided(crop: NoduleCrop) -> bool:
    """Whether three readers and more rated it, and their mean malignancy is not the middle of the scale."""
    return is_rated(crop) and crop.ratings["malignancy"] != MALIGNANCY_MIDDLE


def decided(measured: Sequence[Measured]) -> list[Measured]:
    """The nodules of which `is_decided` holds."""
    return [one for one in measured if is_decided(one.crop)]


def measure_crops(
    crops: Sequence[NoduleCrop],
    outliner: Callable[[Batch], Batch],
    threshold: float,
    classifier: Callable[[Batch], Batch],
    outputs: Sequence[str],
    fed: Preprocessing,
) -> list[Measured]:
    """Outline, measure and read crops as the line does; a crop in which nothing is outlined is left out.

    Args:
        crops: The nodules.
        outliner: From cubes (n, 1, D, H, W) scaled to 0-1 to logits of that shape.
        threshold: Of the outliner.
        classifier: From such cubes to logits (n, outputs); it is given the cube around the own outline's centroid.
        outputs: Names of the classifier's outputs.
        fed: What both are fed.
    """
    masks = [own_outline(crop, outliner, threshold, fed) for crop in crops]
    outlined = [(crop, mask) for crop, mask in zip(crops, masks, strict=True) if mask.any()]
    cubes = (_cube_around(mask, crop, fed) for crop, mask in outlined)
    logits = read_cubes(classifier, cubes, fed.window_hu, CLASSIFIER_FLIPS)
    return [
        Measured(crop, _named("image", dict(zip(outputs, row, strict=True))) | outline_features(crop, mask))
        for (crop, mask), row in zip(outlined, logits, strict=True)
    ]


def own_outline(
    crop: NoduleCrop, outliner: Callable[[Batch], Batch], threshold: float, fed: Preprocessing
) -> npt.NDArray[np.bool_]:
    """The outline on the crop's own grid as the line draws it; empty where it draws none."""
    return nearest_outline(read_crop(outliner, crop, fed, OUTLINE_FLIPS), threshold, crop)


def outline_features(crop: NoduleCrop, mask: npt.NDArray[np.bool_]) -> dict[str, float]:
    """The measured features of an outline, ``feature.NAME``."""
    return _named("feature", measure_features(crop.image, mask, crop.spacing_mm))


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


def _cube_around(mask: npt.NDArray[np.bool_], crop: NoduleCrop, fed: Preprocessing) -> npt.NDArray[Any]:
    center = np.argwhere(mask).mean(axis=0)
    grid = PatchGrid.centered(center, crop.spacing_mm, (fed.patch_voxels,) * 3, fed.spacing_mm)
    return grid.sample(crop.image)


def _named(kind: str, values: Mapping[str, Any]) -> dict[str, float]:
    return {f"{kind}.{name}": float(value) for name, value in values.items()}
