"""Which files a run leaves, and what becomes of an earlier run's files."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_examples import Study, drawn_study

from lung_nodules.errors import InputRefusal, InternalError
from lung_nodules.results import remove_results, write_failure, write_results
from lung_nodules.settings import Settings
from lung_nodules.stages.report_model import FailureReport, Report

ALL = {"report.json", "segmentation.dcm", "structured_report.dcm", "findings.png"}


def write(study: Study, folder: Path, settings: Settings | None = None) -> None:
    settings = settings or Settings()
    write_results(study.report(settings=settings), study.volume, study.outlines, folder, settings)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_settings_name_the_outputs(tmp_path: Path) -> None:
    write(drawn_study(), tmp_path / "all")
    write(drawn_study(), tmp_path / "one", Settings(outputs=("report_json",)))
    assert names_in(tmp_path / "all") == ALL
    assert names_in(tmp_path / "one") == {"report.json"}


def test_a_rerun_takes_away_what_it_does_not_write_anew(tmp_path: Path) -> None:
    write(drawn_study(), tmp_path)
    (tmp_path / "priors.dcm").touch()
    write(drawn_study().without_findings(), tmp_path)
    assert names_in(tmp_path) == {*ALL - {"segmentation.dcm"}, "priors.dcm"}
    assert Report.model_validate_json((tmp_path / "report.json").read_bytes()).findings == ()


def test_a_refusal_takes_away_earlier_results(tmp_path: Path) -> None:
    write(drawn_study(), tmp_path)
    write_failure(InputRefusal("no-lungs", "The images show no lungs."), "series", tmp_path)
    assert names_in(tmp_path) == {"report.json"}
    report = FailureReport.model_validate_json((tmp_path / "report.json").read_bytes())
    assert (report.code, report.stage) == ("no-lungs", "series")


def test_a_defect_is_recorded_by_its_type_alone(tmp_path: Path) -> None:
    write_failure(InternalError(ValueError("ZEPPELIN^GRAF"), "volume"), "volume", tmp_path)
    text = (tmp_path / "report.json").read_text()
    report = FailureReport.model_validate_json(text)
    assert (report.status, report.code, report.stage) == ("failed", "internal-error", "volume")
    assert "ValueError" in report.sentence
    assert "ZEPPELIN" not in text


def test_results_are_removed_and_foreign_files_stay(tmp_path: Path) -> None:
    write(drawn_study(), tmp_path / "out")
    (tmp_path / "out" / "priors.dcm").touch()
    remove_results(tmp_path / "out")
    remove_results(tmp_path / "missing")
    assert names_in(tmp_path / "out") == {"priors.dcm"}


@pytest.mark.parametrize("foreign", ['{"patient": 1}', "no json", "[]"])
def test_files_beside_a_foreign_report_stay(tmp_path: Path, foreign: str) -> None:
    (tmp_path / "report.json").write_text(foreign)
    (tmp_path / "findings-2.png").touch()
    write(drawn_study(), tmp_path)
    assert names_in(tmp_path) == {*ALL, "findings-2.png"}
