"""Lung without nodules: what surrounds a crop that ends where its nodule does, and where negatives come from.

A background is a whole scan of a patient who trains, resampled to the networks' spacing. What is near a marked nodule,
or near a place that `background_exclusions.csv` names (a tumour that nobody outlined), is not clear.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lung_nodules.cohorts.ct import read_ct
from lung_nodules.cohorts.scans import read_reference_labels, read_reference_scans
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import UsageRefusal
from lung_nodules.networks.patches import PatchGrid
from lung_nodules.settings import Section, Settings
from lung_nodules.stages.lungs import segment_lungs
from lung_nodules.stages.morphology import dilate
from lung_nodules.stages.volume import Volume
from lung_nodules.training.background_cache import read_cached


class BackgroundSettings(Section):
    """What of a scan counts as lung without a nodule."""

    spacing_mm: float = Field(default=1.0, gt=0, le=4)
    nodule_margin_mm: float = Field(default=5.0, ge=0, description="Around an outlined nodule.")
    small_nodule_margin_mm: float = Field(default=5.0, ge=0, description="Around a mark for a nodule below 3 mm.")
    num_places: int = Field(default=50_000, ge=1, description="Clear lung voxels that are kept as centres.")
    seed: int = 0


@dataclass(frozen=True)
class Background:
    """One scan at the networks' spacing, its lungs and their surroundings."""

    name: str  # patient ID of the public cohort
    hu: npt.NDArray[np.int16] = field(repr=False)  # [slice, row, column], isotropic
    near_lung: npt.NDArray[np.bool_] = field(repr=False)  # lung and its margin: where the line searches
    clear: npt.NDArray[np.bool_] = field(repr=False)  # no nodule here or within the margin
    lung_ijk: npt.NDArray[np.int32] = field(repr=False)  # (n, 3) clear lung voxels, a fixed random sample
    spacing_mm: float = 1.0


@dataclass(frozen=True)
class Exclusion:
    """A ball of a scan that must not count as lung without a nodule."""

    center_lps: tuple[float, float, float]
    radius_mm: float


def read_backgrounds(folder: Path, settings: BackgroundSettings, cache: Path | None = None) -> tuple[Background, ...]:
    """Read every training scan of a folder.

    Args:
        folder: One folder of DICOM files a patient, and what `read_reference_scans` reads beside them; scans that its
            table names elsewhere (LUNA16's `.mhd` files) are read, too.
        settings: See `BackgroundSettings`.
        cache: A folder that keeps what was resampled for later runs; None: nothing is kept.

    Raises:
        InputRefusal: A scan cannot be read.
        UsageRefusal: ``patients-kept-apart`` where a patient of the folder does not train.
    """
    found = {path.name: path for path in folder.iterdir() if path.is_dir()}
    found |= {scan.patient_id: scan.folder for scan in read_reference_scans(folder)}
    places = dict(sorted(found.items()))
    kept_apart = sum(split_of(patient) is not Split.TRAIN for patient in places)
    if kept_apart:
        raise UsageRefusal(
            "patients-kept-apart",
            f"{kept_apart} of the {len(places)} whole scans are of patients who test or tune, and must not train.",
            "Name a folder of scans that train.",
        )
    made = read_cached(places, folder, settings, lambda name: _read_background(folder, name, places, settings), cache)
    return tuple(
        Background(name, **arrays, spacing_mm=settings.spacing_mm) for name, arrays in zip(places, made, strict=True)
    )


def cut(
    source: npt.NDArray[np.int16], center_ijk: npt.NDArray[np.int32], shape: tuple[int, int, int]
) -> npt.NDArray[np.int16]:
    """Cut a block of `shape` around a voxel, the nearest voxel repeated beyond the source."""
    indices = [
        np.clip(np.arange(size) + int(center) - size // 2, 0, extent - 1)
        for size, center, extent in zip(shape, center_ijk, source.shape, strict=True)
    ]
    return source[np.ix_(*indices)]


def _read_background(
    folder: Path, patient: str, places: Mapping[str, Path], settings: BackgroundSettings
) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a `Background` by the names of their fields."""
    line = Settings()
    volume = read_ct(places[patient], settings=line)
    lungs = segment_lungs(volume, line)
    grid = _grid(volume, settings.spacing_mm)
    clear = _clear(volume, grid, folder, patient, settings)
    lung = grid.sample((lungs.label_map > 0).astype(np.uint8)) >= 0.5
    hu = np.round(grid.sample(volume.array)).astype(np.int16)
    near = dilate(lung, line.detection.margin_mm, (settings.spacing_mm,) * 3)
    return {"hu": hu, "near_lung": near, "clear": clear, "lung_ijk": _sample_places(clear & lung, settings)}


def _grid(volume: Volume, spacing_mm: float) -> PatchGrid:
    first, second, third = (slice(0, size) for size in volume.array.shape)
    return PatchGrid.covering((first, second, third), volume.geometry.spacing_mm, spacing_mm)


def _clear(
    volume: Volume, grid: PatchGrid, folder: Path, patient: str, settings: BackgroundSettings
) -> npt.NDArray[np.bool_]:
    """Voxels of the grid that are far from everything marked."""
    clear = np.ones(grid.shape, dtype=bool)
    exclusions = list(_listed_exclusions(patient))
    for scan in read_reference_scans(folder):
        if scan.patient_id == patient:
            labels = grid.sample((read_reference_labels(scan, volume.geometry) > 0).astype(np.uint8)) >= 0.1
            clear &= ~dilate(labels, settings.nodule_margin_mm, (settings.spacing_mm,) * 3)
            exclusions += [Exclusion(place, settings.small_nodule_margin_mm) for place in scan.small_nodules_lps]
    return clear & ~_balls(exclusions, volume, grid, settings.spacing_mm)


def _balls(
    exclusions: Sequence[Exclusion], volume: Volume, grid: PatchGrid, spacing_mm: float
) -> npt.NDArray[np.bool_]:
    inside = np.zeros(grid.shape, dtype=bool)
    for exclusion in exclusions:
        center = grid.to_patch(volume.geometry.to_index(exclusion.center_lps))
        reach = exclusion.radius_mm / spacing_mm
        low = np.clip(np.floor(center - reach), 0, grid.shape).astype(int)
        high = np.clip(np.ceil(center + reach) + 1, 0, grid.shape).astype(int)
        axes = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        squared = sum((axis - middle) ** 2 for axis, middle in zip(axes, center, strict=True))
        inside[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] |= squared <= reach**2
    return inside


def _listed_exclusions(patient: str) -> list[Exclusion]:
    text = files("lung_nodules.training").joinpath("background_exclusions.csv").read_text(encoding="utf-8")
    return [
        Exclusion((float(row["x_lps_mm"]), float(row["y_lps_mm"]), float(row["z_lps_mm"])), float(row["radius_mm"]))
        for row in csv.DictReader(text.splitlines())
        if row["patient_id"] == patient
    ]


def _sample_places(lung: npt.NDArray[np.bool_], settings: BackgroundSettings) -> npt.NDArray[np.int32]:
    places = np.argwhere(lung)
    rng = np.random.default_rng(settings.seed)
    chosen = rng.choice(len(places), size=min(settings.num_places, len(places)), replace=False)
    return places[chosen].astype(np.int32)
