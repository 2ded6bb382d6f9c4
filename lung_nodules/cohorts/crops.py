"""Nodule crops: small blocks of CT around nodules with every reader's mask and ratings.

The format is a `nodules.csv` with one row a crop, and `.npz` files that hold per crop `<key>/image` (int16, HU) and
`<key>/mask` (uint8, bit r set where reader r outlined the voxel), both [slice, row, column] with slices upward.
"""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal
from lung_nodules.stages.diameters import measure_diameters

TABLE = "nodules.csv"

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
SPACINGS = ("spacing_z_mm", "spacing_y_mm", "spacing_x_mm")
REQUIRED = ("nodule_id", "patient_id", "kind", "file", "key", *SPACINGS, "n_readers", "n_masks")

_NO_ARCHIVE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


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
    diameter_mm: float  # longest in-plane diameter of the consensus; 0 where it is empty and the table says nothing
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


@dataclass(frozen=True)
class CropRow:
    """A line of the table of crops, every column of `REQUIRED` filled."""

    line: int  # of the file, from 1
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """A column that may be missing or empty: the empty string then."""
        return self.cells.get(column) or ""


def read_crops(
    folder: Path, splits: Collection[Split] = tuple(Split), kinds: Collection[str] = ("slices", "iso")
) -> tuple[NoduleCrop, ...]:
    """Read the crops of a folder, in the order of its table.

    Raises:
        InputRefusal: ``no-crops`` when the folder holds no `nodules.csv`; ``bad-crops`` where a line of it, or a file
            that it names, cannot be read.
    """
    rows = [row for row in read_rows(folder) if row["kind"] in kinds and split_of(row["patient_id"]) in splits]
    crops = {row.line: crop for row, crop in _load(folder, rows)}
    return tuple(crops[row.line] for row in rows)


def read_rows(folder: Path) -> list[CropRow]:
    """Read the table of a folder of crops.

    Raises:
        InputRefusal: ``no-crops`` when the folder holds no `nodules.csv`; ``bad-crops`` where it is no such table.
    """
    table = folder / TABLE
    if not table.is_file():
        raise InputRefusal("no-crops", f"The folder of nodule crops holds no {TABLE}.")
    try:
        with table.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or ()
            rows = [CropRow(reader.line_num, cells) for cells in reader]
    except (OSError, ValueError, csv.Error) as error:
        raise InputRefusal("bad-crops", f"{TABLE} cannot be read as a table.") from error
    if missing := [name for name in REQUIRED if name not in columns]:
        raise InputRefusal("bad-crops", f"{TABLE} lacks columns: {', '.join(missing)}.")
    for row in rows:
        if empty := [name for name in REQUIRED if not row[name]]:
            raise InputRefusal("bad-crops", f"Line {row.line} of {TABLE} is empty in {', '.join(empty)}.")
    return rows


def _load(folder: Path, rows: list[CropRow]) -> Iterator[tuple[CropRow, NoduleCrop]]:
    by_file: dict[str, list[CropRow]] = defaultdict(list)
    for row in rows:
        by_file[row["file"]].append(row)
    for name, members in by_file.items():
        with _opened(folder / name) as arrays:
            for row in members:
                yield row, _crop(row, *_arrays(arrays, row))


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    refusal = InputRefusal("bad-crops", f"{path.name}, which {TABLE} names, is missing or no .npz file.")
    with ExitStack() as stack:
        try:
            arrays: Any = np.load(stack.enter_context(path.open("rb")))
        except _NO_ARCHIVE as error:
            raise refusal from error
        if not isinstance(arrays, NpzFile):
            raise refusal
        yield stack.enter_context(arrays)


def _arrays(arrays: Mapping[str, Any], row: CropRow) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Image and mask of a row."""
    try:
        image, masks = arrays[f"{row['key']}/image"], arrays[f"{row['key']}/mask"]
    except (KeyError, *_NO_ARCHIVE) as error:
        sentence = f"{row['file']} does not hold image and mask of line {row.line} of {TABLE}."
        raise InputRefusal("bad-crops", sentence) from error
    if image.ndim != 3 or image.shape != masks.shape or masks.dtype.kind not in "ui":
        raise InputRefusal("bad-crops", f"Image and mask of line {row.line} of {TABLE} are no volumes of one shape.")
    return image, masks


def _crop(row: CropRow, image: npt.NDArray[np.int16], masks: npt.NDArray[np.uint8]) -> NoduleCrop:
    try:
        crop = _described(row, image, masks)
    except ValueError as error:
        raise InputRefusal("bad-crops", f"Line {row.line} of {TABLE} has no number where one is due.") from error
    if not all(0 < step < np.inf for step in crop.spacing_mm):
        raise InputRefusal("bad-crops", f"Line {row.line} of {TABLE} has a spacing that is not above 0 mm.")
    if crop.diameter_mm > 0 or not crop.consensus.any():
        return crop
    return replace(crop, diameter_mm=measure_diameters(crop.consensus, crop.spacing_mm).long_axis_mm)


def _described(row: CropRow, image: npt.NDArray[np.int16], masks: npt.NDArray[np.uint8]) -> NoduleCrop:
    """The crop as the table describes it."""
    depth, height, width = (float(row[name]) for name in SPACINGS)
    z, y, x = (float(row[f"origin_{axis}"] or 0) for axis in "zyx")
    return NoduleCrop(
        nodule_id=row["nodule_id"],
        patient_id=row["patient_id"],
        kind=row["kind"],
        image=image,
        masks=masks,
        spacing_mm=(depth, height, width),
        num_readers=int(row["n_readers"]),
        num_masks=int(row["n_masks"]),
        ratings={name: float(row[f"{name}_mean"] or "nan") for name in RATINGS},
        ratings_by_reader={
            name: tuple(float(row[place]) for place in _places_of(name) if row[place]) for name in RATINGS
        },
        diameter_mm=float(row["diameter_mm"] or 0),
        hu_steps_max=int(row["hu_steps_max"] or 0),
        series_instance_uid=row["series_instance_uid"],
        origin_ijk=(z, y, x),
        slices_below=int(row["slices_below"] or 0),
        slices_above=int(row["slices_above"] or 0),
    )


def _places_of(rating: str) -> list[str]:
    """The columns of the single readers."""
    return [f"{rating}_{reader}" for reader in range(MAX_READERS)]
