"""A report as readers have changed it, as DICOM objects of its own: what `results` is for a report of the line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lung_nodules.settings import Settings
from lung_nodules.stages.report_model import Report
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Volume
from lung_nodules.writers.dicom_seg import REVISED_SERIES_DESCRIPTION, build_segmentation
from lung_nodules.writers.dicom_sr import build_structured_report
from lung_nodules.writers.dicom_sr_readings import Reading, Revision

__all__ = ["Correction", "Reading", "Revision", "write_corrected_report", "write_corrected_segmentation"]

_SERIES_BEYOND = 10  # Series Numbers of corrected objects lie so far beyond those of the line's


@dataclass(frozen=True)
class Correction:
    """What the corrected objects are made from.

    Attributes:
        report: What readers have left; it names the corrected objects, and the machine's values stand in it.
        revision: What the readers said.
        volume: The CT's headers and place; its voxels are not looked at.
    """

    report: Report
    revision: Revision
    volume: Volume


def write_corrected_report(correction: Correction, path: Path, settings: Settings) -> None:
    """Write the SR that the correction's report names.

    Raises:
        OSError: The file cannot be written.
    """
    names = correction.report.structured_report
    assert names is not None, "a report without an SR has none to correct"
    numbered = settings.dicom_sr.model_copy(update={"series_number": settings.dicom_sr.series_number + _SERIES_BEYOND})
    document = build_structured_report(correction.report, names, correction.volume, numbered, correction.revision)
    document.save_as(path)


def write_corrected_segmentation(correction: Correction, outlines: Outlines, path: Path, settings: Settings) -> None:
    """Write the SEG that the correction's report names.

    Args:
        correction: See there.
        outlines: The outlines of the line, the rejected ones too.
        path: Where to.
        settings: Of the line.

    Raises:
        OSError: The file cannot be written.
    """
    names = correction.report.segmentation
    assert names is not None, "without a finding there is no SEG"
    numbered = settings.dicom_seg.model_copy(
        update={"series_number": settings.dicom_seg.series_number + _SERIES_BEYOND}
    )
    segmentation = build_segmentation(
        correction.report, names, correction.volume, outlines, numbered, REVISED_SERIES_DESCRIPTION
    )
    segmentation.save_as(path)
