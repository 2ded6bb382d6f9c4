"""A cohort that trains in seconds: drawn nodule crops of invented patients, and a phantom as the training scan."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from lung_nodules.cohorts.crops import RATINGS
from lung_nodules.cohorts.split import Split, split_by_hash
from lung_nodules.phantom import PhantomSettings, write_phantom

NUM_PATIENTS = {Split.TRAIN: 10, Split.VALIDATION: 8, Split.TEST: 8}
SPACING_MM = (2.0, 1.5, 1.5)
SHAPE = (7, 44, 44)


def write_tiny_crops(folder: Path, growth: float = 1.0) -> None:
    """Write `nodules.csv` and one archive; every second nodule is large and rated suspicious; `growth` scales all."""
    folder.mkdir(parents=True)
    rows, arrays = [], {}
    for number, patient in enumerate(patient for side in NUM_PATIENTS for patient in invented_patients(side)):
        radius_mm = growth * (4.0 + 3.0 * (number % 2) + 0.1 * (number % 5))
        image, mask = _draw(radius_mm, np.random.default_rng(number))
        key = f"{patient}_n0"
        arrays |= {f"{key}/image": image, f"{key}/mask": mask}
        rows.append(_row(key, patient, radius_mm, 4.5 if number % 2 else 1.5))
    np.savez(folder / "nodules-00.npz", **arrays)
    with (folder / "nodules.csv").open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_tiny_scans(folder: Path) -> None:
    """Write one scan of a patient who trains, without nodules."""
    patient = invented_patients(Split.TRAIN)[0]
    scan = PhantomSettings(nodules=(), num_slices=60, slice_spacing_mm=5, rows=128, columns=128, pixel_spacing_mm=2.8)
    write_phantom(folder / patient, scan)
    (folder / "reference.json").write_text(json.dumps({"scans": {}}), encoding="utf-8")


def invented_patients(side: Split) -> list[str]:
    """The first invented patients whom the rule puts on a side."""
    names = (f"INVENTED-{number:04d}" for number in range(1000))
    return [name for name in names if split_by_hash(name) is side][: NUM_PATIENTS[side]]


def _draw(radius_mm: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    axes = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    squared = sum(((axis - (size - 1) / 2) * mm) ** 2 for axis, size, mm in zip(axes, SHAPE, SPACING_MM, strict=True))
    inside = squared <= radius_mm**2
    image = np.where(inside, 40, -850) + rng.normal(0, 20, SHAPE)
    return image.astype(np.int16), np.where(inside, 0b1111, 0).astype(np.uint8)


def _row(key: str, patient: str, radius_mm: float, malignancy: float) -> dict[str, str | float]:
    nz, ny, nx = SHAPE
    ratings = {name: malignancy if name == "malignancy" else 3.0 for name in RATINGS}
    spacing = dict(zip(("spacing_z_mm", "spacing_y_mm", "spacing_x_mm"), SPACING_MM, strict=True))
    return {
        "nodule_id": key,
        "patient_id": patient,
        "kind": "slices",
        "file": "nodules-00.npz",
        "key": key,
        "nx": nx,
        "ny": ny,
        "nz": nz,
        **spacing,
        "series_instance_uid": f"series of {patient}",
        "origin_x": 0,
        "origin_y": 0,
        "origin_z": 0,
        "n_readers": 4,
        "n_masks": 4,
        "diameter_mm": 2 * radius_mm,
        "hu_steps_max": 0,
        **{f"{name}_mean": value for name, value in ratings.items()},
        **{f"{name}_{reader}": value for name, value in ratings.items() for reader in range(4)},
    }
