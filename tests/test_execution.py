"""What one run leaves when it cannot begin."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import write_tiny_models

from lung_nodules.errors import ExitCode
from lung_nodules.execution import Order, Task, execute
from lung_nodules.stages.report_model import FailureReport


def never(task: Task) -> None:
    raise AssertionError("the line must not begin")


def record_in(folder: Path) -> FailureReport:
    return FailureReport.model_validate_json((folder / "report.json").read_bytes())


def test_an_order_that_cannot_begin_is_recorded_where_records_are_wanted(tmp_path: Path) -> None:
    order = Order(tmp_path / "missing", tmp_path / "out", tmp_path / "models", failure_folder=tmp_path / "failure")
    assert execute(order, never) is ExitCode.BAD_USAGE
    record = record_in(tmp_path / "failure")
    assert (record.status, record.code, record.stage) == ("refused", "input-not-found", "order")
    assert not (tmp_path / "out").exists()


def test_a_refusal_is_told_in_one_line_that_ends_with_its_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(Order(tmp_path / "missing", tmp_path / "out", tmp_path / "models"), never)
    assert capsys.readouterr().err == f"There is no such input folder: {tmp_path / 'missing'}. [input-not-found]\n"


def test_missing_models_are_recorded_and_earlier_results_stay(tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    earlier = tmp_path / "out" / "report.json"
    earlier.write_text('{"report_version": "1.0"}')
    order = Order(tmp_path / "in", tmp_path / "out", tmp_path / "models", failure_folder=tmp_path / "failure")
    assert execute(order, never) is ExitCode.BAD_MODEL
    assert record_in(tmp_path / "failure").stage == "networks"
    assert earlier.exists()


def test_a_record_that_cannot_be_written_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    order = Order(tmp_path / "missing", tmp_path / "out", tmp_path / "models", failure_folder=tmp_path / "file" / "x")
    assert execute(order, never) is ExitCode.BAD_USAGE
    said = capsys.readouterr().err
    assert "There is no such input folder" in said
    assert "The report of this failure could not be written." in said


@pytest.mark.parametrize("has_failure_folder", [True, False])
def test_earlier_results_go_before_the_line_begins_where_a_host_judges_by_folders(
    tmp_path: Path, has_failure_folder: bool
) -> None:
    """A kill from there on leaves what the line sees, and a gateway would export it as this run's."""
    folders = {name: tmp_path / name for name in ("in", "out", "failure")}
    for folder in folders.values():
        folder.mkdir()
    for folder, names in (("out", ("report.json", "segmentation.dcm", "notes.dcm")), ("failure", ("report.json",))):
        for name in names:
            (folders[folder] / name).write_text('{"report_version": "1.0"}')
    write_tiny_models(tmp_path / "models")
    seen: list[set[str]] = []

    def look_and_write(task: Task) -> None:
        seen.extend({path.name for path in folders[name].iterdir()} for name in ("out", "failure"))
        (task.output_folder / "new").write_text('{"report_version": "1.0"}')
        (task.output_folder / "new").replace(task.output_folder / "report.json")

    failure = folders["failure"] if has_failure_folder else None
    order = Order(folders["in"], folders["out"], tmp_path / "models", failure_folder=failure)
    assert execute(order, look_and_write) is ExitCode.RESULTS_WRITTEN
    earlier = [{"report.json", "segmentation.dcm", "notes.dcm"}, {"report.json"}]
    assert seen == ([{"notes.dcm"}, set()] if has_failure_folder else earlier)
