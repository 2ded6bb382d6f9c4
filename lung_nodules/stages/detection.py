"""From the volume and its lungs to candidates: where a nodule may be.

The finder, a 3D U-Net at 1 mm, is slid over the lungs and a margin around them; its overlapping windows are averaged
with Gaussian weights, as MONAI's `SlidingWindowInferer` does, which is not used because it visits every window of the
volume: the lungs touch about half of them. A candidate is a local maximum of the smoothed probability inside a
connected component above a low threshold, so that two nodules that touch give two candidates; duplicates of one
object are merged once it is outlined.

In: the CT on its own grid. Out: candidates with places on that grid and in the patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cc3d
import edt
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import expit

from lung_nodules.networks.patches import Box, PatchGrid, scale_hu
from lung_nodules.networks.runtime import Batch, Network
from lung_nodules.progress import Progress
from lung_nodules.settings import DetectionSettings, Settings
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.volume import Volume

_PLATEAU = 1e-3  # probabilities that differ by less are equally high


@dataclass(frozen=True)
class Candidate:
    """A place where a nodule may be."""

    center_ijk: tuple[float, float, float]  # on the CT's grid, slice, row, column
    center_lps: tuple[float, float, float]  # mm
    score: float  # the finder's probability at the maximum, smoothed over its neighbours, 0-1
    volume_mm3: float  # of the connected component that holds it
    extent_mm: tuple[float, float, float]  # of that component's bounding box, along slices, rows, columns


@dataclass(frozen=True)
class Candidates:
    """What the finder points at."""

    examined: tuple[Candidate, ...]  # by falling score, at most `max_candidates`
    num_not_examined: int  # beyond those


def detect_candidates(
    volume: Volume, lungs: Lungs, finder: Network, settings: Settings, progress: Progress
) -> Candidates:
    """Search the lungs for nodules.

    Args:
        volume: The CT, HU.
        lungs: Its lungs.
        finder: From cubes (1, 1, D, H, W) scaled to 0-1 to logits of that shape; its record gives spacing, window,
            cube.
        settings: `Settings.detection` is read.
        progress: Told of each window.

    Returns:
        The candidates to examine, and how many there are beyond them.
    """
    limits, fed = settings.detection, finder.record.preprocessing
    box = _grow(lungs.bounding_box, limits.margin_mm, volume)
    grid = PatchGrid.covering(_relative(box), volume.geometry.spacing_mm, fed.spacing_mm)
    searched = _near(lungs.label_map[box], grid, limits.margin_mm / fed.spacing_mm)
    scaled = scale_hu(grid.sample(volume.array[box]), fed.window_hu)
    probability = find_probability(scaled, searched, finder, fed.patch_voxels, limits, progress)
    probability[~searched] = 0.0
    offset = np.array([part.start for part in box], dtype=float)
    threshold = finder.record.operating_point()[1].threshold
    found = _candidates(probability, threshold, grid, offset, volume, fed.spacing_mm, limits)
    return Candidates(found[: limits.max_candidates], max(len(found) - limits.max_candidates, 0))


def find_probability(
    scaled: npt.NDArray[np.float32],
    searched: npt.NDArray[np.bool_],
    finder: Callable[[Batch], Batch],
    side: int,
    limits: DetectionSettings,
    progress: Progress,
) -> npt.NDArray[np.float32]:
    """The finder's probability on a grid at its spacing; 0 where no window came.

    Args:
        scaled: [slice, row, column], scaled to 0-1.
        searched: The same shape; windows without a searched voxel are passed over.
        finder: From cubes (1, 1, side, side, side) to logits of that shape.
        side: Voxels of a window along each axis.
        limits: Window overlap.
        progress: Told of each window.
    """
    padding = [(0, max(side - size, 0)) for size in scaled.shape]
    padded = np.pad(scaled, padding, mode="edge")
    visited = [window for window in _windows(padded.shape, side, limits.window_overlap) if searched[window].any()]
    total = np.zeros(padded.shape, dtype=np.float32)
    weights = np.zeros(padded.shape, dtype=np.float32)
    importance = _gaussian_cube(side, limits.window_sigma)
    with progress.stage("detection", len(visited)) as advance:
        for window in visited:
            logits = finder(padded[window][None, None])[0, 0]
            total[window] += importance * expit(logits)
            weights[window] += importance
            advance(1)
    np.divide(total, weights, out=total, where=weights > 0)
    return total[: scaled.shape[0], : scaled.shape[1], : scaled.shape[2]]


def _candidates(
    probability: npt.NDArray[np.float32],
    threshold: float,
    grid: PatchGrid,
    offset: npt.NDArray[np.float64],
    volume: Volume,
    spacing_mm: float,
    limits: DetectionSettings,
) -> tuple[Candidate, ...]:
    components = cc3d.connected_components(probability > threshold, connectivity=18)
    statistics = cc3d.statistics(components)
    smooth = ndimage.gaussian_filter(probability, limits.peak_sigma_mm / spacing_mm, truncate=3.0)
    found = []
    for label, box in enumerate(statistics["bounding_boxes"]):
        size_mm3 = float(statistics["voxel_counts"][label]) * spacing_mm**3
        if label == 0 or size_mm3 < limits.min_component_mm3:
            continue
        inside = components[box] == label
        for peak in _peaks(smooth[box], inside, limits.peak_distance_mm / spacing_mm):
            place = grid.to_source(np.array(peak) + [part.start for part in box]) + offset
            found.append(
                Candidate(
                    center_ijk=_triple(place),
                    center_lps=_triple(volume.geometry.to_world(place)),
                    score=float(smooth[box][peak]),
                    volume_mm3=size_mm3,
                    extent_mm=_triple(np.array(inside.shape) * spacing_mm),
                )
            )
    found.sort(key=lambda candidate: (-candidate.score, candidate.center_lps))
    return tuple(found)


def _peaks(
    smooth: npt.NDArray[np.float32], inside: npt.NDArray[np.bool_], distance: float
) -> list[tuple[int, int, int]]:
    """The highest places of the component within `distance` voxels; the component's highest at least.

    A plateau, which a mass gives whose inside the finder is sure of, is one place: its middle voxel.
    """
    masked = np.where(inside, smooth, -np.inf)
    radius = max(round(distance), 1)
    highest = ndimage.maximum_filter(masked, size=2 * radius + 1, mode="constant", cval=-np.inf)
    plateaus, _ = ndimage.label(inside & (masked >= highest - _PLATEAU), np.ones((3, 3, 3)))
    peaks = [_middle(plateaus, number, box) for number, box in enumerate(ndimage.find_objects(plateaus), start=1)]
    kept: list[npt.NDArray[np.intp]] = []
    for peak in sorted(peaks, key=lambda place: (-masked[tuple(place)], *place)):
        if all(np.linalg.norm(peak - other) > distance for other in kept):
            kept.append(peak)
    return [(int(a), int(b), int(c)) for a, b, c in kept]


def _middle(labels: npt.NDArray[np.integer[Any]], label: int, box: tuple[slice, ...]) -> npt.NDArray[np.intp]:
    """The voxel of a label that is nearest to its centroid."""
    places = np.argwhere(labels[box] == label)
    nearest = np.linalg.norm(places - places.mean(axis=0), axis=1).argmin()
    return np.asarray(places[nearest] + [part.start for part in box])


def _windows(shape: tuple[int, ...], side: int, overlap: float) -> Iterator[Box]:
    """Cubes of `side` voxels that cover the shape, evenly spread with at least this overlap."""
    starts = []
    for size in shape:
        steps = max(int(np.ceil((size - side) / (side * (1 - overlap)))), 0)
        starts.append([round(k * (size - side) / steps) for k in range(steps + 1)] if steps else [0])
    for first in starts[0]:
        for second in starts[1]:
            for third in starts[2]:
                yield (slice(first, first + side), slice(second, second + side), slice(third, third + side))


def _gaussian_cube(side: int, sigma: float) -> npt.NDArray[np.float32]:
    """Weights of a window's voxels: a Gaussian of `sigma` times the side, 1 in the middle."""
    distance = (np.arange(side) - (side - 1) / 2) / (sigma * side)
    line = np.exp(-0.5 * distance**2)
    return np.asarray(np.maximum(line[:, None, None] * line[:, None] * line, 1e-3), dtype=np.float32)


def _near(label_map: npt.NDArray[np.uint8], grid: PatchGrid, margin_voxels: float) -> npt.NDArray[np.bool_]:
    """Voxels of the grid within a margin of the lungs; the distance is measured on every second voxel."""
    lung = grid.sample((label_map > 0).astype(np.uint8)) >= 0.5
    coarse = edt.edt(np.ascontiguousarray(~lung[::2, ::2, ::2])) * 2 <= margin_voxels
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    return np.asarray(fine[: lung.shape[0], : lung.shape[1], : lung.shape[2]])


def _grow(box: Box, margin_mm: float, volume: Volume) -> Box:
    grown = [
        slice(max(part.start - int(margin_mm / step) - 1, 0), min(part.stop + int(margin_mm / step) + 1, size))
        for part, step, size in zip(box, volume.geometry.spacing_mm, volume.array.shape, strict=True)
    ]
    return (grown[0], grown[1], grown[2])


def _relative(box: Box) -> Box:
    first, second, third = (slice(0, part.stop - part.start) for part in box)
    return first, second, third


def _triple(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
