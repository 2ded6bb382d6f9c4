"""The outlines as a DICOM Segmentation on the CT's own grid, one segment a finding.

BINARY, because every viewer reads it. Each frame takes its position from the CT slice that it was drawn on and names
that slice as its source; the object lists all slices of the series. The same result gives the same bytes: its dates are
those of the CT and its UIDs follow from the report. Identity is copied from the CT element by element, in the CT's own
character set, and passes through no other code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from lung_nodules.settings import DicomSegSettings
from lung_nodules.stages.identifiers import derive_uid, digest_text
from lung_nodules.stages.report_model import FindingReport, Report, SegmentationReport, Side
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.study import read_date, read_float
from lung_nodules.stages.volume import Geometry, Volume
from lung_nodules.writers.palette import finding_color

MANUFACTURER = "lung-nodules"
SERIES_DESCRIPTION = "Lung nodules by AI - research only, not for clinical use"  # LO: at most 64 characters
CONTENT_LABEL = "LUNG_NODULES"
CONTENT_CREATOR = "LungNodules^Automatic"

_CATEGORY = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
_TYPE = CodedConcept("27925004", "SCT", "Nodule")
_LATERALITY = {Side.RIGHT: CodedConcept("24028007", "SCT", "Right"), Side.LEFT: CodedConcept("7771000", "SCT", "Left")}
_ALGORITHM_FAMILY = CodedConcept("123110", "DCM", "Artificial Intelligence")

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


def write_dicom_seg(
    report: Report, volume: Volume, outlines: Outlines, folder: Path, settings: DicomSegSettings | None = None
) -> tuple[Path, ...]:
    """Write the SEG that the report names.

    Args:
        report: Names the object, its segments and their labels in the outlines' label map.
        volume: The CT; its headers are those of the source images.
        outlines: The label map on the CT's grid.
        folder: Where to; it exists.
        settings: Series Number, and whether to keep empty frames.

    Returns:
        The path of the file; nothing where the report names no SEG.

    Raises:
        OSError: The file cannot be written.
    """
    if report.segmentation is None:
        return ()
    segmentation = build_segmentation(report, report.segmentation, volume, outlines, settings or DicomSegSettings())
    path = folder / report.segmentation.file_name
    segmentation.save_as(path)
    return (path,)


def build_segmentation(
    report: Report,
    names: SegmentationReport,
    volume: Volume,
    outlines: Outlines,
    settings: DicomSegSettings,
) -> Segmentation:
    """Build the object in memory; see `write_dicom_seg`."""
    kept, segments = _number_segments(outlines.label_map, report.findings, settings.keep_empty_frames)
    sources = _build_sources(volume)
    segmentation = Segmentation(
        source_images=sources,
        pixel_array=segments,
        segmentation_type="BINARY",
        segment_descriptions=_describe_segments(report),
        series_instance_uid=names.series_instance_uid,
        series_number=settings.series_number,
        sop_instance_uid=names.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=report.software.name,
        software_versions=report.software.version,
        device_serial_number=digest_text(sorted(model.sha256 for model in report.models)),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        plane_positions=[_plane_position(sources[index]) for index in kept],
        omit_empty_frames=not settings.keep_empty_frames,
        content_label=CONTENT_LABEL,
        content_description=f"Outlines of {len(report.findings)} findings - research only, not for clinical use",
        content_creator_name=CONTENT_CREATOR,
        series_description=SERIES_DESCRIPTION,
        **_content_date(volume.headers[0]),
    )
    if _is_multiframe(volume):
        _refer_to_one_object(segmentation, volume.headers[0])
    _copy_identity(volume.headers[0], segmentation)
    _remove_chance(segmentation, report.result_uid)
    return segmentation


def _number_segments(
    label_map: npt.NDArray[np.uint16], findings: Sequence[FindingReport], keep_empty: bool
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint16]]:
    """Put the number of each finding's segment in place of its label; what is no finding becomes 0.

    Returns:
        The indices of the slices that hold a segment (all with `keep_empty`), and those slices.
    """
    outlined = np.arange(len(label_map)) if keep_empty else np.flatnonzero(label_map.any(axis=(1, 2)))
    numbers = np.zeros(np.iinfo(label_map.dtype).max + 1, dtype=np.uint16)
    for number, finding in enumerate(findings, start=1):
        numbers[finding.outline_label] = number
    segments = numbers[label_map[outlined]]
    has_segment = segments.any(axis=(1, 2)) | keep_empty
    return outlined[has_segment], segments[has_segment]


def _build_sources(volume: Volume) -> list[pydicom.Dataset]:
    """What highdicom needs to know of the CT's slices: their places and names, and nothing of the patient."""
    sources = [_build_source(header, volume.geometry) for header in volume.headers]
    for source in sources:  # cosines may differ in their last digit from slice to slice; a SEG has one orientation
        source.ImageOrientationPatient = sources[0].ImageOrientationPatient
    if _is_multiframe(volume):  # to highdicom each frame is an image of its own; `_refer_to_one_object` sets it right
        for index, source in enumerate(sources):
            source.SOPClassUID = CTImageStorage
            source.SOPInstanceUID = derive_uid(source.SOPInstanceUID, str(index))
    return sources


def _is_multiframe(volume: Volume) -> bool:
    """Whether the slices are the frames of one object."""
    return len({header.SOPInstanceUID for header in volume.headers}) < len(volume.headers)


def _build_source(header: pydicom.Dataset, geometry: Geometry) -> pydicom.Dataset:
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


def _plane_position(source: pydicom.Dataset) -> highdicom.PlanePositionSequence:
    return highdicom.PlanePositionSequence(highdicom.CoordinateSystemNames.PATIENT, source.ImagePositionPatient)


def _content_date(header: pydicom.Dataset) -> dict[str, Any]:
    """The CT's date, so that a second run writes the same bytes."""
    keywords = ("ContentDate", "AcquisitionDate", "SeriesDate", "StudyDate")
    known = (read_date(header, keyword) for keyword in keywords)
    day = next((date for date in known if date is not None), None)
    return {"content_date": f"{day:%Y%m%d}" if day else _UNKNOWN_DATE, "content_time": "000000"}


def _describe_segments(report: Report) -> list[SegmentDescription]:
    algorithm = _identify_algorithm(report)
    return [_describe_segment(number, finding, algorithm) for number, finding in enumerate(report.findings, start=1)]


def _identify_algorithm(report: Report) -> highdicom.AlgorithmIdentificationSequence:
    """This software, with the network that drew the outlines as its version says."""
    version = " ".join(
        [report.software.version] + [f"{m.name} {m.version}" for m in report.models if m.kind == "segmentation"]
    )
    return highdicom.AlgorithmIdentificationSequence(
        name=report.software.name, family=_ALGORITHM_FAMILY, version=version[:64], source=MANUFACTURER
    )


def _describe_segment(
    number: int, finding: FindingReport, algorithm: highdicom.AlgorithmIdentificationSequence
) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=f"Nodule {finding.finding_id}",
        segmented_property_category=_CATEGORY,
        segmented_property_type=_TYPE,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=finding.tracking_uid,
        tracking_id=finding.tracking_id,
        anatomic_regions=[_locate(finding.position.side)],
        display_color=CIELabColor.from_rgb(*finding_color(number)),
    )


def _locate(side: Side | None) -> CodedConcept:
    """The lung as a coded region, with its side as a modifier where it is known."""
    region = CodedConcept("39607008", "SCT", "Lung")
    if side is not None:
        region.AnatomicRegionModifierSequence = [_LATERALITY[side]]
    return region


def _refer_to_one_object(segmentation: Segmentation, header: pydicom.Dataset) -> None:
    """Refer to a multi-frame CT once, as a whole.

    The frames' own references go: without a frame number they would mean every frame, and viewers take the first one
    for it. Their positions say where they lie.
    """
    (series,) = segmentation.ReferencedSeriesSequence
    series.ReferencedInstanceSequence = series.ReferencedInstanceSequence[:1]
    (instance,) = series.ReferencedInstanceSequence
    instance.ReferencedSOPClassUID, instance.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    for item in segmentation.PerFrameFunctionalGroupsSequence:
        del item.DerivationImageSequence


def _copy_identity(header: pydicom.Dataset, segmentation: Segmentation) -> None:
    """Copy the patient's and the study's elements as they are, with the character set that they are written in."""
    segmentation.copy_patient_and_study_information(header)
    if "SpecificCharacterSet" in header:
        segmentation.add(header["SpecificCharacterSet"])


def _remove_chance(segmentation: Segmentation, result_uid: str) -> None:
    """Replace or drop what highdicom takes from the clock or draws at random."""
    del segmentation.InstanceCreationDate, segmentation.InstanceCreationTime
    for equipment in segmentation.get("ContributingEquipmentSequence") or []:
        equipment.pop("ContributionDateTime", None)
    dimension_uid = derive_uid(result_uid, "segmentation dimensions")
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimension_uid
