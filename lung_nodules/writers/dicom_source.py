"""What our DICOM objects take from the CT that they belong to, and what they have in common.

Identity is copied from the CT element by element, in the CT's own character set, and passes through no other code: what
highdicom is handed are stand-ins for the images that know their places and names and nothing of the patient. The same
result gives the same bytes: dates are those of the CT, UIDs follow from the report, and `remove_chance` takes away the
rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import highdicom
import pydicom
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage

from lung_nodules.stages.identifiers import derive_uid, digest_text
from lung_nodules.stages.report_model import Report
from lung_nodules.stages.study import read_date, read_float, read_text
from lung_nodules.stages.volume import Geometry, Volume

MANUFACTURER = "lung-nodules"

LONGEST_LO = 64  # characters of a Long String, PS3.5 6.2
_UNKNOWN_DATE = "19000101"  # Content Date is mandatory; this one cannot be taken for a real one
_SOURCE_KEYWORDS = (
    "FrameOfReferenceUID",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "LossyImageCompression",
    "LossyImageCompressionMethod",
    "LossyImageCompressionRatio",
    "Modality",
    "PixelSpacing",
    "PositionReferenceIndicator",
    "SeriesInstanceUID",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
)
_EMPTY_IDENTITY = (
    "AccessionNumber",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientSex",
    "StudyDate",
    "StudyID",
    "StudyTime",
)


def is_multiframe(volume: Volume) -> bool:
    """Whether the slices are the frames of one object."""
    return len({header.SOPInstanceUID for header in volume.headers}) < len(volume.headers)


def build_source(header: pydicom.Dataset, geometry: Geometry) -> pydicom.Dataset:
    """A stand-in for one slice: its place and its names, and nothing of the patient."""
    source = pydicom.Dataset()
    for keyword in _SOURCE_KEYWORDS:
        if header.get(keyword) is not None:
            setattr(source, keyword, header[keyword].value)  # a copy: elements are shared between datasets
    for keyword in _EMPTY_IDENTITY:
        setattr(source, keyword, "")
    source.Rows, source.Columns = geometry.shape[1:]
    source.SliceThickness = read_float(header, "SliceThickness") or geometry.spacing_mm[0]
    source.SpacingBetweenSlices = geometry.spacing_mm[0]
    return source


def build_slice_sources(volume: Volume) -> list[pydicom.Dataset]:
    """One stand-in a slice, in slice order; the frames of a multi-frame CT become images of their own."""
    sources = [build_source(header, volume.geometry) for header in volume.headers]
    for source in sources:  # cosines may differ in their last digit from slice to slice; a SEG has one orientation
        source.ImageOrientationPatient = sources[0].ImageOrientationPatient
    if is_multiframe(volume):
        for index, source in enumerate(sources):
            source.SOPClassUID = CTImageStorage
            source.SOPInstanceUID = derive_uid(source.SOPInstanceUID, str(index))
    return sources


def build_object_sources(volume: Volume) -> list[pydicom.Dataset]:
    """One stand-in an object, in slice order: a multi-frame CT is one."""
    objects: dict[str, pydicom.Dataset] = {}
    for header in volume.headers:
        objects.setdefault(header.SOPInstanceUID, header)
    return [build_source(header, volume.geometry) for header in objects.values()]


def describe_device(report: Report) -> dict[str, Any]:
    """This software as the equipment that made an object, in highdicom's words.

    The serial number is a digest of the models' digests: with other models it is another device.
    """
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": report.software.name,
        "software_versions": report.software.version,
        "device_serial_number": digest_text(sorted(model.sha256 for model in report.models)),
    }


def name_version(report: Report, kinds: Iterable[str]) -> str:
    """The software's version with those of the models of some kinds."""
    wanted = set(kinds)
    models = [f"{model.name} {model.version}" for model in report.models if model.kind in wanted]
    return " ".join([report.software.version, *models])


def describe_scanner(header: pydicom.Dataset) -> list[highdicom.ContributingEquipment]:
    """The CT scanner as contributing equipment; nothing where the header does not name its manufacturer.

    What is not plain ASCII is left out, because the header's declaration of its character set cannot be relied on.
    """
    manufacturer = _plain(header, "Manufacturer")
    if manufacturer is None:
        return []
    return [
        highdicom.ContributingEquipment(
            manufacturer=manufacturer,
            purpose_of_reference=codes.DCM.AcquisitionEquipment,
            manufacturer_model_name=_plain(header, "ManufacturerModelName"),
            software_versions=_plain(header, "SoftwareVersions"),
            device_serial_number=_plain(header, "DeviceSerialNumber"),
            contribution_description="Acquired the CT that was read",
        )
    ]


def content_date(header: pydicom.Dataset) -> dict[str, Any]:
    """The CT's date as the date of the content, so that a second run writes the same bytes."""
    keywords = ("ContentDate", "AcquisitionDate", "SeriesDate", "StudyDate")
    known = (read_date(header, keyword) for keyword in keywords)
    day = next((date for date in known if date is not None), None)
    return {"content_date": f"{day:%Y%m%d}" if day else _UNKNOWN_DATE, "content_time": "000000"}


def copy_identity(header: pydicom.Dataset, target: highdicom.SOPClass) -> None:
    """Copy the patient's and the study's elements as they are, with the character set that they are written in."""
    target.copy_patient_and_study_information(header)
    if "SpecificCharacterSet" in header:
        target.add(header["SpecificCharacterSet"])


def remove_chance(target: highdicom.SOPClass) -> None:
    """Drop what highdicom takes from the clock."""
    del target.InstanceCreationDate, target.InstanceCreationTime
    for equipment in target.get("ContributingEquipmentSequence") or []:
        equipment.pop("ContributionDateTime", None)


def _plain(header: pydicom.Dataset, keyword: str) -> str | None:
    text = read_text(header, keyword)
    return text.replace("\\", "/")[:LONGEST_LO] if text is not None and text.isascii() else None
