"""Whole scans with reference nodules: DICOM folders beside a `reference.json` and consensus masks.

`reference.json` gives per scan its folder, its nodules (centroid in LPS mm, readers, ratings, diameters) and the marks
for smaller ones; `<patient>_consensus.nii.gz` is a label map, label k being the nodule of that label.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk  # noqa: N813  # its own documentation's name
from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from lung_nodules.cohorts.ct import read_ct
from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.volume import Geometry, Volume

REFERENCE = "reference.json"
_SAME_VOXELS = 0.1  # a corner of a mask may lie this far from that of its CT

Point = tuple[float, float, float]
Finite = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


@dataclass(frozen=True)
class ReferenceNodule:
    """A nodule that readers outlined."""

    label: int  # in the consensus mask
    num_readers: int
    center_lps: Point  # centroid of the consensus, mm
    long_axis_mm: float | None  # longest axial diameter; None where the table does not say
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


class _Mark(BaseModel):
    lps_mm: Finite


class _Reader(BaseModel):
    ratings: dict[str, FiniteFloat | None] = {}


class _Nodule(BaseModel):
    label: int = Field(ge=1)
    readers: int = Field(ge=0)
    centroid_lps_mm: Finite
    longest_axial_diameter_mm: FiniteFloat | None = Field(default=None, ge=0)
    equivalent_sphere_diameter_mm: FiniteFloat
    reader_ratings: list[_Reader] = []


class _Scan(BaseModel):
    folder: str
    consensus_mask: str | None = None
    nodules: list[_Nodule]
    nodules_below_3mm: list[_Mark] = []
    non_nodules: list[_Mark] = []


def read_reference_scans(folder: Path) -> tuple[ReferenceScan, ...]:
    """Read the table of a folder of scans; a scan without an entry is not listed.

    Raises:
        InputRefusal: ``no-reference`` where there is no `reference.json`; ``bad-reference`` where it cannot be read.
    """
    table = folder / REFERENCE
    if not table.is_file():
        raise InputRefusal("no-reference", f"The folder of scans holds no {REFERENCE}.")
    try:
        document = json.loads(table.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputRefusal("bad-reference", f"{REFERENCE} cannot be read as JSON.") from error
    entries = document.get("scans") if isinstance(document, dict) else None
    if not isinstance(entries, dict):
        raise InputRefusal("bad-reference", f"{REFERENCE} has no scans by their names.")
    return tuple(
        _scan(folder, patient_id, _checked(number, entry))
        for number, (patient_id, entry) in enumerate(entries.items(), start=1)
    )


def read_reference_ct(scan: ReferenceScan, settings: Settings) -> Volume:
    """The CT of a scan on its own grid.

    Raises:
        InputRefusal: ``bad-reference`` where it is not there, or what `read_ct` refuses.
    """
    if not scan.folder.exists():
        raise InputRefusal("bad-reference", f"{REFERENCE} names {scan.folder}, which does not exist.")
    return read_ct(scan.folder, settings=settings)


def read_reference_labels(scan: ReferenceScan, geometry: Geometry) -> npt.NDArray[np.uint16]:
    """The scan's consensus label map on the grid of a CT, [slice, row, column]; zeros where the table names no mask.

    Raises:
        InputRefusal: ``bad-reference`` where the mask cannot be read or lacks a nodule of the table; ``mask-off-grid``
            where it does not lie on the CT's grid, whichever way its axes run.
    """
    if scan.mask is None:
        return np.zeros(geometry.shape, dtype=np.uint16)
    try:
        mask = sitk.ReadImage(str(scan.mask))
    except RuntimeError as error:
        raise InputRefusal("bad-reference", f"The consensus mask {scan.mask} is missing or unreadable.") from error
    if not _lies_on(mask, geometry):
        raise InputRefusal("mask-off-grid", f"The consensus mask {scan.mask} does not lie on the grid of its CT.")
    grid = sitk.Image([int(size) for size in geometry.shape[::-1]], sitk.sitkUInt16)
    grid.SetOrigin([float(value) for value in geometry.origin_lps])
    grid.SetSpacing([float(value) for value in geometry.spacing_mm[::-1]])
    grid.SetDirection(np.asarray(geometry.direction)[::-1].T.ravel().tolist())
    resampled = sitk.Resample(mask, grid, sitk.Transform(), sitk.sitkNearestNeighbor, 0)
    labels = np.asarray(sitk.GetArrayFromImage(resampled), dtype=np.uint16)
    if missing := {nodule.label for nodule in scan.nodules} - set(np.unique(labels).tolist()):
        listed = ", ".join(map(str, sorted(missing)))
        raise InputRefusal("bad-reference", f"The consensus mask {scan.mask} has no voxel of label {listed}.")
    return labels


def _lies_on(mask: sitk.Image, geometry: Geometry) -> bool:
    """Whether the mask has the voxels of a grid, in whatever order of its axes."""
    sizes = mask.GetSize()
    if sorted(sizes) != sorted(geometry.shape) or mask.GetNumberOfComponentsPerPixel() != 1:
        return False
    corners = [mask.TransformIndexToPhysicalPoint(index) for index in product(*((0, size - 1) for size in sizes))]
    index = geometry.to_index(corners)
    off = np.minimum(np.abs(index), np.abs(index - np.subtract(geometry.shape, 1)))
    return bool(off.max() <= _SAME_VOXELS)


def _checked(number: int, entry: object) -> _Scan:
    """An entry of the table; the number takes the place of the patient where it is refused."""
    try:
        return _Scan.model_validate(entry)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) or "the whole" for problem in error.errors())
        sentence = f"Scan {number} of {REFERENCE} cannot be read; missing or of the wrong kind: {fields}."
        raise InputRefusal("bad-reference", sentence) from None


def _scan(folder: Path, patient_id: str, entry: _Scan) -> ReferenceScan:
    return ReferenceScan(
        patient_id=patient_id,
        folder=folder / entry.folder,
        mask=folder / entry.consensus_mask if entry.consensus_mask else None,
        nodules=tuple(_nodule(nodule) for nodule in entry.nodules),
        small_nodules_lps=tuple(mark.lps_mm for mark in entry.nodules_below_3mm),
        non_nodules_lps=tuple(mark.lps_mm for mark in entry.non_nodules),
    )


def _nodule(entry: _Nodule) -> ReferenceNodule:
    rated = (reader.ratings.get("malignancy") for reader in entry.reader_ratings)
    return ReferenceNodule(
        label=entry.label,
        num_readers=entry.readers,
        center_lps=entry.centroid_lps_mm,
        long_axis_mm=entry.longest_axial_diameter_mm,
        equivalent_sphere_diameter_mm=entry.equivalent_sphere_diameter_mm,
        malignancy_ratings=tuple(rating for rating in rated if rating is not None),
    )
