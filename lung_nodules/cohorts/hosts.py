"""Lungs into which nodules can be pasted: a whole CT on its own grid, and where in it a pasted nodule may lie."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lung_nodules.cohorts.scans import ReferenceScan, read_reference_ct, read_reference_labels
from lung_nodules.settings import Section, Settings
from lung_nodules.stages.lungs import segment_lungs
from lung_nodules.stages.morphology import dilate
from lung_nodules.stages.volume import Geometry, Volume


class HostSettings(Section):
    """What of a scan is free for a pasted nodule."""

    nodule_clearance_mm: float = Field(default=10.0, ge=0, description="Around what readers outlined.")
    small_nodule_clearance_mm: float = Field(default=10.0, ge=0, description="Around marks for nodules below 3 mm.")


@dataclass(frozen=True)
class Host:
    """A CT that gets nodules."""

    name: str
    hu: npt.NDArray[np.int16] = field(repr=False)  # [slice, row, column]
    geometry: Geometry = field(repr=False)
    lung: npt.NDArray[np.bool_] = field(repr=False)  # both lungs, vessels and what lies on the pleura included
    clear: npt.NDArray[np.bool_] = field(repr=False)  # far from everything marked


def read_host(scan: ReferenceScan, settings: HostSettings | None = None) -> tuple[Host, Volume]:
    """Read a scan and find its lungs; the volume's headers serve who runs the line on a composite.

    Raises:
        InputRefusal: The scan cannot be read, or shows no lungs.
    """
    volume = read_reference_ct(scan, Settings())
    return build_host(scan, volume, settings or HostSettings()), volume


def build_host(scan: ReferenceScan, volume: Volume, settings: HostSettings) -> Host:
    """Find the lungs of a volume, and what is clear of its scan's marks."""
    lung = segment_lungs(volume, Settings()).label_map > 0
    spacing_mm = volume.geometry.spacing_mm
    marked = read_reference_labels(scan, volume.geometry) > 0
    clear = ~dilate(marked, settings.nodule_clearance_mm, spacing_mm)
    if scan.small_nodules_lps:
        points = np.zeros(clear.shape, dtype=bool)
        places = np.round(volume.geometry.to_index(scan.small_nodules_lps)).astype(int)
        points[tuple(np.clip(places, 0, np.array(clear.shape) - 1).T)] = True
        clear &= ~dilate(points, settings.small_nodule_clearance_mm, spacing_mm)
    return Host(scan.patient_id, volume.array, volume.geometry, lung, clear)
