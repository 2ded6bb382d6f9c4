"""The shared real scans, read once for all tests of a session."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.scans import read_reference_labels, read_reference_scans
from lung_nodules.settings import Settings
from lung_nodules.stages.detection import Candidate
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.lungs import Lungs, segment_lungs
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.series import Selection, select_series
from lung_nodules.stages.volume import Volume, build_volume

FOLDERS = {"LIDC-IDRI-0001": "lidc-scans", "LIDC-IDRI-0003": "lidc-scans", "LIDC-IDRI-0002": "train-scans"}


@dataclass(frozen=True)
class RealScan:
    selection: Selection
    volume: Volume
    lungs: Lungs
    consensus: npt.NDArray[np.uint16]  # label map on the CT's grid
    reference: list[dict[str, Any]]  # the nodules of reference.json, by label

    @property
    def outlines(self) -> Outlines:
        """The readers' consensus in the place of an outliner's work."""
        return outlines_of(self.consensus)


@cache
def read_scan(shared_data: Path, patient: str) -> RealScan:
    folder = shared_data / FOLDERS[patient]
    (reference_scan,) = (scan for scan in read_reference_scans(folder) if scan.patient_id == patient)
    selection = select_series(read_instances(folder / patient, Settings()), Settings())
    volume = build_volume(selection, Settings())
    reference = json.loads((folder / "reference.json").read_text(encoding="utf-8"))["scans"][patient]["nodules"]
    consensus = read_reference_labels(reference_scan, volume.geometry)
    return RealScan(selection, volume, segment_lungs(volume, Settings()), consensus, reference)


def outlines_of(label_map: npt.NDArray[np.uint16]) -> Outlines:
    """A label map as the outliner would hand it on; candidate k has the score 1 / k."""
    candidates = tuple(
        Candidate((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 1 / label, 1.0, (1.0, 1.0, 1.0))
        for label in range(1, int(label_map.max()) + 1)
    )
    return Outlines(label_map, candidates, 0, 0)


def padded_outside(volume: Volume, radius_mm: float) -> Volume:
    """The scan as a smaller round field of view would show it."""
    _, rows, columns = volume.geometry.shape
    y, x = np.ogrid[-(rows - 1) / 2 : rows / 2, -(columns - 1) / 2 : columns / 2]
    beyond = np.hypot(y, x) * volume.geometry.spacing_mm[1] > radius_mm
    return replace(volume, array=np.where(beyond, np.int16(-1024), volume.array))


def cropped(volume: Volume, num_columns: int) -> Volume:
    """The scan without its last columns."""
    array = np.ascontiguousarray(volume.array[:, :, :num_columns])
    return replace(volume, array=array, geometry=replace(volume.geometry, shape=array.shape))
