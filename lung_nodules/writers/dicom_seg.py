"""The outlines as a DICOM Segmentation on the CT's own grid, one segment a finding.

BINARY, because every viewer reads it. Each frame takes its position from the CT slice that it was drawn on and names
that slice as its source; the object lists all slices of the series. The same result gives the same bytes: its dates are
those of the CT and its UIDs follow from the report. Identity is copied from the CT element by element, in the CT's own
character set, and passes through no other code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
import numpy.typing as npt
import pydicom
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom.uid import ExplicitVRLittleEndian

from lung_nodules.settings import DicomSegSettings
from lung_nodules.stages.identifiers import derive_uid
from lung_nodules.stages.report_model import FindingReport, Report, SegmentationReport, Side
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Volume
from lung_nodules.writers.dicom_codes import ABNORMAL_STRUCTURE, ARTIFICIAL_INTELLIGENCE, LATERALITY, LUNG, NODULE
from lung_nodules.writers.dicom_source import (
    LONGEST_LO,
    MANUFACTURER,
    build_slice_sources,
    content_date,
    copy_identity,
    describe_device,
    describe_scanner,
    is_multiframe,
    name_version,
    remove_chance,
)
from lung_nodules.writers.palette import finding_color

SERIES_DESCRIPTION = "Lung nodules by AI - research only, not for clinical use"  # LO: at most 64 characters
REVISED_SERIES_DESCRIPTION = "Lung nodules, reviewed - research only, not for clinical use"
CONTENT_LABEL = "LUNG_NODULES"
CONTENT_CREATOR = "LungNodules^Automatic"


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
    series_description: str = SERIES_DESCRIPTION,
) -> Segmentation:
    """Build the object in memory; see `write_dicom_seg`."""
    kept, segments = _number_segments(outlines.label_map, report.findings, settings.keep_empty_frames)
    sources = build_slice_sources(volume)
    segmentation = Segmentation(
        source_images=sources,
        pixel_array=segments,
        segmentation_type="BINARY",
        segment_descriptions=_describe_segments(report),
        series_instance_uid=names.series_instance_uid,
        series_number=settings.series_number,
        sop_instance_uid=names.sop_instance_uid,
        instance_number=1,
        **describe_device(report),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        plane_positions=[_plane_position(sources[index]) for index in kept],
        omit_empty_frames=not settings.keep_empty_frames,
        content_label=CONTENT_LABEL,
        content_description=f"Outlines of {len(report.findings)} findings - research only, not for clinical use",
        content_creator_name=CONTENT_CREATOR,
        series_description=series_description,
        contributing_equipment=describe_scanner(volume.headers[0]),
        **content_date(volume.headers[0]),
    )
    if is_multiframe(volume):
        _refer_to_one_object(segmentation, volume.headers[0])
    copy_identity(volume.headers[0], segmentation)
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


def _plane_position(source: pydicom.Dataset) -> highdicom.PlanePositionSequence:
    return highdicom.PlanePositionSequence(highdicom.CoordinateSystemNames.PATIENT, source.ImagePositionPatient)


def _describe_segments(report: Report) -> list[SegmentDescription]:
    algorithm = _identify_algorithm(report)
    return [_describe_segment(number, finding, algorithm) for number, finding in enumerate(report.findings, start=1)]


def _identify_algorithm(report: Report) -> highdicom.AlgorithmIdentificationSequence:
    """This software, with the network that drew the outlines as its version says."""
    return highdicom.AlgorithmIdentificationSequence(
        name=report.software.name,
        family=ARTIFICIAL_INTELLIGENCE,
        version=name_version(report, ["segmentation"])[:LONGEST_LO],
        source=MANUFACTURER,
    )


def _describe_segment(
    number: int, finding: FindingReport, algorithm: highdicom.AlgorithmIdentificationSequence
) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=f"Nodule {finding.finding_id}",
        segmented_property_category=ABNORMAL_STRUCTURE,
        segmented_property_type=NODULE,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
        tracking_uid=finding.tracking_uid,
        tracking_id=finding.tracking_id,
        anatomic_regions=[_locate(finding.position.side)],
        display_color=CIELabColor.from_rgb(*finding_color(number)),
    )


def _locate(side: Side | None) -> CodedConcept:
    """The lung as a coded region, with its side as a modifier where it is known."""
    region = CodedConcept.from_code(LUNG)
    if side is not None:
        region.AnatomicRegionModifierSequence = [CodedConcept.from_code(LATERALITY[side])]
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


def _remove_chance(segmentation: Segmentation, result_uid: str) -> None:
    """Replace or drop what highdicom takes from the clock or draws at random."""
    remove_chance(segmentation)
    dimension_uid = derive_uid(result_uid, "segmentation dimensions")
    for item in (*segmentation.DimensionOrganizationSequence, *segmentation.DimensionIndexSequence):
        item.DimensionOrganizationUID = dimension_uid
