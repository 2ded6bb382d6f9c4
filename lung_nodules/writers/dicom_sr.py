"""The report as a DICOM structured report: an Imaging Measurement Report (TID 1500) in one object.

It is written always, also without a finding: a gateway takes a run without a DICOM file for a failed one, and that
nothing was found is a result. Comprehensive 3D SR by default; Comprehensive SR, with the same content, for archives
that do not know the former. The content tree is built in `lung_nodules.writers.dicom_sr_content`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
from highdicom.sr import Comprehensive3DSR, ComprehensiveSR
from pydicom.uid import Comprehensive3DSRStorage, ComprehensiveSRStorage, ExplicitVRLittleEndian

from lung_nodules.settings import DicomSrSettings
from lung_nodules.stages.report_model import DocumentReference, Report, SegmentationReport, StructuredReport
from lung_nodules.stages.volume import Volume
from lung_nodules.writers.dicom_codes import coding_schemes
from lung_nodules.writers.dicom_source import (
    build_object_sources,
    content_date,
    copy_identity,
    describe_device,
    describe_scanner,
    remove_chance,
)
from lung_nodules.writers.dicom_sr_content import build_content
from lung_nodules.writers.dicom_sr_readings import Revision, fit_character_set, person_name

SERIES_DESCRIPTION = "Lung nodule report by AI - research only, not for clinical use"  # LO: at most 64 characters
REVISED_SERIES_DESCRIPTION = "Nodule report, reviewed - research only, not for clinical use"

_CLASSES = {Comprehensive3DSRStorage: Comprehensive3DSR, ComprehensiveSRStorage: ComprehensiveSR}


def write_dicom_sr(
    report: Report, volume: Volume, folder: Path, settings: DicomSrSettings | None = None
) -> tuple[Path, ...]:
    """Write the SR that the report names.

    Args:
        report: Names the object and its SOP class, and holds what it says.
        volume: The CT; its headers are those of the source images.
        folder: Where to; it exists.
        settings: Series Number.

    Returns:
        The path of the file; nothing where the report names no SR.

    Raises:
        OSError: The file cannot be written.
    """
    if report.structured_report is None:
        return ()
    document = build_structured_report(report, report.structured_report, volume, settings or DicomSrSettings())
    path = folder / report.structured_report.file_name
    document.save_as(path)
    return (path,)


def build_structured_report(
    report: Report,
    names: StructuredReport,
    volume: Volume,
    settings: DicomSrSettings,
    revision: Revision | None = None,
) -> Comprehensive3DSR | ComprehensiveSR:
    """Build the object in memory; see `write_dicom_sr`.

    Its evidence is every image of the series that was read, and the SEG where there is one. It names the document that
    it supersedes, if there is one.
    """
    header = volume.headers[0]
    evidence = build_object_sources(volume)
    if report.segmentation is not None:
        evidence.append(_build_segmentation_source(report.segmentation, evidence[0]))
    document = _CLASSES[names.sop_class_uid](
        evidence=evidence,
        content=build_content(report, volume, revision),
        series_instance_uid=names.series_instance_uid,
        series_number=settings.series_number,
        sop_instance_uid=names.sop_instance_uid,
        instance_number=1,
        **describe_device(report),
        is_complete=True,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        contributing_equipment=describe_scanner(header),
        previous_versions=[_build_document_source(names.predecessor)] if names.predecessor else None,
        coding_schemes=coding_schemes(),
        **_describe_revision(header, revision),
    )
    copy_identity(header, document)
    remove_chance(document)
    if revision is not None:
        _finish_revision(document, revision)
    return document


def _describe_revision(header: pydicom.Dataset, revision: Revision | None) -> dict[str, Any]:
    """What tells a reader's document from the machine's: description, date, verification."""
    if revision is None:
        return {"is_final": False, "series_description": SERIES_DESCRIPTION, **content_date(header)}
    verified: dict[str, Any] = {"is_final": False}
    if revision.organization is not None:
        verified = {
            "is_final": True,
            "is_verified": True,
            "verifying_observer_name": person_name(revision.readers[0]),
            "verifying_organization": revision.organization,
        }
    return {
        **verified,
        "series_description": REVISED_SERIES_DESCRIPTION,
        "content_date": f"{revision.at:%Y%m%d}",
        "content_time": f"{revision.at:%H%M%S}",
    }


def _finish_revision(document: Comprehensive3DSR | ComprehensiveSR, revision: Revision) -> None:
    """Date the verification by the reader's last word, and declare a character set that holds the reader's texts."""
    for observer in document.get("VerifyingObserverSequence") or []:
        observer.VerificationDateTime = f"{revision.at:%Y%m%d%H%M%S}"
    texts = [text for each in revision.readings.values() for text in (each.reader, each.comment)]
    fit_character_set(document, [*texts, revision.organization or ""])


def _build_document_source(names: DocumentReference) -> pydicom.Dataset:
    """A stand-in for a document that is referred to."""
    source = pydicom.Dataset()
    source.StudyInstanceUID = names.study_instance_uid
    source.SeriesInstanceUID = names.series_instance_uid
    source.SOPClassUID = names.sop_class_uid
    source.SOPInstanceUID = names.sop_instance_uid
    return source


def _build_segmentation_source(names: SegmentationReport, image: pydicom.Dataset) -> pydicom.Dataset:
    """A stand-in for the SEG, which belongs to the study of the images."""
    source = pydicom.Dataset()
    source.StudyInstanceUID = image.StudyInstanceUID
    source.SeriesInstanceUID = names.series_instance_uid
    source.SOPInstanceUID = names.sop_instance_uid
    source.SOPClassUID = names.sop_class_uid
    return source
