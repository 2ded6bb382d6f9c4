"""The command line: help at once, the phantom's options, tables of models and findings."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from report_examples import drawn_study
from rich.console import Console
from tiny_models import write_tiny_models
from typer.testing import CliRunner

from lung_nodules import __version__, cli
from lung_nodules.errors import ExitCode
from lung_nodules.networks.record import KINDS, read_record, sha256_of
from lung_nodules.phantom import NoduleKind, NoduleTruth, PhantomTruth
from lung_nodules.stages.report_model import Density, Report
from lung_nodules.tables import comparison_table, findings_table, pair_findings
from lung_nodules.writers.report_json import write_report_json

MODELS = Path(__file__).resolve().parents[1] / "models"
COMMANDS = {"exec", "phantom", "models", "show", "gateway", "package", "train", "cohort", "evaluate", "version"}


def invoke(*arguments: str | Path) -> str:
    """Run a command in this process and give what it printed."""
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refuse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str | Path
) -> tuple[int, str]:
    """Run the program in this process, and give its exit code and what it said."""
    monkeypatch.setattr(sys, "argv", ["lung-nodules", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.fixture
def report() -> Report:
    return drawn_study().report()


def nodule_at(finding_center: tuple[float, float, float], name: str, diameter_mm: float = 10.0) -> NoduleTruth:
    return NoduleTruth(
        nodule_id=name,
        kind=NoduleKind.SOLID,
        center_lps=finding_center,
        longest_axial_diameter_mm=diameter_mm,
        volume_mm3=500,
        equivalent_sphere_diameter_mm=9.8,
        mean_hu=30,
        side="left",
    )


def test_help_lists_every_command_in_half_a_second() -> None:
    command = [sys.executable, "-m", "lung_nodules", "--help"]
    seconds = []
    for _ in range(3):
        begun = cpu_seconds_of_children()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds.append(cpu_seconds_of_children() - begun)
    assert all(f" {name} " in done.stdout for name in COMMANDS)
    assert min(seconds) < 0.5


def cpu_seconds_of_children() -> float:
    """Of the processor, not of the clock, so that what else the machine does counts little."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_both_ways_to_ask_for_the_version() -> None:
    assert invoke("version").strip() == invoke("--version").strip() == __version__


def test_the_phantom_command_writes_what_its_options_say(tmp_path: Path) -> None:
    options = ["--nodules", "2", "--min-mm", "12", "--max-mm", "20", "--kind", "ground-glass"]
    printed = invoke("phantom", tmp_path, *options, "--slices", "60", "--spacing-mm", "4.5", "--seed", "5")
    assert str(tmp_path / "dicom") in printed
    truth = PhantomTruth.model_validate_json((tmp_path / "truth.json").read_bytes())
    assert (truth.seed, truth.num_slices, truth.spacing_mm[0]) == (5, 60, 4.5)
    assert [nodule.kind for nodule in truth.nodules] == [NoduleKind.GROUND_GLASS] * 2


def test_a_phantom_out_of_bounds_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refuse(monkeypatch, capsys, "phantom", tmp_path, "--spacing-mm", "99")
    assert code == 2
    assert "slice_spacing_mm" in said


def test_models_are_listed_with_their_hashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_models(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    printed = invoke("models", "-m", tmp_path)
    for kind in ("detection", "segmentation", "classification"):
        assert f"tiny-{kind}" in printed
        assert sha256_of(tmp_path / kind / "weights.safetensors") in printed
    shutil.rmtree(tmp_path / "segmentation")
    code, said = refuse(monkeypatch, capsys, "models", "-m", tmp_path)
    assert code == 4
    assert "segmentation" in said


def test_the_committed_models_scores_take_a_line_each_and_no_hash_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = invoke("models", "-m", MODELS).splitlines()
    for record in (read_record(MODELS / kind) for kind in KINDS):
        assert f"  SHA-256 {record.weights_sha256}" in [line.rstrip() for line in lines]
        for score in record.scores:
            assert any(f"{score.value:.3f} ({score.low:.3f}" in line and score.name[:40] in line for line in lines)


def test_models_whose_weights_were_altered_or_lost_are_listed_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_models(tmp_path)
    with (tmp_path / "segmentation" / "weights.safetensors").open("ab") as weights:
        weights.write(b"x")
    (tmp_path / "detection" / "weights.safetensors").unlink()
    monkeypatch.setattr(sys, "argv", ["lung-nodules", "models", "-m", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    assert ended.value.code == ExitCode.BAD_MODEL
    assert "  altered: The weights of the model segmentation" in printed.out
    assert "  missing: The weights of the model detection" in printed.out
    assert "tiny-classification" in printed.out
    assert "weights of the model detection" in printed.err


@pytest.mark.parametrize("truth", [False, True])
def test_no_cell_of_the_findings_wraps_at_80_columns(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, truth: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    size = {"long_axis_mm": 128.5, "short_axis_mm": 101.2, "volume_mm3": 123456.7}
    word = {"suspicion": "indeterminate", "density": Density.GROUND_GLASS}
    findings = tuple(
        each.model_copy(update=word | {"size": each.size.model_copy(update=size)}) for each in report.findings
    )
    wide = report.model_copy(update={"findings": findings})
    put_in = nodule_at(findings[0].position.center_lps_mm, "P10").model_copy(update={"kind": "juxtavascular"})
    console = Console(width=80)
    with console.capture() as printed:
        console.print(comparison_table(wide, [put_in]) if truth else findings_table(wide))
    for finding in findings:
        (row,) = (line for line in printed.get().splitlines() if f"{finding.finding_id} " in line)
        assert "128.5 x 101.2" in row
        assert f"{finding.nodule_probability:.2f}  {finding.overall_suspicion:.2f} indeterminate" in row


def test_findings_are_shown_beside_what_was_put_in(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report_json(report, tmp_path)
    first, second = (finding.position.center_lps_mm for finding in report.findings)
    far = (first[0] + 300, first[1], first[2])
    truth = PhantomTruth(
        seed=1,
        study_instance_uid="1.2",
        thin_series_instance_uid="1.3",
        thick_series_instance_uid="1.4",
        scout_series_instance_uid="1.5",
        dose_series_instance_uid="1.6",
        frame_of_reference_uid="1.7",
        num_slices=12,
        spacing_mm=(2.5, 0.8, 0.7),
        right_lung_litres=3,
        left_lung_litres=3,
        nodules=(nodule_at(first, "P1"), nodule_at(far, "P2")),
    )
    (tmp_path / "truth.json").write_text(truth.model_dump_json())
    monkeypatch.setenv("COLUMNS", "160")
    rows = invoke("show", tmp_path, "--truth", tmp_path / "truth.json").splitlines()
    hit, missed, extra = (next(row for row in rows if f"{name} " in row) for name in ("P1", "P2", "N2"))
    assert "N1" in hit
    assert "missed" in missed
    assert extra.startswith("-")
    assert str(tmp_path / "report.json") in rows
    assert second is not None
    assert "N1" in invoke("show", tmp_path)


def test_a_finding_is_given_to_one_nodule_and_must_lie_within_its_radius(report: Report) -> None:
    center = report.findings[0].position.center_lps_mm
    beside = (center[0] + 4.0, center[1], center[2])
    touching = (center[0] + 5.0, center[1], center[2])
    assert pair_findings(report.findings[:1], [nodule_at(touching, "P1")]) == {}
    pairs = pair_findings(report.findings[:1], [nodule_at(beside, "P1"), nodule_at(center, "P2")])
    assert list(pairs) == ["P2"]


def test_a_folder_without_a_report_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refuse(monkeypatch, capsys, "show", tmp_path)
    assert code == 2
    assert "no report" in said


@pytest.mark.parametrize("recipe", [("detection",), ("pretraining", "-o", "encoder")])
@pytest.mark.parametrize(("missing", "named"), [("crops", "nodules.csv"), ("scans", "reference.json")])
def test_training_without_its_data_is_a_usage_error_that_names_what_is_missing(
    tmp_path: Path, missing: str, named: str, recipe: tuple[str, ...]
) -> None:
    for folder, table in {"crops": "nodules.csv", "scans": "reference.json"}.items():
        if folder != missing:
            (tmp_path / folder).mkdir()
            (tmp_path / folder / table).touch()
    command = [sys.executable, "-m", "lung_nodules", "train", *recipe]
    done = subprocess.run(
        [*command, "--crops", tmp_path / "crops", "--scans", tmp_path / "scans"], capture_output=True, text=True
    )
    assert done.returncode == ExitCode.BAD_USAGE
    assert done.stderr.startswith("There are no ")
    assert str(tmp_path / missing) in done.stderr
    assert named in done.stderr


def test_the_packager_is_installed() -> None:
    command = Path(sys.executable).with_name("monai-deploy")
    done = subprocess.run([command, "package", "--help"], capture_output=True, text=True, check=True)
    assert "--platform" in done.stdout
