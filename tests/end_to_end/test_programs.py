"""`python .` and `lung-nodules exec` as a user starts them: results, exit codes, what is said and what is not."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from dicom_checkers import errors_of
from programs import IDENTITY, Command, command_line

from lung_nodules.errors import ExitCode
from lung_nodules.phantom import PhantomTruth
from lung_nodules.stages.report_model import FailureReport, Report
from lung_nodules.tables import pair_findings

pytestmark = pytest.mark.slow
RESULTS = {"report.json", "segmentation.dcm", "structured_report.dcm", "findings.png"}
BOTH = pytest.mark.parametrize("program", ["pipeline", "graph"])


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture(scope="module")
def outputs(study: Path, models: Path, run: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Both programs run once on the same study with all that can be said; the graph on the environment alone."""
    folders = {program: tmp_path_factory.mktemp(program) / "out" for program in ("pipeline", "graph")}
    environment = {
        "HOLOSCAN_INPUT_PATH": str(study / "dicom"),
        "HOLOSCAN_OUTPUT_PATH": str(folders["graph"]),
        "HOLOSCAN_MODEL_PATH": str(models),
    }
    arguments = ["-i", study / "dicom", "-o", folders["pipeline"], "-m", models]
    return {
        "pipeline": (folders["pipeline"], run("pipeline", *arguments, "-l", "debug")),
        "graph": (folders["graph"], run("graph", "-l", "DEBUG", **environment)),
    }


@BOTH
def test_results_are_written(outputs: dict[str, Any], program: str) -> None:
    out, done = outputs[program]
    assert done.returncode == ExitCode.RESULTS_WRITTEN, done.stderr
    report = Report.model_validate_json((out / "report.json").read_bytes())
    assert report.findings
    assert names_in(out) >= RESULTS
    assert f"Results are in {out}" in done.stderr
    assert {"instances", "volume", "detection", "classification"} <= set(report.run.seconds_by_stage)


@BOTH
def test_dciodvfy_finds_no_error_in_what_is_written(outputs: dict[str, Any], program: str) -> None:
    objects = sorted(outputs[program][0].glob("*.dcm"))
    assert len(objects) == 2
    assert [error for path in objects for error in errors_of(path)] == []


def test_graph_and_pipeline_give_equal_results(outputs: dict[str, Any]) -> None:
    graph, pipeline = (json.loads((outputs[name][0] / "report.json").read_bytes()) for name in ("graph", "pipeline"))
    for report in (graph, pipeline):
        del report["run"]["seconds_by_stage"], report["run"]["peak_memory_mib"]
    assert graph == pipeline
    for name in ("segmentation.dcm", "structured_report.dcm", "findings.png"):
        assert (outputs["graph"][0] / name).read_bytes() == (outputs["pipeline"][0] / name).read_bytes()


@BOTH
def test_nothing_that_is_said_names_the_patient(outputs: dict[str, Any], program: str) -> None:
    done = outputs[program][1]
    for private in (*IDENTITY["PatientName"].split("^"), IDENTITY["PatientID"], IDENTITY["PatientBirthDate"]):
        assert private not in done.stdout + done.stderr


@BOTH
def test_the_nodules_that_were_put_in_are_found(outputs: dict[str, Any], study: Path, program: str) -> None:
    report = Report.model_validate_json((outputs[program][0] / "report.json").read_bytes())
    truth = PhantomTruth.model_validate_json((study / "truth.json").read_bytes())
    pairs = pair_findings(report.findings, truth.nodules)
    assert set(pairs) == {nodule.nodule_id for nodule in truth.nodules}
    for nodule in truth.nodules:
        assert pairs[nodule.nodule_id].size.long_axis_mm == pytest.approx(nodule.longest_axial_diameter_mm, abs=3)


@BOTH
def test_without_a_ct_the_report_says_why(
    study: Path, models: Path, tmp_path: Path, run: Command, program: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "notes.txt").write_text("no CT")
    out.mkdir()
    for name in ("segmentation.dcm", "structured_report.dcm", "findings.png", "foreign.dcm"):
        (out / name).touch()
    (out / "report.json").write_text('{"report_version": "1.0"}')
    done = run(program, "-i", folder, "-o", out, "-m", models)
    assert done.returncode == ExitCode.NO_USABLE_CT, done.stderr
    report = FailureReport.model_validate_json((out / "report.json").read_bytes())
    assert report.stage == "series"
    assert report.sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert names_in(out) == {"report.json", "foreign.dcm"}


@BOTH
def test_an_internal_error_names_the_stage_and_shows_where_on_request(
    study: Path, models: Path, tmp_path: Path, run: Command, program: str
) -> None:
    broken = tmp_path / "models"
    shutil.copytree(models, broken)
    record = json.loads((broken / "classification" / "record.json").read_text())
    record["heads"]["nodule"]["inputs"] = ["image.nowhere"]
    (broken / "classification" / "record.json").write_text(json.dumps(record))
    level = "DEBUG" if program == "pipeline" else "INFO"
    done = run(program, "-i", study / "dicom", "-o", tmp_path / "out", "-m", broken, "-l", level)
    assert done.returncode == ExitCode.INTERNAL_ERROR, done.stderr
    assert "Internal error (KeyError)" in done.stderr
    assert ("Traceback" in done.stderr) == (level == "DEBUG")
    assert "holoscan" not in done.stderr.lower(), "its own log stays out of ours"
    assert names_in(tmp_path / "out") == {"report.json"}
    report = FailureReport.model_validate_json((tmp_path / "out" / "report.json").read_bytes())
    assert (report.status, report.code, report.stage) == ("failed", "internal-error", "classification")
    assert not [name for name in names_in(tmp_path) if name.startswith(".out")]


@BOTH
def test_what_cannot_be_used_is_refused_in_one_sentence(
    models: Path, tmp_path: Path, run: Command, program: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").touch()
    altered = tmp_path / "altered"
    shutil.copytree(models, altered)
    with (altered / "detection" / "weights.safetensors").open("ab") as weights:
        weights.write(b"x")
    missing = tmp_path / "missing"
    good = {"-i": tmp_path / "in", "-o": tmp_path / "out", "-m": models}
    cases: list[tuple[dict[str, Any], ExitCode, str]] = [
        ({"-i": missing}, ExitCode.BAD_USAGE, "no such input"),
        (
            {"-c": missing},
            ExitCode.BAD_USAGE,
            f"The settings file {missing} cannot be read: No such file or directory.",
        ),
        ({"--nonsense": 1}, ExitCode.BAD_USAGE, "--nonsense"),
        ({"-m": missing}, ExitCode.BAD_MODEL, "models folder"),
        ({"-m": altered}, ExitCode.BAD_MODEL, "not the ones"),
        ({"-o": tmp_path / "file"}, ExitCode.OUTPUT_NOT_WRITTEN, "is a file"),
    ]
    for changed, code, words in cases:
        arguments = [part for pair in (good | changed).items() for part in pair]
        done = run(program, *arguments)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "out").exists()


@BOTH
def test_help_is_ours(run: Command, program: str) -> None:
    done = run(program, "-h")
    assert done.returncode == 0
    for option in ("--input", "--output", "--model", "--config", "--log-level", "HOLOSCAN_INPUT_PATH"):
        assert option in done.stdout


def test_a_missing_settings_file_in_the_environment_is_a_usage_error(
    tmp_path: Path, models: Path, run: Command
) -> None:
    done = run("graph", "-i", tmp_path, "-m", models, HOLOSCAN_CONFIG_PATH=str(tmp_path / "missing.yaml"))
    assert done.returncode == ExitCode.BAD_USAGE
    assert "missing.yaml" in done.stderr


@pytest.mark.parametrize(("program", "number"), [("graph", signal.SIGTERM), ("pipeline", signal.SIGINT)])
def test_a_signal_ends_the_run_and_leaves_nothing(
    study: Path, models: Path, config: Path, tmp_path: Path, program: str, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    arguments = ["-i", study / "dicom", "-o", out, "-m", models, "-c", config]
    with subprocess.Popen([*command_line(program), *map(str, arguments)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "instances:" in line:
                break
        sent = time.monotonic()
        process.send_signal(number)
        said = process.stderr.read()
    assert time.monotonic() - sent < 2
    assert process.returncode == 128 + number
    assert f"Stopped by {number.name}" in said
    assert names_in(tmp_path) == set()


@BOTH
def test_a_study_without_a_nodule_has_a_report_and_no_segmentation(
    study: Path, models: Path, tmp_path: Path, run: Command, program: str
) -> None:
    strict = tmp_path / "models"
    shutil.copytree(models, strict)
    record = json.loads((strict / "classification" / "record.json").read_text())
    record["operating_points"]["default"]["threshold"] = 1.0
    (strict / "classification" / "record.json").write_text(json.dumps(record))
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.json").write_text('{"report_version": "1.3"}')
    (out / "segmentation.dcm").touch()  # an earlier run's
    done = run(program, "-i", study / "dicom", "-o", out, "-m", strict)
    assert done.returncode == ExitCode.RESULTS_WRITTEN, done.stderr
    report = Report.model_validate_json((out / "report.json").read_bytes())
    assert (report.findings, report.segmentation, report.classification_result) == ((), None, "no nodule found")
    assert report.candidates.rejected > 0
    assert names_in(out) == RESULTS - {"segmentation.dcm"}
    assert errors_of(out / "structured_report.dcm") == []


@BOTH
@pytest.mark.parametrize("stage", ["series", "lungs", "detection", "classification"])
def test_a_run_that_is_killed_leaves_nothing(
    study: Path, models: Path, config: Path, tmp_path: Path, program: str, stage: str
) -> None:
    arguments = ["-i", study / "dicom", "-o", tmp_path / "out", "-m", models, "-c", config]
    with subprocess.Popen([*command_line(program), *map(str, arguments)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(f"INFO {stage}:" in line for line in process.stderr)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert names_in(tmp_path) == set()


@BOTH
def test_a_run_that_is_killed_while_it_writes_leaves_nothing_or_everything(
    study: Path, models: Path, config: Path, tmp_path: Path, program: str
) -> None:
    out = tmp_path / "out"
    arguments = ["-i", study / "dicom", "-o", out, "-m", models, "-c", config]
    with subprocess.Popen([*command_line(program), *map(str, arguments)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("report:" in line for line in process.stderr), "the writers come next"
        while not any(tmp_path.iterdir()):
            time.sleep(0.001)
        process.kill()
    assert names_in(out) == set() or names_in(out) >= RESULTS
