"""The committed models on the phantom of the demonstration: what a clean clone can show without any other data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from programs import REPOSITORY, Command

from lung_nodules.errors import ExitCode
from lung_nodules.phantom import Phantom, default_phantom_settings, write_phantom
from lung_nodules.stages.report_model import Report
from lung_nodules.tables import pair_findings

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Phantom:
    return write_phantom(tmp_path_factory.mktemp("demonstration"), default_phantom_settings())


@pytest.fixture(scope="module")
def outputs(phantom: Phantom, run: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both programs with the repository's models and settings."""
    folders = {program: tmp_path_factory.mktemp(program) / "out" for program in ("pipeline", "graph")}
    options = ["-m", REPOSITORY / "models", "-c", REPOSITORY / "app.yaml"]
    for program, out in folders.items():
        done = run(program, "-i", phantom.dicom_folder, "-o", out, *options)
        assert done.returncode == ExitCode.RESULTS_WRITTEN, done.stderr
    return folders


@pytest.mark.parametrize("program", ["pipeline", "graph"])
def test_all_nodules_of_the_demonstration_are_found(phantom: Phantom, outputs: dict[str, Path], program: str) -> None:
    report = Report.model_validate_json((outputs[program] / "report.json").read_bytes())
    pairs = pair_findings(report.findings, phantom.truth.nodules)
    assert set(pairs) == {nodule.nodule_id for nodule in phantom.truth.nodules}
    assert len(report.findings) - len(pairs) <= 3, "false positives"
    assert report.classification_finding_id in {finding.finding_id for finding in pairs.values()}
    for nodule in phantom.truth.nodules:
        assert pairs[nodule.nodule_id].position.side == nodule.side


def test_both_programs_give_equal_reports(outputs: dict[str, Path]) -> None:
    graph, pipeline = (_comparable(outputs[program]) for program in ("graph", "pipeline"))
    assert graph == pipeline


def _comparable(out: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / "report.json").read_bytes())
    del report["run"]["seconds_by_stage"], report["run"]["peak_memory_mib"]
    return report
