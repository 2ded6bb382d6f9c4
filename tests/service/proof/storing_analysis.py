"""An analysis in the place of the line that leaves two DICOM objects to be stored, as the line does.

What it does with a study stands in the slices' Study Description: ``crash`` or ``refuse``. The objects of each analysis
have UIDs of their own, where those of the line follow from the study: what is analysed twice and stored twice shows.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, generate_uid

from lung_nodules.errors import InputRefusal
from lung_nodules.progress import Progress
from lung_nodules.service.jobs.model import JobSummary
from lung_nodules.service.settings import ServiceSettings

if TYPE_CHECKING:
    from lung_nodules.stages.report import EarlierDocument

NAME = "storing_analysis:StoringAnalysis"
NUM_OBJECTS = 2
DELAY_VARIABLE = "STORING_ANALYSIS_DELAY_S"


class StoringAnalysis:
    """See `lung_nodules.service.jobs.analysis.Analysis`."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._delay_s = float(os.environ.get(DELAY_VARIABLE, "0.1"))

    def analyse(
        self, study_folder: Path, output_folder: Path, progress: Progress, earlier: EarlierDocument | None
    ) -> JobSummary:
        """Wait, do what the study orders, and write a report and objects."""
        paths = [path for path in study_folder.rglob("*") if path.is_file() and path.suffix != ".json"]
        slices = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
        with progress.stage("detection", 10) as advance:
            for _ in range(10):
                time.sleep(self._delay_s / 10)
                advance(1)
        order = str(slices[0].StudyDescription)
        if order == "refuse":
            raise InputRefusal("no-lungs", "The study is refused, as ordered.")
        if order == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        series = generate_uid()
        for number in range(NUM_OBJECTS):
            _write_object(output_folder / f"object-{number}.dcm", slices[0], series)
        report = {"study": str(slices[0].StudyInstanceUID), "num_slices": len(slices)}
        (output_folder / "report.json").write_text(json.dumps(report))
        return JobSummary(num_findings=0, highest_suspicion=None, result="no-findings", quality="pass")


def _write_object(path: Path, image: pydicom.Dataset, series_uid: str) -> None:
    made = pydicom.Dataset()
    made.SOPClassUID, made.SOPInstanceUID = BasicTextSRStorage, generate_uid()
    made.StudyInstanceUID, made.SeriesInstanceUID = image.StudyInstanceUID, series_uid
    made.PatientID, made.PatientName, made.Modality = image.PatientID, image.PatientName, "SR"
    made.StudyDate, made.StudyTime = image.StudyDate, image.StudyTime
    made.CompletionFlag, made.VerificationFlag, made.ValueType = "COMPLETE", "UNVERIFIED", "CONTAINER"
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)
