"""What limits the whole line on composites: the host's voxels, the pasting, the centre or the misses.

Each pasted nodule is outlined four ways: in its own crop with the centre known (as `segmentation.dice` is judged), in
that crop at the host's spacing, in the composite around the centroid of its mask, and by the whole line. The steps
between them say what is lost by coarser voxels, by other surroundings and by finding it.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.progress import track
from scipy.ndimage import gaussian_filter

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.cohorts.layers import Spacing, smoothing
from lung_nodules.cohorts.pasting import Composite, PastedNodule
from lung_nodules.evaluation.bootstrap import mean_figure
from lung_nodules.evaluation.cohort_reading import Side, read_judged_crops
from lung_nodules.evaluation.composites import (
    Ground,
    judge_composite,
    num_composites,
    plan_composites,
    read_grounds,
)
from lung_nodules.evaluation.crops import crop_dice
from lung_nodules.evaluation.overlap import dice
from lung_nodules.evaluation.quoting import in_words
from lung_nodules.networks.opened import Networks, open_networks
from lung_nodules.networks.patches import PatchGrid
from lung_nodules.networks.record import load_models
from lung_nodules.settings import Settings
from lung_nodules.stages.segmentation import outline_at

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = REPOSITORY.parent / "shared" / "data"
POINT = "fp_4"
WAYS = {
    "crop": "in its crop, centre known to 2 mm",
    "coarse": "in its crop at the host's spacing, centre known to 2 mm",
    "placed": "in the composite, centre known",
    "on_slices": "the same, on the slices of the pasted mask alone",
    "found": f"by the line, of those found at {POINT}",
    "all": f"by the line at {POINT}, a miss counts as 0",
}


def at_spacing(crop: NoduleCrop, spacing_mm: Spacing) -> NoduleCrop:
    """The crop on a host's spacing with its consensus as the one mask, smoothed as `cohorts.layers.lift` smooths."""
    step = np.array(spacing_mm) / crop.spacing_mm
    first, second, third = np.maximum(np.floor(np.array(crop.image.shape) / step), 1).astype(int).tolist()
    middle = (np.array(crop.image.shape) - 1) / 2
    grid = PatchGrid(middle - step * (np.array([first, second, third]) - 1) / 2, np.diag(step), (first, second, third))
    sigmas = [smoothing(own, host) for own, host in zip(crop.spacing_mm, spacing_mm, strict=True)]
    hu, inside = (
        grid.sample(gaussian_filter(array.astype(np.float32), sigmas)) for array in (crop.image, crop.consensus)
    )
    masks = (inside >= 0.5).astype(np.uint8)
    return replace(crop, image=np.round(hu).astype(np.int16), masks=masks, spacing_mm=spacing_mm, num_masks=1)


def known_dice(crop: NoduleCrop, networks: Networks, settings: Settings) -> float:
    """Dice in a crop, the centre known to 2 mm an axis."""
    record = networks.outliner.record
    threshold, num_flips = record.operating_point()[1].threshold, settings.segmentation.num_flips
    return crop_dice(networks.outliner, [crop], record.preprocessing, threshold, num_flips)[0]


def placed_dice(
    nodule: PastedNodule, ground: Ground, composite: Composite, networks: Networks, settings: Settings
) -> tuple[float, float]:
    """Dice of the outline around the centroid of the pasted mask: whole, and on the slices of the mask alone."""
    volume = replace(ground.volume, array=composite.hu)
    drawn = outline_at(volume, nodule.center_ijk, networks.outliner, settings.segmentation)
    outline, mask = np.zeros(composite.labels.shape, dtype=bool), composite.labels == nodule.label
    if drawn is not None:
        box, probability = drawn
        outline[box] = probability > 0
    held = mask.any(axis=(1, 2))
    return dice(outline, mask), dice(outline[held], mask[held])


def main() -> None:
    """Print mean Dice, its interval by patient and n for each of the ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=Path, default=DATA / "lidc-nodules")
    parser.add_argument("--lungs", type=Path, default=DATA / "lidc-scans")
    parser.add_argument("--split", type=Side, default=Side.TEST, choices=list(Side))
    given = parser.parse_args()
    settings = Settings()
    networks = open_networks(load_models(REPOSITORY / "models"), settings.runtime)
    threshold = networks.classifier.record.operating_points[POINT].threshold
    crops = {crop.nodule_id: crop for crop in read_judged_crops(given.crops, given.split)}
    grounds = read_grounds(given.lungs, Side.TEST)
    rows: dict[str, list[tuple[str, float]]] = {way: [] for way in WAYS}
    plan = plan_composites(list(crops.values()), grounds)
    for name, ground, composite in track(plan, "composites", num_composites(len(crops))):
        judged = judge_composite(name, ground, composite, networks, settings)
        for nodule, target in zip(composite.nodules, judged.targets, strict=True):
            patient, at_point = nodule.patient_id, target.at(threshold).dice
            crop = crops[nodule.nodule_id]
            coarse = at_spacing(crop, composite.spacing_mm)
            rows["crop"].append((patient, known_dice(crop, networks, settings)))
            if coarse.consensus.any():
                rows["coarse"].append((patient, known_dice(coarse, networks, settings)))
            placed, on_slices = placed_dice(nodule, ground, composite, networks, settings)
            rows["placed"].append((patient, placed))
            rows["on_slices"].append((patient, on_slices))
            rows["all"].append((patient, at_point))
            if at_point > 0:
                rows["found"].append((patient, at_point))
    for way, words in WAYS.items():
        print(f"{words}: {in_words(mean_figure(*zip(*rows[way], strict=True)))}")  # noqa: T201  # what it is for


if __name__ == "__main__":
    main()
