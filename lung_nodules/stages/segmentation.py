"""From candidates to outlines on the CT's own grid.

The outliner, a second 3D U-Net, sees a 48 mm cube around each candidate at 1 mm and outlines the nodule in the
middle; its mirrored readings are averaged. The component at the candidate is brought back to the CT's grid by its
probability, so that the outline is as fine as the CT and not as the cube. Finding and outlining are two steps because
one network that did both was poor at both.

An outline of which too little lies in the lungs is no nodule of the lungs: the dome of the liver, the aorta and the
great vessels are what networks that learned from crops of lung take for one. The lungs' mask is closed over nodules and
masses on the pleura (`lungs`), so these stay.

In: the CT, its lungs and candidates. Out: one label map, a voxel having one label at most.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.special import expit

from lung_nodules.networks.patches import Box, PatchGrid, flips, scale_hu
from lung_nodules.networks.runtime import Network
from lung_nodules.progress import Progress
from lung_nodules.settings import SegmentationSettings, Settings
from lung_nodules.stages.detection import Candidate, Candidates
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.necks import split_at_necks
from lung_nodules.stages.volume import Volume

CUBE_GROWTH = 1.5
CUBE_MULTIPLE = 8  # the U-Net halves three times


@dataclass(frozen=True)
class Outlines:
    """Every candidate that could be outlined, as one label map."""

    label_map: npt.NDArray[np.uint16]  # [slice, row, column] on the CT's grid; 0 outside, label k is candidates[k-1]
    candidates: tuple[Candidate, ...]  # by falling score
    num_without_outline: int  # candidates dropped because the outliner drew nothing there
    num_merged: int  # candidates dropped because their outline was that of a higher one
    num_outside_lungs: int = 0  # candidates dropped because too little of their outline lies in the lungs
    num_not_examined: int = 0  # candidates beyond `max_candidates`, which were never outlined


@dataclass
class _Object:
    """One outlined thing, and the candidates that point at it."""

    box: Box  # on the CT's grid
    probability: npt.NDArray[np.float32] = field(repr=False)  # of the box; 0 outside the outline
    seeds: list[Candidate]


@dataclass(frozen=True)
class _Part:
    """What one candidate keeps of an object."""

    candidate: Candidate
    box: Box
    mask: npt.NDArray[np.bool_] = field(repr=False)
    probability: npt.NDArray[np.float32] = field(repr=False)


def segment_candidates(
    volume: Volume,
    lungs: Lungs,
    candidates: Candidates,
    outliner: Network,
    settings: Settings,
    progress: Progress,
) -> Outlines:
    """Outline every candidate.

    Args:
        volume: The CT, HU.
        lungs: Its lungs.
        candidates: Those to examine are outlined, the others counted.
        outliner: From cubes (n, 1, D, H, W) scaled to 0-1 to logits of that shape; its record gives spacing, window,
            cube.
        settings: `Settings.segmentation` is read.
        progress: Told of each candidate.
    """
    limits = settings.segmentation
    objects: list[_Object] = []
    num_without_outline = 0
    with progress.stage("segmentation", len(candidates.examined)) as advance:
        for candidate in candidates.examined:
            advance(1)
            known = _object_at(objects, candidate)
            if known is not None:
                known.seeds.append(candidate)
                continue
            drawn = outline_at(volume, candidate.center_ijk, outliner, limits)
            if drawn is None:
                num_without_outline += 1
            else:
                _add(objects, _Object(*drawn, seeds=[candidate]), limits)
    parts = [part for thing in objects for part in _parts(thing, volume, limits)]
    inside = [part for part in parts if _share_in_lungs(part, lungs) >= limits.min_lung_share]
    label_map, kept = _paint(inside, volume.array.shape)
    num_outside_lungs = len(parts) - len(inside)
    num_merged = len(candidates.examined) - num_without_outline - num_outside_lungs - len(kept)
    return Outlines(label_map, kept, num_without_outline, num_merged, num_outside_lungs, candidates.num_not_examined)


def outline_at(
    volume: Volume,
    center_ijk: tuple[float, float, float],
    outliner: Network,
    limits: SegmentationSettings,
) -> tuple[Box, npt.NDArray[np.float32]] | None:
    """Outline what lies at a place of the CT.

    Returns:
        A box on the CT's grid and the outliner's probability in it, 0 outside the component at the place; None where
        there is no such component. The outline is where the probability reaches the threshold.
    """
    fed, threshold = outliner.record.preprocessing, outliner.record.operating_point()[1].threshold
    spacing, side, center = fed.spacing_mm, fed.patch_voxels, np.array(center_ijk)
    reach = limits.search_radius_mm / spacing
    while True:
        grid = PatchGrid.centered(center, volume.geometry.spacing_mm, (side,) * 3, spacing)
        image = scale_hu(grid.sample(volume.array), fed.window_hu)
        seed = grid.to_patch(np.array(center_ijk))
        component = _component_at(_read(outliner, image, 1) >= threshold, seed, reach)
        if component is None:
            return None
        larger = int(np.ceil(side * CUBE_GROWTH / CUBE_MULTIPLE)) * CUBE_MULTIPLE
        if not _touches_border(component) or larger * spacing > limits.largest_cube_mm:
            break
        middle = np.argwhere(component)
        center = grid.to_source((middle.min(axis=0) + middle.max(axis=0)) / 2)
        side = larger
    probability = _read(outliner, image, limits.num_flips)
    component = _component_at(probability >= threshold, seed, reach)
    return None if component is None else _to_ct(grid, probability, component, volume, threshold)


def _read(outliner: Network, image: npt.NDArray[np.float32], num_flips: int) -> npt.NDArray[np.float32]:
    """The outliner's probability, averaged over mirrored readings of the image."""
    total = np.zeros_like(image)
    for axes in flips(num_flips):
        logits = np.flip(outliner(np.ascontiguousarray(np.flip(image, axes))[None, None])[0, 0], axes)
        total += expit(logits)
    return np.asarray(total / num_flips, dtype=np.float32)


def _component_at(
    inside: npt.NDArray[np.bool_], seed: npt.NDArray[np.float64], reach: float
) -> npt.NDArray[np.bool_] | None:
    """The component that is nearest to the seed, if it comes within `reach` voxels."""
    components = cc3d.connected_components(inside, connectivity=18)
    places = np.argwhere(components)
    if not len(places):
        return None
    distance = np.linalg.norm(places - seed, axis=1)
    nearest = int(distance.argmin())
    if distance[nearest] > reach:
        return None
    return np.asarray(components == components[tuple(places[nearest])])


def _touches_border(component: npt.NDArray[np.bool_]) -> bool:
    return any(np.take(component, end, axis=axis).any() for axis in range(3) for end in (0, -1))


def _to_ct(
    grid: PatchGrid,
    probability: npt.NDArray[np.float32],
    component: npt.NDArray[np.bool_],
    volume: Volume,
    threshold: float,
) -> tuple[Box, npt.NDArray[np.float32]] | None:
    """Bring a component's probability to the CT's grid, its surroundings too, so that the edge stays where it is."""
    own = np.where(ndimage.binary_dilation(component, iterations=2), probability, 0.0)
    box = grid.source_box(volume.array.shape)
    on_ct = grid.back(own, box)
    inside = on_ct >= threshold
    if not inside.any():
        return None
    tight = ndimage.find_objects(inside.astype(np.uint8))[0]
    first, second, third = (
        slice(part.start + outer.start, part.stop + outer.start) for part, outer in zip(tight, box, strict=True)
    )
    return (first, second, third), np.where(inside, on_ct, 0.0)[tight]


def _object_at(objects: list[_Object], candidate: Candidate) -> _Object | None:
    """The object whose outline already holds the candidate's centre."""
    place = np.rint(candidate.center_ijk).astype(int)
    for thing in objects:
        low = np.array([part.start for part in thing.box])
        inside = place - low
        if (inside < 0).any() or (inside >= thing.probability.shape).any():
            continue
        if thing.probability[tuple(inside)] > 0:
            return thing
    return None


def _add(objects: list[_Object], new: _Object, limits: SegmentationSettings) -> None:
    """Join the new object to one that it shares much with, else keep it apart."""
    for number, thing in enumerate(objects):
        box = _union(thing.box, new.box)
        one, other = _in_box(thing, box), _in_box(new, box)
        shared = np.count_nonzero((one > 0) & (other > 0))
        smaller = min(np.count_nonzero(one), np.count_nonzero(other))
        if shared >= limits.same_object_overlap * smaller:
            objects[number] = _Object(box, np.maximum(one, other), thing.seeds + new.seeds)
            return
    objects.append(new)


def _parts(thing: _Object, volume: Volume, limits: SegmentationSettings) -> list[_Part]:
    """Divide an object among its candidates: each keeps a part of its own where a neck sets it off."""
    mask = thing.probability > 0
    low = np.array([part.start for part in thing.box])
    seeds = [np.array(candidate.center_ijk) - low for candidate in thing.seeds]
    divided = split_at_necks(mask, seeds, volume.geometry.spacing_mm, limits.neck_ratio)
    return [_Part(thing.seeds[number], thing.box, part, thing.probability) for number, part in divided]


def _share_in_lungs(part: _Part, lungs: Lungs) -> float:
    return float((lungs.label_map[part.box][part.mask] > 0).mean())


def _paint(parts: list[_Part], shape: tuple[int, ...]) -> tuple[npt.NDArray[np.uint16], tuple[Candidate, ...]]:
    """Draw the parts into one label map; a voxel that two of them claim goes to the higher probability."""
    ordered = sorted(parts, key=lambda part: (-part.candidate.score, part.candidate.center_lps))
    label_map = np.zeros(shape, dtype=np.uint16)
    for label, part in enumerate(ordered, start=1):
        drawn = label_map[part.box]
        wins = part.mask.copy()
        for rival in np.unique(drawn[part.mask & (drawn > 0)]):
            contested = part.mask & (drawn == rival)
            rival_part = ordered[int(rival) - 1]
            theirs = _in_box(_Object(rival_part.box, rival_part.probability, []), part.box)
            wins &= ~(contested & (theirs >= part.probability))
        drawn[wins] = label
    present = [label for label in range(1, len(ordered) + 1) if (label_map[ordered[label - 1].box] == label).any()]
    renumber = np.zeros(len(ordered) + 1, dtype=np.uint16)
    renumber[present] = np.arange(1, len(present) + 1)
    return renumber[label_map], tuple(ordered[label - 1].candidate for label in present)


def _union(one: Box, other: Box) -> Box:
    first, second, third = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
    return first, second, third


def _in_box(thing: _Object, box: Box) -> npt.NDArray[np.float32]:
    """The object's probability laid into another box, 0 where it does not reach."""
    laid = np.zeros(tuple(part.stop - part.start for part in box), dtype=np.float32)
    target, source = [], []
    for own, wanted in zip(thing.box, box, strict=True):
        low, high = max(own.start, wanted.start), min(own.stop, wanted.stop)
        if low >= high:
            return laid
        target.append(slice(low - wanted.start, high - wanted.start))
        source.append(slice(low - own.start, high - own.start))
    laid[tuple(target)] = thing.probability[tuple(source)]
    return laid
