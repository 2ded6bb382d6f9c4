"""Where a network sees a nodule and there is none: hard negatives, and what the classifier has to tell from nodules.

Two kinds of lung are searched: whole scans of patients who train, and the crops themselves beside their nodule, which
come from hundreds of patients and many scanners. A crop shows only the slices of its nodule, so it is read with its end
slices repeated, as its nodule is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cc3d
import edt
import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage
from scipy.special import expit
from torch import nn

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.patches import PatchGrid, scale_hu
from lung_nodules.networks.runtime import Batch
from lung_nodules.progress import Progress
from lung_nodules.settings import DetectionSettings, Section
from lung_nodules.stages.detection import find_probability
from lung_nodules.training.backgrounds import Background

CROP_GRID_VOXELS = (48, 64, 64)  # slices, rows, columns


class MiningSettings(Section):
    """When a place counts as a mistake."""

    threshold: float = Field(default=0.05, gt=0, lt=1, description="Probability from which a place was wrong.")
    window_voxels: int = Field(default=96, ge=32, multiple_of=8)
    margin_mm: float = Field(default=6.0, ge=0, description="Around a nodule of a crop: what is nearer is no mistake.")
    offset_mm: float = Field(
        default=14.0, ge=0, description="Greatest distance in plane, an axis, from the middle of a crop."
    )


@dataclass(frozen=True)
class Mistake:
    """A place of a background where a network saw a nodule."""

    background: int  # number of the background
    center_ijk: tuple[int, int, int]  # on the background's grid
    score: float  # as a candidate's: the greatest smoothed probability there


@dataclass(frozen=True)
class CropMistake:
    """A place of a crop, outside every nodule, where a network saw one."""

    crop: int  # number of the crop
    center_ijk: tuple[float, float, float]  # on the crop's grid
    score: float  # as a candidate's: the greatest smoothed probability there


def mine(
    network: nn.Module,
    backgrounds: Sequence[Background],
    window_hu: tuple[float, float],
    settings: MiningSettings,
    progress: Progress,
) -> list[Mistake]:
    """Where the network sees nodules in lung that has none."""
    read = reader(network)
    found = []
    for number, background in enumerate(backgrounds):
        scaled = scale_hu(background.hu, window_hu)
        probability = find_probability(
            scaled, background.near_lung, read, settings.window_voxels, DetectionSettings(), progress
        )
        probability[~background.near_lung] = 0.0
        wrong = (probability > settings.threshold) & background.clear
        for place, score in _peaks(wrong, smoothed(probability, background.spacing_mm)):
            found.append(Mistake(number, place, score))
    return found


def mine_crops(
    network: nn.Module,
    crops: Sequence[NoduleCrop],
    window_hu: tuple[float, float],
    spacing_mm: float,
    settings: MiningSettings,
    progress: Progress,
) -> list[CropMistake]:
    """Where the network sees nodules in crops, outside the outlines of every reader and every other known nodule.

    Args:
        network: From cubes scaled to 0-1 to logits of their shape.
        crops: All known nodules of the patients; those of one series know of each other.
        window_hu: What the network is fed.
        spacing_mm: Of the network.
        settings: See `MiningSettings`.
        progress: Told of each crop.
    """
    read = reader(network)
    neighbours = _by_series(crops)
    found = []
    with progress.stage("mistakes beside nodules", len(crops)) as advance:
        for number, crop in enumerate(crops):
            if crop.kind == "slices" and crop.masks.any():
                others = [one for one in neighbours[crop.series_instance_uid] if one is not crop]
                for place, score in _mistakes_of(crop, others, read, window_hu, spacing_mm, settings):
                    found.append(CropMistake(number, place, score))
            advance(1)
    return found


def smoothed(probability: npt.NDArray[np.float32], spacing_mm: float) -> npt.NDArray[np.float32]:
    """The probability as the line smooths it before it looks for peaks."""
    sigma = DetectionSettings().peak_sigma_mm / spacing_mm
    return np.asarray(ndimage.gaussian_filter(probability, sigma, truncate=3.0), dtype=np.float32)


def _mistakes_of(
    crop: NoduleCrop,
    others: Sequence[NoduleCrop],
    read: Callable[[Batch], Batch],
    window_hu: tuple[float, float],
    spacing_mm: float,
    settings: MiningSettings,
) -> Iterator[tuple[tuple[float, float, float], float]]:
    middle = (np.array(crop.image.shape) - 1) / 2
    grid = PatchGrid.centered(middle, crop.spacing_mm, CROP_GRID_VOXELS, spacing_mm)
    probability = expit(read(scale_hu(grid.sample(crop.image), window_hu)[None, None])[0, 0])
    near_nodule = grid.sample(_near_nodule(crop, settings.margin_mm).astype(np.uint8), outside=1.0) > 0
    wrong = (probability > settings.threshold) & ~near_nodule
    for place, score in _peaks(wrong, smoothed(probability, spacing_mm)):
        there = grid.to_source(place)
        offset_mm = np.abs(there - middle) * crop.spacing_mm
        if (offset_mm[1:] <= settings.offset_mm).all() and not _is_within(crop, there, others, settings.margin_mm):
            yield (float(there[0]), float(there[1]), float(there[2])), score


def _near_nodule(crop: NoduleCrop, margin_mm: float) -> npt.NDArray[np.bool_]:
    outside = np.ascontiguousarray(crop.masks == 0)
    return np.asarray(edt.edt(outside, anisotropy=crop.spacing_mm) <= margin_mm)


def _is_within(
    crop: NoduleCrop, place: npt.NDArray[np.float64], others: Sequence[NoduleCrop], margin_mm: float
) -> bool:
    """Whether a place of the crop lies in or near another nodule of its scan."""
    for other in others:
        away = (place + crop.origin_ijk - other.center_ijk - other.origin_ijk) * crop.spacing_mm
        if np.linalg.norm(away) <= other.diameter_mm / 2 + margin_mm:
            return True
    return False


def _by_series(crops: Sequence[NoduleCrop]) -> dict[str, list[NoduleCrop]]:
    members: dict[str, list[NoduleCrop]] = defaultdict(list)
    for crop in crops:
        if crop.kind == "slices" and crop.consensus.any():
            members[crop.series_instance_uid].append(crop)
    return members


def _peaks(
    wrong: npt.NDArray[np.bool_], smooth: npt.NDArray[np.float32]
) -> Iterator[tuple[tuple[int, int, int], float]]:
    """The highest place of each connected component of what is wrong, and its smoothed probability."""
    components = cc3d.connected_components(wrong, connectivity=18)
    for label, box in enumerate(cc3d.statistics(components)["bounding_boxes"]):
        if label == 0:
            continue
        inside = np.where(components[box] == label, smooth[box], -1.0)
        place = np.array(np.unravel_index(int(inside.argmax()), inside.shape)) + [part.start for part in box]
        yield (int(place[0]), int(place[1]), int(place[2])), float(inside.max())
