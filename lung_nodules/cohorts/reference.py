"""Whole scans as a cohort: `reference.json` and consensus masks, the format that `read_reference_scans` reads.

The images stay where they are: a DICOM folder is linked to by the patient's name, an image file is named in the table.
One scan a patient, so that a scan's name is its patient's and decides its side.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.building import Built, LoadedScan, Point, ScanSource, load_upright
from lung_nodules.cohorts.nodules import ReadNodule
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal, OutputRefusal
from lung_nodules.progress import Progress
from lung_nodules.publication import check_output_folder, publish
from lung_nodules.stages.diameters import measure_diameters
from lung_nodules.stages.geometry import Geometry

TABLE = "reference.json"
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def choose_scans(
    sources: Sequence[ScanSource], splits: Collection[Split] = tuple(Split), most: int | None = None
) -> tuple[ScanSource, ...]:
    """One scan a patient, the first by UID, of the patients of some sides; at most so many, by patient.

    Raises:
        InputRefusal: ``no-patients`` where there are scans, and no patient of them is on these sides.
    """
    there = [source for source in sources if source.place is not None]
    first: dict[str, ScanSource] = {}
    for source in sorted(there, key=lambda one: (one.patient_id, one.series_instance_uid)):
        if split_of(source.patient_id) in splits:
            first.setdefault(source.patient_id, source)
    if there and not first:
        sides = " or ".join(splits)
        raise InputRefusal("no-patients", f"No patient of the scans ({len(there)}) is on the side {sides}.")
    return tuple(first.values())[:most]


def write_reference_scans(sources: Sequence[ScanSource], folder: Path, progress: Progress) -> Built:
    """Write the table and masks of scans.

    Args:
        sources: One a patient.
        folder: For `reference.json`, the masks and links to the images; missing or empty.
        progress: Told of each scan.

    Raises:
        InputRefusal: ``no-scans`` where there is none, or none could be read.
        OutputRefusal: ``cohort-exists`` where the folder holds something, or what `publish` refuses.
    """
    if not sources:
        raise InputRefusal("no-scans", "No scan with marks was found.")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputRefusal("cohort-exists", f"{folder} is not empty.", "Name another folder.")
    check_output_folder(folder)
    entries: dict[str, dict[str, Any]] = {}
    left_out: Counter[str] = Counter()
    with publish(folder) as staging, progress.stage("read scans", len(sources)) as advance:
        for source in sources:
            try:
                entries[source.patient_id] = _write_scan(source, load_upright(source), staging)
            except InputRefusal as refusal:
                left_out[refusal.code] += 1
            advance(1)
        if not entries:
            codes = ", ".join(f"{code} ({count})" for code, count in left_out.most_common())
            raise InputRefusal("no-scans", f"None of the {len(sources)} scans could be read: {codes}.")
        (staging / TABLE).write_text(json.dumps({"scans": entries}, indent=1), encoding="utf-8")
    num_nodules = sum(len(entry["nodules"]) for entry in entries.values())
    return Built(len(entries), len(entries), num_nodules, left_out)


def _write_scan(source: ScanSource, loaded: LoadedScan, folder: Path) -> dict[str, Any]:
    """Write one scan's mask and link; its entry in the table."""
    geometry, name = loaded.volume.geometry, source.patient_id
    # as in the shared table: by the number of readers, then by volume
    nodules = sorted(loaded.nodules, key=lambda one: (-one.num_masks, -int(one.consensus.sum())))
    mask = f"{name}_consensus.nii.gz" if nodules else None
    if mask:
        _write_labels(nodules, geometry, folder / mask)
    assert source.place is not None
    place = source.place.absolute()
    if place.is_dir():
        (folder / name).symlink_to(place, target_is_directory=True)
    return {
        "folder": name if place.is_dir() else str(place),
        "consensus_mask": mask,
        "patient_id": name,
        "series_instance_uid": source.series_instance_uid,
        "spacing_mm": list(geometry.spacing_mm[::-1]),
        "nodules": [
            _nodule_entry(label, nodule, geometry, loaded.min_readers) for label, nodule in enumerate(nodules, start=1)
        ],
        "nodules_below_3mm": _point_entries(loaded.small_nodules_lps),
        "non_nodules": _point_entries(loaded.non_nodules_lps),
    }


def _nodule_entry(label: int, nodule: ReadNodule, geometry: Geometry, min_readers: int) -> dict[str, Any]:
    consensus = nodule.consensus
    volume_mm3 = float(consensus.sum() * geometry.voxel_volume_mm3)
    axes = measure_diameters(consensus, geometry.spacing_mm)
    center_ijk = np.argwhere(consensus).mean(axis=0) + nodule.origin_ijk
    return {
        "label": label,
        "readers": max(nodule.num_readers, nodule.num_masks, min_readers),
        "voxels": int(consensus.sum()),
        "volume_mm3": round(volume_mm3, 2),
        "equivalent_sphere_diameter_mm": round((6 * volume_mm3 / np.pi) ** (1 / 3), 2),
        "longest_axial_diameter_mm": round(axes.long_axis_mm, 2),
        "perpendicular_axial_diameter_mm": round(axes.short_axis_mm, 2),
        "centroid_lps_mm": np.round(geometry.to_world(center_ijk), 3).tolist(),
        "reader_ratings": [{"ratings": ratings} for ratings in nodule.ratings if "malignancy" in ratings],
    }


def _point_entries(places: Sequence[Point]) -> list[dict[str, Any]]:
    return [{"lps_mm": np.round(place, 3).tolist()} for place in places]


def _write_labels(nodules: Sequence[ReadNodule], geometry: Geometry, path: Path) -> None:
    """The label map of the consensus on the scan's grid, label k the k-th nodule."""
    label_map: npt.NDArray[np.uint8 | np.uint16] = np.zeros(
        geometry.shape, np.uint8 if len(nodules) < 256 else np.uint16
    )
    for label, nodule in enumerate(nodules, start=1):
        box = tuple(slice(a, a + n) for a, n in zip(nodule.origin_ijk, nodule.masks.shape, strict=True))
        label_map[box][nodule.consensus] = label
    affine = _LPS_TO_RAS @ geometry.affine[:, [2, 1, 0, 3]]
    nibabel.save(nibabel.Nifti1Image(label_map.transpose(2, 1, 0), affine), path)
