"""Small studies as archives hold them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from ct_files import CTSeries, save
from pydicom.uid import BasicTextSRStorage, generate_uid

from lung_nodules.stages.survey import SURVEY_FILE

PATIENT = {"PatientName": "ZEPPELIN^GRAF", "PatientID": "LZ 127"}


@dataclass(frozen=True)
class SmallStudy:
    """A study on disk: of a chest of 28 thin slices, drawn."""

    uid: str
    folder: Path
    thin: CTSeries
    thick: CTSeries
    files: tuple[Path, ...]

    @property
    def num_ct(self) -> int:
        """CT instances, the localizer included."""
        return self.thin.num_slices + self.thick.num_slices + 1

    def write_results(self, folder: Path, count: int) -> list[Path]:
        """Write reports of a series of their own that belong to the study."""
        series = generate_uid()
        return [self.write_report(folder / f"{index}.dcm", series) for index in range(count)]

    def write_report(self, path: Path, series_uid: str) -> Path:
        """Write one object without pixels."""
        report = pydicom.Dataset()
        report.SOPClassUID, report.SOPInstanceUID = BasicTextSRStorage, generate_uid()
        report.StudyInstanceUID, report.SeriesInstanceUID = self.uid, series_uid
        report.Modality, report.SeriesNumber, report.InstanceNumber = "SR", 9, 1
        report.StudyDate, report.StudyTime = "20240101", "120000"
        report.CompletionFlag, report.VerificationFlag, report.ValueType = "COMPLETE", "UNVERIFIED", "CONTAINER"
        _identify(report, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        save(report, path)
        return path


def write_study(folder: Path, uid: str) -> SmallStudy:
    """Write a study: a thin series, a thick one of half the slices, a localizer, and a report."""
    thin = CTSeries(study_uid=uid)
    thick = CTSeries(study_uid=uid, spacing_mm=(10.0, 6.0, 6.0))
    scout = CTSeries(study_uid=uid)

    def is_scout(header: pydicom.Dataset, _index: int) -> None:
        _identify(header, _index)
        header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    paths: list[Path] = [
        *thin.write(folder / "thin", _identify),
        *thick.write(folder / "thick", _identify),
        *scout.write(folder / "scout", is_scout, [0]),
    ]
    study = SmallStudy(uid, folder, thin, thick, tuple(paths))
    report = study.write_report(folder / "report" / "0.dcm", generate_uid())
    return replace(study, files=(*paths, report))


def _identify(header: pydicom.Dataset, _index: int) -> None:
    header.StudyID, header.AccessionNumber, header.StudyDescription = "", "A-1", "Chest routine"
    header.SeriesDescription = "for ZEPPELIN"
    for keyword, value in PATIENT.items():
        setattr(header, keyword, value)


def uids_of(folder: Path) -> list[str]:
    """SOP Instance UIDs of all files below a folder, sorted; the survey of a fetched study is no instance."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != SURVEY_FILE]
    return sorted(str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files)


def uids_of_files(files: Sequence[Path]) -> list[str]:
    """SOP Instance UIDs of files, sorted."""
    return sorted(str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files)
