"""A folder of whole scans in the format of `lidc-scans`: one phantom, its nodules as balls of the stated diameter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813  # its own documentation's name

from lung_nodules.phantom import NoduleKind, NoduleSpec, PhantomSettings, write_phantom
from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import select_series
from lung_nodules.stages.volume import Volume, build_volume

DIAMETER_MM = 24.0
CENTERS_LPS = ((-85.0, 20.0, 0.0), (95.0, -20.0, 0.0))
PHANTOM = PhantomSettings(
    seed=3,
    num_slices=40,
    slice_spacing_mm=5,
    rows=128,
    columns=128,
    pixel_spacing_mm=2.8,
    nodules=tuple(
        NoduleSpec(kind=NoduleKind.SOLID, diameter_mm=DIAMETER_MM, center_lps=place) for place in CENTERS_LPS
    ),
)


def write_drawn_scans(folder: Path, patient: str = "DRAWN-1", readers: tuple[int, ...] = (4, 4)) -> None:
    """Write the DICOM study, the consensus masks and `reference.json`; `readers` is how many outlined each nodule."""
    write_phantom(folder / patient, PHANTOM)
    line = Settings()
    volume = build_volume(select_series(read_instances(folder / patient / "dicom", line), line), line)
    truth = json.loads((folder / patient / "truth.json").read_text())["nodules"]
    centers = [nodule["center_lps"] for nodule in truth]
    labels = np.zeros(volume.array.shape, dtype=np.uint16)
    places = np.moveaxis(np.indices(labels.shape), 0, -1)
    world = volume.geometry.to_world(places)
    for label, center in enumerate(centers, start=1):
        labels[np.linalg.norm(world - center, axis=-1) <= DIAMETER_MM / 2] = label
    _write_mask(labels, volume, folder / f"{patient}_consensus.nii.gz")
    nodules = [_nodule(label, center, readers[label - 1]) for label, center in enumerate(centers, start=1)]
    entry = {
        "folder": f"{patient}/dicom",
        "consensus_mask": f"{patient}_consensus.nii.gz",
        "nodules": nodules,
        "nodules_below_3mm": [],
        "non_nodules": [],
    }
    (folder / "reference.json").write_text(json.dumps({"scans": {patient: entry}}), encoding="utf-8")


def _write_mask(labels: np.ndarray, volume: Volume, path: Path) -> None:  # type: ignore[type-arg]
    geometry = volume.geometry
    image = sitk.GetImageFromArray(labels)
    image.SetOrigin([float(value) for value in geometry.origin_lps])
    image.SetSpacing([float(value) for value in geometry.spacing_mm[::-1]])
    image.SetDirection(np.asarray(geometry.direction)[::-1].T.ravel().tolist())
    sitk.WriteImage(image, str(path))


def _nodule(label: int, center: list[float], num_readers: int) -> dict[str, object]:
    return {
        "label": label,
        "readers": num_readers,
        "centroid_lps_mm": center,
        "longest_axial_diameter_mm": DIAMETER_MM,
        "equivalent_sphere_diameter_mm": DIAMETER_MM,
        "reader_ratings": [{"ratings": {"malignancy": 4}}] * num_readers,
    }
