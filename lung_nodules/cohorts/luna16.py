"""LUNA16: 888 scans of LIDC-IDRI as MetaImage, ten subsets that are its folds, nodules as centre and diameter.

Setio 2017, 10.1016/j.media.2017.06.015; files of Zenodo 10.5281/zenodo.3723295: `subset0` .. `subset9` with `.mhd` and
`.raw` or `.zraw`, `annotations.csv`, `annotations_excluded.csv` and `candidates.csv` or `candidates_V2.csv`. World
coordinates are LPS mm. A part of the download will do: what is missing is named.
"""

from __future__ import annotations

import csv
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from lung_nodules.cohorts.building import LoadedScan, ScanSource
from lung_nodules.cohorts.ct import read_metaimage
from lung_nodules.cohorts.lidc import patient_of, with_reading
from lung_nodules.cohorts.marks import Reading
from lung_nodules.cohorts.nodules import ReadNodule, lay_together
from lung_nodules.cohorts.outlines import Block
from lung_nodules.errors import InputRefusal
from lung_nodules.stages.geometry import Geometry

NUM_FOLDS = 10
MIN_READERS = 3  # accepted each of its nodules
ANNOTATIONS, EXCLUDED, SCANS = "annotations.csv", "annotations_excluded.csv", "seriesuids.csv"
CANDIDATES = ("candidates_V2.csv", "candidates.csv")  # the second version first: it has fewer misses

_SUBSET = re.compile(r"subset(\d)")
Point = tuple[float, float, float]
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class LunaMark:
    """A nodule, or an excluded finding."""

    center_lps: Point  # mm
    diameter_mm: float  # close to that of a sphere of the nodule's volume; -1 for an excluded finding without one


@dataclass(frozen=True)
class LunaCandidate:
    """A place that one of LUNA16's detectors proposed."""

    center_lps: Point  # mm
    is_nodule: bool


@dataclass(frozen=True)
class LunaScan:
    """One scan of the download."""

    series_instance_uid: str
    patient_id: str
    fold: int | None  # its subset; None where its images are not there
    path: Path | None  # .mhd; None where it is not there
    nodules: tuple[LunaMark, ...]  # accepted by at least three readers
    excluded: tuple[LunaMark, ...]  # neither nodules nor false positives


@dataclass(frozen=True)
class Luna16:
    """A download, or a part of it."""

    scans: tuple[LunaScan, ...]  # of all lists, by UID; those without images too
    missing_subsets: tuple[int, ...]

    @property
    def images(self) -> tuple[LunaScan, ...]:
        """The scans whose images are there."""
        return tuple(scan for scan in self.scans if scan.path is not None)


def read_luna16(folder: Path) -> Luna16:
    """Read the lists of a download and find its images, at any depth.

    Raises:
        InputRefusal: ``no-annotations`` without `annotations.csv`, ``bad-annotations`` where a list cannot be read,
            ``scan-twice`` where two subsets hold the same scan.
    """
    listed = _find(folder, ANNOTATIONS)
    if listed is None:
        raise InputRefusal("no-annotations", f"No {ANNOTATIONS} was found in the folder of LUNA16.")
    nodules = _by_scan(listed, _nodule)
    excluded = _by_scan(_find(folder, EXCLUDED), _mark)
    images = _find_images(folder)
    others = _by_scan(_find(folder, SCANS), lambda row: row, headed=False)
    scans = tuple(
        _scan(uid, images.get(uid), nodules.get(uid, ()), excluded.get(uid, ()))
        for uid in sorted({*nodules, *excluded, *images, *others})
    )
    there = {scan.fold for scan in scans}
    return Luna16(scans, tuple(fold for fold in range(NUM_FOLDS) if fold not in there))


def read_candidates(folder: Path) -> dict[str, tuple[LunaCandidate, ...]]:
    """The proposed places by SeriesInstanceUID; of two lists the second version.

    Raises:
        InputRefusal: ``no-candidates`` where there is no list, ``bad-annotations`` where it cannot be read.
    """
    listed = next((path for name in CANDIDATES if (path := _find(folder, name))), None)
    if listed is None:
        raise InputRefusal("no-candidates", "No list of candidates was found in the folder of LUNA16.")
    return _by_scan(listed, lambda row: LunaCandidate(_point(row), bool(int(row["class"]))))


def patient_folds(luna16: Luna16) -> dict[str, int]:
    """The fold of each patient whose images are there: the subset; the lowest, where two hold a scan of the patient."""
    folds: dict[str, int] = {}
    for scan in luna16.images:
        if scan.fold is not None:
            folds[scan.patient_id] = min(scan.fold, folds.get(scan.patient_id, NUM_FOLDS))
    return folds


def luna16_sources(luna16: Luna16, readings: Mapping[str, Reading] | None = None) -> tuple[ScanSource, ...]:
    """The scans with images, whether or not they have nodules.

    Args:
        luna16: The download.
        readings: The readers' outlines by SeriesInstanceUID. Without them each nodule of LUNA16 is a ball of its
            diameter, of one mask and no reader.
    """
    if readings is None:
        return tuple(_ball_source(scan) for scan in luna16.images)
    return tuple(
        _outlined_source(scan, readings[scan.series_instance_uid])
        for scan in luna16.images
        if scan.series_instance_uid in readings
    )


def ball(mark: LunaMark, geometry: Geometry) -> ReadNodule | None:
    """A nodule as a ball of its diameter on a scan's grid, at least one voxel; None where its centre is outside."""
    center = geometry.to_index(mark.center_lps)
    nearest = np.round(center).astype(int)
    if (nearest < 0).any() or (nearest >= geometry.shape).any():
        return None
    reach = mark.diameter_mm / 2 / np.asarray(geometry.spacing_mm)
    low = np.maximum(np.minimum(np.ceil(center - reach).astype(int), nearest), 0)
    high = np.minimum(np.maximum(np.floor(center + reach).astype(int), nearest) + 1, geometry.shape)
    axes = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    squared = sum(((axis - middle) / size) ** 2 for axis, middle, size in zip(axes, center, reach, strict=True))
    mask = np.asarray(squared) <= 1
    mask[tuple(nearest - low)] = True
    return lay_together([Block((int(low[0]), int(low[1]), int(low[2])), mask)], [{}])


def _outlined_source(scan: LunaScan, reading: Reading) -> ScanSource:
    def load() -> LoadedScan:
        return with_reading(read_metaimage(_path(scan)), reading)

    return ScanSource(scan.patient_id, scan.series_instance_uid, load, scan.path, bool(reading.annotations))


def _ball_source(scan: LunaScan) -> ScanSource:
    def load() -> LoadedScan:
        volume = read_metaimage(_path(scan))
        balls = [ball(mark, volume.geometry) for mark in scan.nodules]
        excluded = tuple(mark.center_lps for mark in scan.excluded)
        nodules = tuple(one for one in balls if one is not None)
        return LoadedScan(volume, nodules, non_nodules_lps=excluded, min_readers=MIN_READERS)

    return ScanSource(scan.patient_id, scan.series_instance_uid, load, scan.path, bool(scan.nodules))


def _scan(
    uid: str, image: tuple[int | None, Path] | None, nodules: tuple[LunaMark, ...], excluded: tuple[LunaMark, ...]
) -> LunaScan:
    fold, path = image or (None, None)
    return LunaScan(uid, patient_of(uid), fold, path, nodules, excluded)


def _path(scan: LunaScan) -> Path:
    assert scan.path is not None
    return scan.path


def _find(folder: Path, name: str) -> Path | None:
    """The file of this name that lies least deep."""
    found = sorted(folder.rglob(name), key=lambda path: (len(path.parts), path))
    return found[0] if found else None


def _find_images(folder: Path) -> dict[str, tuple[int | None, Path]]:
    """Fold and file of each scan, by UID; a scan outside the subsets has no fold."""
    images: dict[str, tuple[int | None, Path]] = {}
    for path in sorted(folder.rglob("*.mhd")):
        subsets = [match for part in path.parent.parts if (match := _SUBSET.fullmatch(part))]
        if path.stem in images:
            raise InputRefusal("scan-twice", "Two folders of LUNA16 hold the same scan.")
        images[path.stem] = (int(subsets[-1][1]) if subsets else None, path)
    return images


def _by_scan(
    path: Path | None, entry: Callable[[dict[str, str]], Entry], headed: bool = True
) -> dict[str, tuple[Entry, ...]]:
    """The entries of a list by SeriesInstanceUID; nothing where there is no list."""
    entries: dict[str, list[Entry]] = defaultdict(list)
    if path is None:
        return {}
    try:
        for row in _rows(path, headed):
            entries[row["seriesuid"].strip()].append(entry(row))
    except (KeyError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise InputRefusal("bad-annotations", f"A row of {path.name} cannot be read.") from error
    return {uid: tuple(members) for uid, members in entries.items()}


def _rows(path: Path, headed: bool) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as lines:
        yield from csv.DictReader(lines, None if headed else ["seriesuid"])


def _nodule(row: dict[str, str]) -> LunaMark:
    mark = _mark(row)
    if mark.diameter_mm <= 0:
        raise ValueError("a nodule without diameter")
    return mark


def _mark(row: dict[str, str]) -> LunaMark:
    return LunaMark(_point(row), _finite(row["diameter_mm"]))


def _point(row: dict[str, str]) -> Point:
    return _finite(row["coordX"]), _finite(row["coordY"]), _finite(row["coordZ"])


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    return value
