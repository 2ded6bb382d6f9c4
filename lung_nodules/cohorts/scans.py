"""Whole scans with reference nodules: DICOM folders beside a `reference.json` and consensus masks.

`reference.json` gives per scan its folder, its nodules (centroid in LPS mm, readers, ratings, diameters) and the marks
for smaller ones; `<patient>_consensus.nii.gz` is a label map, label k being the nodule of that label.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  # its own documentation's name

from lung_nodules.errors import InputRefusal
from lung_nodules.stages.volume import Geometry

Point = tuple[float, float, float]


@dataclass(frozen=True)
class ReferenceNodule:
    """A nodule that readers outlined."""

    label: int  # in the consensus mask
    num_readers: int
    center_lps: Point  # centroid of the consensus, mm
    long_axis_mm: float  # longest axial diameter
    equivalent_sphere_diameter_mm: float
    malignancy_ratings: tuple[float, ...]


@dataclass(frozen=True)
class ReferenceScan:
    """One scan with what its readers marked."""

    patient_id: str
    folder: Path  # DICOM files; or one file, MetaImage or NIfTI
    mask: Path | None  # consensus label map, NIfTI
    nodules: tuple[ReferenceNodule, ...]
    small_nodules_lps: tuple[Point, ...]  # marks for nodules below 3 mm
    non_nodules_lps: tuple[Point, ...] = ()  # marks of 3 mm and more for what is no nodule


def read_reference_scans(folder: Path) -> tuple[ReferenceScan, ...]:
    """Read the table of a folder of scans; a scan without an entry is not listed.

    Raises:
        InputRefusal: ``no-reference`` where there is no `reference.json`.
    """
    table = folder / "reference.json"
    if not table.is_file():
        raise InputRefusal("no-reference", "The folder of scans holds no reference.json.")
    scans = json.loads(table.read_text(encoding="utf-8"))["scans"]
    return tuple(_scan(folder, patient_id, entry) for patient_id, entry in scans.items())


def read_reference_labels(scan: ReferenceScan, geometry: Geometry) -> npt.NDArray[np.uint16]:
    """The scan's consensus label map on the grid of a CT, [slice, row, column]; zeros where there is no mask."""
    if scan.mask is None:
        return np.zeros(geometry.shape, dtype=np.uint16)
    grid = sitk.Image([int(size) for size in geometry.shape[::-1]], sitk.sitkUInt16)
    grid.SetOrigin([float(value) for value in geometry.origin_lps])
    grid.SetSpacing([float(value) for value in geometry.spacing_mm[::-1]])
    grid.SetDirection(np.asarray(geometry.direction)[::-1].T.ravel().tolist())
    labels = sitk.Resample(sitk.ReadImage(str(scan.mask)), grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    return np.asarray(sitk.GetArrayFromImage(labels), dtype=np.uint16)


def _scan(folder: Path, patient_id: str, entry: dict[str, Any]) -> ReferenceScan:
    mask = folder / entry["consensus_mask"] if entry.get("consensus_mask") else None
    return ReferenceScan(
        patient_id=patient_id,
        folder=folder / entry["folder"],
        mask=mask,
        nodules=tuple(_nodule(nodule) for nodule in entry["nodules"]),
        small_nodules_lps=tuple(_point(mark["lps_mm"]) for mark in entry.get("nodules_below_3mm", [])),
        non_nodules_lps=tuple(_point(mark["lps_mm"]) for mark in entry.get("non_nodules", [])),
    )


def _nodule(entry: dict[str, Any]) -> ReferenceNodule:
    return ReferenceNodule(
        label=entry["label"],
        num_readers=entry["readers"],
        center_lps=_point(entry["centroid_lps_mm"]),
        long_axis_mm=entry["longest_axial_diameter_mm"],
        equivalent_sphere_diameter_mm=entry["equivalent_sphere_diameter_mm"],
        malignancy_ratings=tuple(float(reader["ratings"]["malignancy"]) for reader in entry["reader_ratings"]),
    )


def _point(values: list[float]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
