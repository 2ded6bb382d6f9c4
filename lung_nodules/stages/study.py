"""What a CT's headers say of the patient's age and sex and of the protocol, read tolerantly.

A missing, empty or malformed element is None, never an exception: a report must not fail for a scanner's habit. Names
and birth dates do not leave this module.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import date

import pydicom

from lung_nodules.stages.dicom_file import quiet_pydicom
from lung_nodules.stages.identifiers import digest_text
from lung_nodules.stages.report_model import ProtocolReport, StudyReport
from lung_nodules.stages.volume import Geometry

# whose a study is, and which: what SEG and SR copy of it and an archive may correct
IDENTITY_KEYWORDS = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
_YEARS_BY_UNIT = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def describe_study(header: pydicom.Dataset, study_instance_uid: str, series_instance_uid: str) -> StudyReport:
    """Who and which study, from one header of the series."""
    return StudyReport(
        patient_id=read_text(header, "PatientID"),
        patient_age_years=read_patient_age(header),
        patient_sex=read_text(header, "PatientSex"),
        accession_number=read_text(header, "AccessionNumber"),
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        study_date=read_date(header, "StudyDate"),
    )


def digest_identity(header: pydicom.Dataset) -> str:
    """SHA-256 in hexadecimal of whose study it is, and which; what is missing counts as empty."""
    with quiet_pydicom():
        texts = [read_text(header, keyword) or "" for keyword in IDENTITY_KEYWORDS]
    return digest_text(text.rstrip("^= ") for text in texts)  # empty parts of a name may be sent or not


def describe_protocol(header: pydicom.Dataset, geometry: Geometry) -> ProtocolReport:
    """How the series was taken, from one of its headers and its measured geometry."""
    return ProtocolReport(
        manufacturer=read_text(header, "Manufacturer"),
        manufacturer_model_name=read_text(header, "ManufacturerModelName"),
        kvp=read_float(header, "KVP"),
        convolution_kernel=read_text(header, "ConvolutionKernel"),
        slice_thickness_mm=read_float(header, "SliceThickness"),
        spacing_mm=geometry.spacing_mm,
        num_slices=geometry.shape[0],
        num_rows=geometry.shape[1],
        num_columns=geometry.shape[2],
        contrast_agent=read_text(header, "ContrastBolusAgent"),
        body_part_examined=read_text(header, "BodyPartExamined"),
        patient_position=read_text(header, "PatientPosition"),
    )


def viewer_numbers(headers: Sequence[pydicom.Dataset]) -> tuple[int, ...]:
    """The number, from 1, under which a viewer shows each slice.

    Viewers stack a series by Instance Number, which may start anywhere and leave gaps; what they display is the rank.

    Args:
        headers: One a slice, in slice order.

    Returns:
        One number a slice: its rank by Instance Number, or its place in slice order where those are missing or doubled.
    """
    numbers = [read_int(header, "InstanceNumber") for header in headers]
    known = sorted({number for number in numbers if number is not None})
    if len(known) != len(numbers):
        return tuple(range(1, len(numbers) + 1))
    rank = {number: place for place, number in enumerate(known, start=1)}
    return tuple(rank[number] for number in numbers if number is not None)


def read_text(header: pydicom.Dataset, keyword: str) -> str | None:
    """The element as text, several values joined by a slash; None where it is missing or empty."""
    try:
        value = header.get(keyword)
    except (ValueError, TypeError):
        return None
    values = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
    text = " / ".join(str(part) for part in values if part is not None)
    return _CONTROL_CHARACTERS.sub("", text).strip() or None


def read_float(header: pydicom.Dataset, keyword: str) -> float | None:
    """The element as a finite number; None where it is missing, empty or no number."""
    try:
        value = float(header.get(keyword))
    except (ValueError, TypeError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def read_int(header: pydicom.Dataset, keyword: str) -> int | None:
    """The element as a whole number; None where it is missing, empty or none."""
    value = read_float(header, keyword)
    return int(value) if value is not None and value.is_integer() else None


def read_date(header: pydicom.Dataset, keyword: str) -> date | None:
    """The element as a date; None where it is missing, empty or no date."""
    digits = (read_text(header, keyword) or "").replace(".", "")  # ACR-NEMA wrote 1993.08.22
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return None


def read_patient_age(header: pydicom.Dataset) -> float | None:
    """Years, from the age or else from birth and study date; None where neither is there."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", read_text(header, "PatientAge") or "")
    if match:
        return int(match[1]) * _YEARS_BY_UNIT[match[2]]
    born, examined = read_date(header, "PatientBirthDate"), read_date(header, "StudyDate")
    if born is None or examined is None or examined < born:
        return None
    return float(examined.year - born.year - ((examined.month, examined.day) < (born.month, born.day)))
