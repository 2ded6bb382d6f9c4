"""The writers that the settings name, run into a staging folder, and their files published together."""

from __future__ import annotations

import json
import re
from pathlib import Path

from lung_nodules import __version__
from lung_nodules.errors import Refusal
from lung_nodules.publication import LAST_NAME, publish, withdraw
from lung_nodules.settings import Settings
from lung_nodules.stages.report import build_failure_report
from lung_nodules.stages.report_model import Report
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Volume
from lung_nodules.writers.dicom_seg import write_dicom_seg
from lung_nodules.writers.dicom_sr import write_dicom_sr
from lung_nodules.writers.pictures import write_pictures
from lung_nodules.writers.report_json import write_report_json

# what the writers call their files
_OWN_NAMES = re.compile(r"report\.json|(segmentation|structured_report)\.dcm|findings(-\d+)?\.png")


def write_results(report: Report, volume: Volume, outlines: Outlines, output_folder: Path, settings: Settings) -> None:
    """Write the report and what else `Settings.outputs` names, and publish all of it at once.

    Raises:
        OutputRefusal: ``output-not-written`` when the filesystem refuses; nothing partial is left then.
    """
    with publish(output_folder, _earlier_names(output_folder)) as folder:
        write_report_json(report, folder)
        if "dicom_seg" in settings.outputs:
            write_dicom_seg(report, volume, outlines, folder, settings.dicom_seg)
        if "dicom_sr" in settings.outputs:
            write_dicom_sr(report, volume, folder, settings.dicom_sr)
        if "pictures" in settings.outputs:
            write_pictures(report, volume, outlines, folder, settings.pictures)


def write_failure(refusal: Refusal, stage: str, record_folder: Path) -> None:
    """Publish a report that says why there is no result, in the place of an earlier run's files.

    Args:
        refusal: Why; its `considered`, where it has one, names the series that were looked at.
        stage: The stage that could not go on.
        record_folder: Where the report is to appear.

    Raises:
        OutputRefusal: ``output-not-written`` when the filesystem refuses.
    """
    considered = getattr(refusal, "considered", ())
    report = build_failure_report(refusal, stage, __version__, considered)
    with publish(record_folder, _earlier_names(record_folder)) as folder:
        write_report_json(report, folder)


def remove_results(folder: Path) -> None:
    """Take away what an earlier run has left in a folder; other files in it stay.

    Raises:
        OutputRefusal: ``output-not-written`` when the filesystem refuses.
    """
    withdraw(folder, _earlier_names(folder))


def _earlier_names(output_folder: Path) -> frozenset[str]:
    """Names of the files that an earlier run has left in the output folder; none where its report is not ours."""
    try:
        report = json.loads((output_folder / LAST_NAME).read_bytes())
        is_ours = isinstance(report, dict) and "report_version" in report
    except (OSError, ValueError):
        return frozenset()
    names = (path.name for path in output_folder.iterdir())
    return frozenset(name for name in names if _OWN_NAMES.fullmatch(name)) if is_ours else frozenset()
