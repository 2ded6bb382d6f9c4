"""A cohort of crops built from scans: one scan at a time is read, its nodules cut out and written.

What is published is whole or not there. A scan that cannot be read is left out and counted by its reason: the
collections hold some.
"""

from __future__ import annotations

import csv
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from lung_nodules.cohorts.crops import TABLE
from lung_nodules.cohorts.ct import turned_axes, upright
from lung_nodules.cohorts.cutting import COLUMNS, CropName, CropSettings, CutCrop, cut_crop
from lung_nodules.cohorts.nodules import ReadNodule
from lung_nodules.errors import InputRefusal, OutputRefusal
from lung_nodules.progress import Progress
from lung_nodules.publication import check_output_folder, publish
from lung_nodules.stages.volume import Volume

NUM_FILES = 20  # that the patients are spread over, in order

Point = tuple[float, float, float]


@dataclass(frozen=True)
class LoadedScan:
    """A scan and what was marked in it, on the CT's own grid."""

    volume: Volume
    nodules: Sequence[ReadNodule]
    small_nodules_lps: tuple[Point, ...] = ()  # marks for nodules below 3 mm, mm
    non_nodules_lps: tuple[Point, ...] = ()  # marks for what is no nodule, mm
    min_readers: int = 0  # that are known to have accepted each nodule, whether or not their outlines are there


@dataclass(frozen=True)
class ScanSource:
    """A scan that can be read when its turn comes."""

    patient_id: str
    series_instance_uid: str
    load: Callable[[], LoadedScan] = field(repr=False)
    place: Path | None = None  # DICOM folder or image file; None where the images are not there
    has_nodules: bool = True  # False: nothing to cut, so it need not be read for that


@dataclass(frozen=True)
class Built:
    """What became of the scans."""

    num_scans: int  # read
    num_patients: int  # of these scans
    num_crops: int
    left_out: Counter[str] = field(default_factory=Counter)  # scans that could not be read, by the refusal's code


def build_crops(sources: Sequence[ScanSource], folder: Path, settings: CropSettings, progress: Progress) -> Built:
    """Cut the nodules of all scans that have some into a new folder in the format of `read_crops`.

    Args:
        sources: The scans. A patient's nodules are numbered through all scans of the patient.
        folder: For `nodules.csv` and the `.npz` files; missing or empty.
        settings: How far the crops reach.
        progress: Told of each scan.

    Raises:
        InputRefusal: ``no-scans`` where there is none, or none could be read.
        OutputRefusal: ``cohort-exists`` where the folder holds a table already, or what `publish` refuses.
    """
    ordered = sorted(
        (source for source in sources if source.has_nodules),
        key=lambda source: (source.patient_id, source.series_instance_uid),
    )
    if not ordered:
        raise InputRefusal("no-scans", "No scan with outlined nodules was found.")
    if (folder / TABLE).exists():
        raise OutputRefusal("cohort-exists", f"{folder} holds a cohort already.", "Name another folder.")
    check_output_folder(folder)
    with publish(folder) as staging, progress.stage("cut nodules", len(ordered)) as advance:
        return _build(ordered, staging, settings, advance)


def _build(
    sources: Sequence[ScanSource], folder: Path, settings: CropSettings, advance: Callable[[int], None]
) -> Built:
    left_out: Counter[str] = Counter()
    read: list[str] = []
    numbers: Counter[str] = Counter()
    with CropWriter(folder, [source.patient_id for source in sources]) as writer:
        for source in sources:
            try:
                loaded = load_upright(source)
            except InputRefusal as refusal:
                left_out[refusal.code] += 1
            else:
                read.append(source.patient_id)
                for nodule in loaded.nodules:
                    number = numbers[source.patient_id]
                    numbers[source.patient_id] += 1
                    name = CropName(f"{source.patient_id}_n{number}", source.patient_id, source.series_instance_uid)
                    writer.write(cut_crop(loaded.volume, nodule, name, settings))
            advance(1)
    if not read:
        codes = ", ".join(f"{code} ({count})" for code, count in left_out.most_common())
        raise InputRefusal("no-scans", f"None of the {len(sources)} scans could be read: {codes}.")
    return Built(len(read), len(set(read)), numbers.total(), left_out)


def load_upright(source: ScanSource) -> LoadedScan:
    """Read a scan and turn it, with its nodules, to the upright grid.

    Raises:
        InputRefusal: The scan cannot be read.
    """
    loaded = source.load()
    geometry = loaded.volume.geometry
    axes = turned_axes(geometry)
    turned = [nodule.mirrored(axes, geometry.shape) for nodule in loaded.nodules]
    return replace(loaded, volume=upright(loaded.volume), nodules=turned)


class CropWriter:
    """Writes crops one after the other: rows into the table, arrays into the file of their patient.

    Args:
        folder: Exists and is empty.
        patients: All that will come, in the order in which they come; a patient's crops are in one file.
    """

    def __init__(self, folder: Path, patients: Sequence[str]) -> None:
        self._folder = folder
        distinct = list(dict.fromkeys(patients))
        self._file_of = {
            patient: f"nodules-{number * NUM_FILES // max(len(distinct), NUM_FILES):02d}.npz"
            for number, patient in enumerate(distinct)
        }

    def __enter__(self) -> Self:
        self._lines = (self._folder / TABLE).open("w", newline="", encoding="utf-8")
        self._table = csv.DictWriter(self._lines, COLUMNS)
        self._table.writeheader()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def write(self, crop: CutCrop) -> None:
        """Add one crop."""
        name = self._file_of[crop.row["patient_id"]]
        with _appended(self._folder / name) as archive:
            for part, array in (("image", crop.image), ("mask", crop.masks)):
                member = zipfile.ZipInfo(f"{crop.row['key']}/{part}.npy")  # a fixed date: the same crop, the same bytes
                member.compress_type = zipfile.ZIP_BZIP2
                with archive.open(member, "w") as target:
                    np.lib.format.write_array(target, array, allow_pickle=False)
        self._table.writerow(crop.row | {"file": name})


@contextmanager
def _appended(path: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_BZIP2) as archive:
        yield archive
