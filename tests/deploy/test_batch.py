"""A cohort through the line: every study ends as a row, nothing is read twice, a kill leaves nothing half done."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import pydicom
import pytest
from cohorts_on_disk import Bench, leftovers, make_bench, results_are_whole, rows_of
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import generate_uid

from lung_nodules.batch.archived import parse_query
from lung_nodules.batch.folders import group_by_headers
from lung_nodules.batch.plan import BatchStudy, Plan, Shard, name_of
from lung_nodules.batch.row import Row, RowState
from lung_nodules.batch.table import write_tables
from lung_nodules.batch.workers import read_with_processes, share_cores
from lung_nodules.commands.batch import _with_index
from lung_nodules.errors import UsageRefusal
from lung_nodules.progress import SilentProgress
from lung_nodules.settings import Settings


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"))


@pytest.fixture(scope="module")
def cohort(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two studies that can be read, a localizer's worth of slices, and a folder without DICOM."""
    root = tmp_path_factory.mktemp("cohort")
    bench.add_study(root / "first")
    bench.add_study(root / "second")
    bench.add_study(root / "short")
    for path in sorted((root / "short").iterdir())[4:]:
        path.unlink()
    (root / "notes").mkdir()
    (root / "notes" / "letter.pdf").write_bytes(b"%PDF-1.4 not a study")
    return root


@dataclass(frozen=True)
class Finished:
    """A batch over the cohort that ended."""

    output: Path
    said: str

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        return timeless(rows_of(self.output))


@pytest.fixture(scope="module")
def finished(bench: Bench, cohort: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    output = tmp_path_factory.mktemp("finished")
    code, out, err = bench.run(cohort, output, "--workers", "2")
    assert code == 0, err
    return Finished(output, out)


def timeless(rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {source: {name: value for name, value in row.items() if name != "seconds"} for source, row in rows.items()}


def wait_for(condition: Callable[[], object]) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.service
def test_each_study_is_a_row(finished: Finished) -> None:
    rows = rows_of(finished.output)
    assert {source: (row["state"], row["code"]) for source, row in rows.items()} == {
        "first": ("done", ""),
        "second": ("done", ""),
        "short": ("refused", "too-few-slices"),
        "notes": ("refused", "not-dicom"),
    }
    assert "4 studies: 2 done, 2 refused, 0 failed; 4 read now" in finished.said
    assert leftovers(finished.output) == []
    for row in rows.values():
        report = json.loads((finished.output / "results" / row["study"] / "report.json").read_bytes())
        assert report["status"] == ("completed" if row["state"] == "done" else "refused")
        assert (report.get("code") or "") == row["code"]
        if row["state"] == "done":
            assert row["num_findings"] == len(report["findings"])
            assert row["highest_suspicion"] == report["classification_confidence"]


def test_a_second_start_reads_nothing(bench: Bench, cohort: Path, finished: Finished) -> None:
    before = {path: path.stat().st_mtime_ns for path in (finished.output / "results").rglob("*")}
    rows = rows_of(finished.output)
    code, out, _ = bench.run(cohort, finished.output)
    assert code == 0
    assert "0 read now, 4 known from before" in out
    assert rows_of(finished.output) == rows
    assert {path: path.stat().st_mtime_ns for path in (finished.output / "results").rglob("*")} == before


def test_an_output_folder_that_cannot_be_written_ends_it_with_a_sentence(
    bench: Bench, cohort: Path, tmp_path: Path
) -> None:
    (tmp_path / "afile").touch()
    for output, place in ((tmp_path / "afile", "afile is a file"), (Path("/proc/none/out"), "/proc/none/out: No such")):
        code, _, err = bench.run(cohort, output)
        assert (code, "Traceback" in err) == (5, False), err
        assert place in err.splitlines()[-1]


@pytest.mark.service
@pytest.mark.parametrize("name", ["rows", "results", "batch.csv"])
def test_a_folder_of_ours_that_cannot_be_made_ends_it_with_a_sentence(
    bench: Bench, cohort: Path, tmp_path: Path, name: str
) -> None:
    """As a disk does that is full: what is in the place is of the other kind."""
    (tmp_path / "batch.csv").mkdir() if name == "batch.csv" else (tmp_path / name).touch()
    code, _, err = bench.run(cohort, tmp_path)
    assert (code, "Traceback" in err) == (5, False), err
    assert "could not be written to" in err.splitlines()[-1]


@pytest.mark.service
def test_a_study_whose_log_cannot_be_written_has_failed(bench: Bench, cohort: Path, tmp_path: Path) -> None:
    (tmp_path / "logs").touch()
    code, _, err = bench.run(cohort, tmp_path)
    assert (code, "Traceback" in err) == (1, False), err
    assert {row["code"] for row in rows_of(tmp_path).values()} == {"output-not-written"}


@pytest.mark.service
def test_a_study_with_another_content_or_other_settings_is_read_again(bench: Bench, tmp_path: Path) -> None:
    root, output = tmp_path / "cohort", tmp_path / "out"
    bench.add_study(root / "study")
    shutil.copytree(root / "study", root / "other")
    for path in (root / "other").iterdir():
        path.unlink()
    bench.run(root, output, "--by-folder")
    first = rows_of(output)
    assert (first["study"]["state"], first["other"]["state"]) == ("done", "refused")
    late = sorted((root / "study").iterdir())[-1]
    late.unlink()
    _, out, _ = bench.run(root, output, "--by-folder")
    assert "1 read now, 1 known" in out
    second = rows_of(output)
    assert second["study"]["content_sha256"] != first["study"]["content_sha256"]
    config = tmp_path / "other.yaml"
    config.write_text(bench.config.read_text(encoding="utf-8") + "  report: {suspicious_from_score: 0.9}\n")
    _, out, _ = Bench(bench.models, config, bench.study).run(root, output, "--by-folder")
    assert "2 read now, 0 known" in out


@pytest.mark.service
def test_a_kill_leaves_nothing_partial_and_the_next_start_finishes(
    bench: Bench, cohort: Path, finished: Finished, tmp_path: Path
) -> None:
    """Killed while the first study is read, and again in the moment in which the first results appear."""
    for sign in ("logs/*.log", "results/*/segmentation.dcm"):
        process = bench.batch(cohort, tmp_path, "--workers", "2")
        assert wait_for(lambda sign=sign: list(tmp_path.glob(sign)))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert results_are_whole(tmp_path)
        assert all(Row.model_validate_json(path.read_bytes()) for path in tmp_path.glob("rows/*.json"))
    code, _, err = bench.run(cohort, tmp_path)
    assert code == 0, err
    assert leftovers(tmp_path) == []
    assert timeless(rows_of(tmp_path)) == finished.rows


@pytest.mark.service
def test_a_stop_ends_the_workers_and_still_writes_the_table(bench: Bench, cohort: Path, tmp_path: Path) -> None:
    process = bench.batch(cohort, tmp_path)
    assert wait_for(lambda: list(tmp_path.glob("rows/*.json")))
    workers = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert {row["study"] for row in rows_of(tmp_path).values()} <= {path.stem for path in tmp_path.glob("rows/*.json")}
    assert results_are_whole(tmp_path)
    assert psutil.wait_procs(workers, timeout=10)[1] == []


@pytest.mark.service
def test_a_study_whose_process_dies_or_takes_too_long_is_a_row_and_the_others_go_on(
    bench: Bench, cohort: Path, tmp_path: Path
) -> None:
    code, _, _ = bench.run(cohort, tmp_path / "slow", "--time-limit-s", "1")
    rows = rows_of(tmp_path / "slow")
    assert code == 1
    assert {row["code"] for row in rows.values() if row["state"] == "failed"} == {"time-limit"}
    assert results_are_whole(tmp_path / "slow")
    process = bench.batch(cohort, tmp_path / "dead")
    killed = _kill_first_worker(process.pid, tmp_path / "dead")
    _, err = process.communicate(timeout=300)
    assert killed, err
    rows = rows_of(tmp_path / "dead")
    assert sorted(row["code"] for row in rows.values() if row["state"] == "failed") == ["worker-died"]
    assert len(rows) == 4
    assert leftovers(tmp_path / "dead") == []
    code, _, _ = bench.run(cohort, tmp_path / "dead")
    assert code == 0
    assert {row["state"] for row in rows_of(tmp_path / "dead").values()} == {"done", "refused"}


def _kill_first_worker(parent: int, output: Path) -> bool:
    """Kill the process that reads, once it is at a study."""
    if not wait_for(lambda: list(output.glob("logs/*.log"))):
        return False
    reading = [each for each in psutil.Process(parent).children() if "spawn_main" in " ".join(each.cmdline())]
    for process in reading:
        process.kill()
    return len(reading) == 1


def test_headers_group_any_tree_by_study(bench: Bench, tmp_path: Path) -> None:
    alone = bench.add_study(tmp_path / "a" / "deep" / "er")
    scattered = bench.add_study(tmp_path / "b")
    mixed = bench.add_study(tmp_path / "mixed")
    for number, path in enumerate(sorted((tmp_path / "b").iterdir())[:10]):
        path.rename(tmp_path / "mixed" / f"stranger{number}")
    studies = {study.study_instance_uid: study for study in group_by_headers(tmp_path, Settings(), SilentProgress())}
    assert set(studies) == {alone, scattered, mixed}
    assert studies[alone].folder == tmp_path / "a" / "deep" / "er"
    assert studies[scattered].folder is None
    assert len(studies[scattered].files) == 60
    assert len(studies[mixed].files) == 60
    assert {study.name for study in studies.values()} == {name_of(uid) for uid in studies if uid}


@pytest.mark.service
def test_by_folder_a_folder_with_two_studies_is_refused(bench: Bench, tmp_path: Path) -> None:
    root = tmp_path / "cohort"
    bench.add_study(root / "patient" / "one")
    bench.add_study(root / "patient" / "two")
    code, _, _ = bench.run(root, tmp_path / "out", "--by-folder")
    assert code == 0
    assert rows_of(tmp_path / "out")["patient"]["code"] == "several-studies"
    _, out, _ = bench.run(root, tmp_path / "out2")
    assert "2 studies: 2 done" in out


@pytest.mark.service
def test_ray_reads_the_same_cohort_with_two_workers(
    bench: Bench, cohort: Path, finished: Finished, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    code, out, err = bench.run(cohort, tmp_path, "--on", "ray", "--workers", "2")
    assert code == 0, err
    assert "2 done, 2 refused, 0 failed; 4 read now" in out
    assert timeless(rows_of(tmp_path)) == finished.rows
    _, out, _ = bench.run(cohort, tmp_path, "--on", "ray", "--workers", "2")
    assert "0 read now, 4 known" in out


@pytest.mark.service
def test_a_query_reads_the_studies_of_an_archive(
    bench: Bench, cohort: Path, finished: Finished, tmp_path: Path
) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(f"archives: {{pacs: {{kind: folder, path: {cohort}}}}}\n", encoding="utf-8")
    output = tmp_path / "out"
    code, out, err = bench.run("modality=CT", output, "--archive", "pacs", "--archives", str(config))
    assert code == 0, err
    assert "3 studies: 2 done, 1 refused, 0 failed; 3 read now" in out
    done = {row["study"]: row for row in rows_of(output).values() if row["state"] == "done"}
    for row in finished.rows.values():
        if row["state"] == "done":
            assert done[row["study"]]["highest_suspicion"] == row["highest_suspicion"]
    assert list(output.glob("fetched/*")) == []
    _, out, _ = bench.run("modality=CT", output, "--archive", "pacs", "--archives", str(config))
    assert "0 read now, 3 known" in out
    code, _, err = bench.run("modality=MR", output, "--archive", "pacs", "--archives", str(config))
    assert (code, "No study in the archive" in err) == (2, True)


@pytest.mark.service
def test_the_report_of_an_archived_study_lists_every_series(bench: Bench, tmp_path: Path) -> None:
    """Those that were not fetched, too: the same list as of the whole study in a folder."""
    root, output = tmp_path / "cohort", tmp_path / "out"
    for name, num_slices in (("read", 60), ("refused", 3)):
        bench.add_study(root / name)
        paths = sorted((root / name).iterdir())
        add_series(paths[:4])
        for path in paths[num_slices:]:
            path.unlink()
    config = tmp_path / "service.yaml"
    config.write_text(f"archives: {{pacs: {{kind: folder, path: {root}}}}}\n", encoding="utf-8")
    for source, options in ((root, []), ("modality=CT", ["--archive", "pacs", "--archives", str(config)])):
        code, _, err = bench.run(source, output / str(len(options)), *options)
        assert code == 0, err
    in_folders, archived = (considered(output / name) for name in ("0", "4"))
    assert sorted([each["code"] for each in listed] for listed in archived.values()) == [
        ["chosen", "too-few-slices"],
        ["too-few-slices", "too-few-slices"],
    ]
    assert archived == in_folders


def add_series(paths: list[Path]) -> None:
    series_uid = generate_uid()
    for path in paths:
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = series_uid
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(path.with_name(f"more-{path.name}"))


def considered(output: Path) -> dict[str, Any]:
    reports = {path.parent.name: json.loads(path.read_bytes()) for path in output.glob("results/*/report.json")}
    return {name: report["series_considered"] for name, report in reports.items()}


def test_a_query_is_read_word_by_word() -> None:
    query = parse_query("date=20240101-20241231 description='*low dose*' patient=7")
    assert (query.first_date, query.last_date) == (date(2024, 1, 1), date(2024, 12, 31))
    assert (query.description, query.patient_id, query.modality) == ("*low dose*", "7", "CT")
    assert (parse_query("date=20240229").last_date, parse_query("date=20240101-").last_date) == (
        date(2024, 2, 29),
        None,
    )
    assert parse_query("study=1.2.3").modality == ""


@pytest.mark.parametrize(
    "text", ["name=X", "CT", "modality=", "date=2024", "date=20240230", "patient=1 patient=2", "'"]
)
def test_a_query_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageRefusal, match="bad-query"):
        parse_query(text)


@pytest.mark.service
def test_shards_part_a_cohort_and_a_last_start_collects_them(bench: Bench, cohort: Path, tmp_path: Path) -> None:
    for index in range(2):
        code, _, err = bench.run(cohort, tmp_path, "--shard", "2", JOB_COMPLETION_INDEX=str(index))
        assert code == 0, err
    parts = [rows_of(tmp_path, f"batch-{index}-of-2") for index in range(2)]
    assert set(parts[0]) | set(parts[1]) == {"first", "second", "short", "notes"}
    assert set(parts[0]).isdisjoint(parts[1])
    _, out, _ = bench.run(cohort, tmp_path)
    assert "0 read now, 4 known" in out


@given(st.lists(st.text(), unique=True), st.integers(min_value=1, max_value=20))
def test_every_study_is_in_exactly_one_shard(names: list[str], count: int) -> None:
    studies = [BatchStudy(name_of(name), name) for name in names]
    for study in studies:
        assert sum(Shard(index, count).holds(study) for index in range(count)) == 1


@pytest.mark.parametrize("text", ["2/2", "-1/2", "a/b", "1", "/3", "1/0", "1/"])
def test_a_shard_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(UsageRefusal, match="bad-shard"):
        Shard.parse(text)


def test_a_bare_count_needs_the_index_of_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)
    with pytest.raises(UsageRefusal, match="JOB_COMPLETION_INDEX"):
        _with_index("4")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "3")
    assert (_with_index("4"), _with_index("1/2")) == ("3/4", "1/2")


def test_a_second_batch_into_the_same_folder_is_refused(bench: Bench, cohort: Path, tmp_path: Path) -> None:
    first = bench.batch(cohort, tmp_path)
    assert wait_for((tmp_path / ".batch.lock").exists)
    code, _, err = bench.run(cohort, tmp_path)
    first.kill()
    first.communicate()
    assert code == 2
    assert "Another batch" in err


def test_a_table_holds_no_formula(tmp_path: Path) -> None:
    row = Row(study="00", source="=HYPERLINK(1)", state=RowState.FAILED, seconds=1, content_sha256="", setup_sha256="")
    csv_path, _ = write_tables([row], tmp_path, "")
    assert "'=HYPERLINK(1)" in csv_path.read_text(encoding="utf-8")


def test_workers_share_the_cores_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(5)))
    assert share_cores(2) == [[0, 2, 4], [1, 3]]
    assert share_cores(6) == [[0, 1, 2, 3, 4]] * 6


def test_no_studies_need_no_process(tmp_path: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    read_with_processes([], Plan(tmp_path, tmp_path, None, ""), 2, lambda outcome: pytest.fail(str(outcome)))
    assert set(psutil.Process().children(recursive=True)) <= before
    assert list(tmp_path.iterdir()) == []
