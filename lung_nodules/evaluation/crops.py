"""A nodule crop as the outliner is judged on it: the centre known to 2 mm an axis, the outline on the crop's own grid.

The centre is the centroid of the readers' consensus with an error that the nodule's ID seeds, so that neither the
order of the crops nor the others among them change it. Beyond the crop's end slices the end slice is repeated.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.special import expit

from lung_nodules.cohorts.crops import MAX_READERS, NoduleCrop
from lung_nodules.evaluation.key_slices import KeySlice, cut_key_slice
from lung_nodules.evaluation.overlap import dice
from lung_nodules.networks.opened import Networks
from lung_nodules.networks.patches import PatchGrid, flips, scale_hu
from lung_nodules.networks.record import Preprocessing
from lung_nodules.networks.runtime import Batch
from lung_nodules.settings import Settings
from lung_nodules.stages.classification import apply_head, read_inputs
from lung_nodules.stages.detection import Candidate
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.nodules import Nodule, measure_nodules
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Geometry, Volume
from lung_nodules.timings import Stopwatch

CENTER_ERROR_MM = 2.0
UNKNOWN_SCORE = 0.5  # of the finder, which does not run on a crop; the suspicion does not use it
UNOUTLINED_SUSPICION = 0.0  # the line reports no finding where it outlines nothing


@dataclass(frozen=True)
class CropReading:
    """What the outliner says about a crop."""

    probability: npt.NDArray[np.float32]  # on the crop's own grid
    center_ijk: npt.NDArray[np.float64]  # where the nodule was said to be


@dataclass(frozen=True)
class JudgedCrop:
    """A crop, what the line outlines on it, and what it makes of that."""

    crop: NoduleCrop = field(repr=False)
    outline: npt.NDArray[np.bool_] = field(repr=False)  # on the crop's own grid; empty where nothing was outlined
    inputs: Mapping[str, float]  # of the classifier's heads; none where nothing was outlined
    suspicion: float  # 0-1: readers' suspicion of malignancy, given that it is a nodule

    @property
    def key_slice(self) -> KeySlice:
        """What a picture of the outline shows, each reader's beside it."""
        crop = self.crop
        readers = [(crop.masks >> reader) & 1 > 0 for reader in range(MAX_READERS)]
        return cut_key_slice(crop.image, crop.consensus, readers, self.outline, crop.spacing_mm, crop.diameter_mm)


def judge_crop(crop: NoduleCrop, networks: Networks, settings: Settings, watch: Stopwatch) -> JudgedCrop:
    """Outline, measure and rate a crop's nodule with the line's own stages.

    Args:
        crop: The nodule; beyond its end slices the end slice is repeated.
        networks: The line's.
        settings: `Settings.segmentation` and `Settings.classification` say how many mirrored readings are averaged.
        watch: Takes the time of each stage.
    """
    outliner, classifier = networks.outliner, networks.classifier
    with watch.stage("segmentation"):
        reading = read_crop(outliner, crop, outliner.record.preprocessing, settings.segmentation.num_flips)
        outline = nearest_outline(reading, outliner.record.operating_point()[1].threshold, crop)
    if not outline.any():
        return JudgedCrop(crop, outline, {}, UNOUTLINED_SUSPICION)
    volume = _as_volume(crop)
    with watch.stage("nodules"):
        nodule = _measure(volume, outline, settings)
    with watch.stage("classification"):
        inputs = read_inputs(volume, nodule, classifier, settings.classification.num_flips)
        suspicion = apply_head(classifier.record.heads["suspicion"], inputs)
    return JudgedCrop(crop, outline, inputs, suspicion)


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


def _as_volume(crop: NoduleCrop) -> Volume:
    """The crop as a CT of its own; its slices run upward, its rows to the back, its columns to the left."""
    shape = (crop.image.shape[0], crop.image.shape[1], crop.image.shape[2])
    upward, backward, leftward = (0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)
    return Volume(crop.image, Geometry((0.0, 0.0, 0.0), crop.spacing_mm, (upward, backward, leftward), shape))


def _measure(volume: Volume, outline: npt.NDArray[np.bool_], settings: Settings) -> Nodule:
    """What the line measures of an outline; on which side of which lung is not known of a crop."""
    nowhere = np.zeros(outline.shape, dtype=np.uint8)
    lungs = Lungs(nowhere, 0.0, 0.0, (slice(0), slice(0), slice(0)))
    candidate = Candidate((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), UNKNOWN_SCORE, 0.0, (0.0, 0.0, 0.0))
    return measure_nodules(volume, lungs, Outlines(outline.astype(np.uint16), (candidate,), 0, 0), settings)[0]
