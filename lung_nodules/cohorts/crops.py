"""Nodule crops: small blocks of CT around nodules with every reader's mask and ratings.

The format is a `nodules.csv` with one row a crop, and `.npz` files that hold per crop `<key>/image` (int16, HU) and
`<key>/mask` (uint8, bit r set where reader r outlined the voxel), both [slice, row, column] with slices upward.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal

MAX_READERS = 4
CHARACTERISTICS = (
    "subtlety",
    "internalStructure",
    "calcification",
    "sphericity",
    "margin",
    "lobulation",
    "spiculation",
    "texture",
)
RATINGS = ("malignancy", *CHARACTERISTICS)


@dataclass(frozen=True)
class NoduleCrop:
    """One nodule of one patient, cut out of its scan."""

    nodule_id: str
    patient_id: str
    kind: str  # "slices": native voxels, no slice or some around the outlines; "iso": 1 mm voxels with full context
    image: npt.NDArray[np.int16] = field(repr=False)  # [slice, row, column], HU
    masks: npt.NDArray[np.uint8] = field(repr=False)  # the same shape, bit r: reader r
    spacing_mm: tuple[float, float, float]  # between slices, rows, columns
    num_readers: int  # who rated it
    num_masks: int  # whose outline encloses a voxel
    ratings: dict[str, float]  # mean of the readers' ratings, by the names in RATINGS; NaN where nobody rated
    ratings_by_reader: dict[str, tuple[float, ...]]  # the single ratings
    diameter_mm: float  # longest in-plane diameter of the consensus
    hu_steps_max: int  # longest chain by which the HU scale of a slice was fitted
    series_instance_uid: str = ""  # of the scan that it was cut from
    origin_ijk: tuple[float, float, float] = (0.0, 0.0, 0.0)  # its first voxel in that scan, slices counted upward
    slices_below: int = 0  # of the crop, below all outlines
    slices_above: int = 0

    @property
    def split(self) -> Split:
        """The patient's side."""
        return split_of(self.patient_id)

    @property
    def consensus(self) -> npt.NDArray[np.bool_]:
        """Voxels inside the outlines of at least half of the readers who outlined the nodule."""
        votes = np.zeros(self.masks.shape, dtype=np.uint8)
        for reader in range(MAX_READERS):
            votes += (self.masks >> reader) & 1
        return np.asarray(votes * 2 >= self.num_masks) & (votes > 0)

    @property
    def center_ijk(self) -> npt.NDArray[np.float64]:
        """Centroid of the consensus, slice, row, column."""
        return np.asarray(np.argwhere(self.consensus).mean(axis=0))


def read_crops(
    folder: Path, splits: Collection[Split] = tuple(Split), kinds: Collection[str] = ("slices", "iso")
) -> tuple[NoduleCrop, ...]:
    """Read the crops of a folder, in the order of its table.

    Raises:
        InputRefusal: ``no-crops`` when the folder holds no `nodules.csv`.
    """
    table = folder / "nodules.csv"
    if not table.is_file():
        raise InputRefusal("no-crops", "The folder of nodule crops holds no nodules.csv.")
    with table.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["kind"] in kinds and split_of(row["patient_id"]) in splits]
    crops = {row["key"]: crop for row, crop in _load(folder, rows)}
    return tuple(crops[row["key"]] for row in rows)


def _load(folder: Path, rows: list[dict[str, str]]) -> Iterator[tuple[dict[str, str], NoduleCrop]]:
    by_file: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        by_file[row["file"]].append(row)
    for name, members in by_file.items():
        with np.load(folder / name) as arrays:
            for row in members:
                yield row, _crop(row, arrays[f"{row['key']}/image"], arrays[f"{row['key']}/mask"])


def _crop(row: dict[str, str], image: npt.NDArray[np.int16], masks: npt.NDArray[np.uint8]) -> NoduleCrop:
    readers = range(MAX_READERS)
    return NoduleCrop(
        nodule_id=row["nodule_id"],
        patient_id=row["patient_id"],
        kind=row["kind"],
        image=image,
        masks=masks,
        spacing_mm=(float(row["spacing_z_mm"]), float(row["spacing_y_mm"]), float(row["spacing_x_mm"])),
        num_readers=int(row["n_readers"]),
        num_masks=int(row["n_masks"]),
        ratings={name: float(row[f"{name}_mean"] or "nan") for name in RATINGS},
        ratings_by_reader={
            name: tuple(float(row[f"{name}_{reader}"]) for reader in readers if row[f"{name}_{reader}"])
            for name in RATINGS
        },
        diameter_mm=float(row["diameter_mm"]),
        hu_steps_max=int(row["hu_steps_max"] or 0),
        series_instance_uid=row["series_instance_uid"],
        origin_ijk=(float(row["origin_z"]), float(row["origin_y"]), float(row["origin_x"])),
        slices_below=int(row.get("slices_below") or 0),
        slices_above=int(row.get("slices_above") or 0),
    )
