"""A nodule crop as the outliner is judged on it: the centre known to 2 mm an axis, the outline on the crop's own grid.

The centre is the centroid of the readers' consensus with an error that the nodule's ID seeds, so that neither the
order of the crops nor the others among them change it. Beyond the crop's end slices the end slice is repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.special import expit

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.evaluation.overlap import dice
from lung_nodules.networks.patches import PatchGrid, flips, scale_hu
from lung_nodules.networks.record import Preprocessing
from lung_nodules.networks.runtime import Batch

CENTER_ERROR_MM = 2.0


@dataclass(frozen=True)
class CropReading:
    """What the outliner says about a crop."""

    probability: npt.NDArray[np.float32]  # on the crop's own grid
    center_ijk: npt.NDArray[np.float64]  # where the nodule was said to be


def judging_grid(crop: NoduleCrop, fed: Preprocessing, seed: int = 0) -> PatchGrid:
    """The cube in which a crop is judged: around the consensus' centroid, off by up to 2 mm an axis.

    Beyond the crop's end slices, sampling on this grid repeats the end slice.
    """
    digest = hashlib.sha256(crop.nodule_id.encode()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])
    error = rng.uniform(-CENTER_ERROR_MM, CENTER_ERROR_MM, 3) / np.asarray(crop.spacing_mm)
    return PatchGrid.centered(crop.center_ijk + error, crop.spacing_mm, (fed.patch_voxels,) * 3, fed.spacing_mm)


def read_crop(read: Callable[[Batch], Batch], crop: NoduleCrop, fed: Preprocessing, num_flips: int) -> CropReading:
    """Read a crop as the line would a candidate.

    Args:
        read: The outliner, from cubes (n, 1, D, H, W) scaled to 0-1 to logits of that shape.
        crop: The nodule; beyond its end slices the end slice is repeated.
        fed: What the outliner is fed.
        num_flips: Mirrored readings that are averaged.
    """
    grid = judging_grid(crop, fed)
    image = scale_hu(grid.sample(crop.image), fed.window_hu)
    mirrored = [np.flip(read(np.flip(image, axes)[None, None].copy())[0, 0], axes) for axes in flips(num_flips)]
    probability = np.mean([expit(logits) for logits in mirrored], axis=0)
    first, second, third = (slice(0, size) for size in crop.image.shape)
    center = grid.to_source((np.array(grid.shape) - 1) / 2)
    return CropReading(grid.back(probability, (first, second, third)), center)


def nearest_outline(reading: CropReading, threshold: float, crop: NoduleCrop) -> npt.NDArray[np.bool_]:
    """The component above the threshold nearest to where the nodule was said to be; empty where there is none."""
    inside = reading.probability >= threshold
    components = cc3d.connected_components(inside, connectivity=18)
    places = np.argwhere(components)
    if not len(places):
        return inside
    nearest = np.linalg.norm((places - reading.center_ijk) * crop.spacing_mm, axis=1).argmin()
    return np.asarray(components == components[tuple(places[int(nearest)])])


def crop_dice(
    read: Callable[[Batch], Batch],
    crops: Sequence[NoduleCrop],
    fed: Preprocessing,
    threshold: float,
    num_flips: int = 1,
) -> list[float]:
    """Dice of the outline against the consensus on each crop's own grid, the centre known to 2 mm an axis."""
    outlines = (nearest_outline(read_crop(read, crop, fed, num_flips), threshold, crop) for crop in crops)
    return [dice(outline, crop.consensus) for outline, crop in zip(outlines, crops, strict=True)]
