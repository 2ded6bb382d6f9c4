"""Composites: held-out real nodules in lungs that did not train, read by the whole line from the lungs on.

There are more held-out nodules than held-out scans, so nodules are pasted (`cohorts.pasting`) into the lungs of whole
scans, several at a time, the scans taking turns. The figures are labelled as what they are: a seam may give a nodule
away or hide it, and false positives are those of a few pairs of lungs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.cohorts.hosts import Host, read_host
from lung_nodules.cohorts.pasting import Composite, PastedNodule, compose
from lung_nodules.cohorts.scans import ReferenceScan
from lung_nodules.evaluation.cohort_reading import Side, read_judged_scans
from lung_nodules.evaluation.scans import Found, JudgedScan, Target, excluded_of, hold_against, keeping_everything
from lung_nodules.networks.opened import Networks
from lung_nodules.pipeline import find_nodules
from lung_nodules.settings import Settings
from lung_nodules.stages.lungs import segment_lungs
from lung_nodules.stages.volume import Volume
from lung_nodules.timings import Stopwatch

NODULES_A_COMPOSITE = 10


@dataclass(frozen=True)
class Ground:
    """A scan into which nodules are pasted."""

    scan: ReferenceScan
    host: Host
    volume: Volume


def read_grounds(folder: Path, side: Side) -> tuple[Ground, ...]:
    """Read the scans of a folder whose patients are on the side.

    Raises:
        InputRefusal: What `read_judged_scans` refuses, or a scan cannot be read.
    """
    scans = read_judged_scans(folder, side)
    return tuple(Ground(scan, *read_host(scan)) for scan in scans)


def plan_composites(
    crops: Sequence[NoduleCrop], grounds: Sequence[Ground], seed: int = 0
) -> Iterator[tuple[str, Ground, Composite]]:
    """Paste every nodule once: shuffled, ten at a time, the scans taking turns."""
    order = np.random.default_rng(seed).permutation(len(crops))
    for number, start in enumerate(range(0, len(order), NODULES_A_COMPOSITE)):
        ground = grounds[number % len(grounds)]
        chosen = [crops[int(index)] for index in order[start : start + NODULES_A_COMPOSITE]]
        yield f"composite-{number}", ground, compose(ground.host, chosen, seed + number)


def num_composites(num_crops: int) -> int:
    """How many `plan_composites` makes."""
    return -(-num_crops // NODULES_A_COMPOSITE)


def judge_composite(
    name: str, ground: Ground, composite: Composite, networks: Networks, settings: Settings
) -> JudgedScan:
    """Run the line on a composite and hold what it finds against what was pasted; the scan's own marks do not count."""
    watch = Stopwatch()
    threshold = networks.classifier.record.operating_point(settings.classification.operating_point)[1].threshold
    volume = replace(ground.volume, array=composite.hu)
    with watch.stage("lungs"):
        lungs = segment_lungs(volume, settings)
    outlines, findings = find_nodules(volume, lungs, *keeping_everything(networks, settings), watch)
    return hold_against(
        name,
        composite.hu,
        [Found(one.nodule.label, one.nodule.center_lps, one.nodule_probability) for one in findings],
        outlines.label_map,
        [_target(nodule, composite) for nodule in composite.nodules],
        composite.labels,
        excluded_of(ground.scan, name, nodules_of_all=True),
        composite.spacing_mm,
        threshold,
        watch.seconds,
    )


def _target(nodule: PastedNodule, composite: Composite) -> Target:
    volume_mm3 = np.count_nonzero(composite.labels == nodule.label) * composite.geometry.voxel_volume_mm3
    return Target(
        nodule_id=nodule.nodule_id,
        patient_id=nodule.patient_id,
        label=nodule.label,
        center_lps=nodule.center_lps,
        volume_diameter_mm=float((6 * volume_mm3 / np.pi) ** (1 / 3)),
        diameter_mm=nodule.diameter_mm,
    )
