"""The staged copy runs from anywhere, with nothing but requirements.txt, and without what the image leaves out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distribution, distributions
from pathlib import Path

import pytest
from programs import REPOSITORY

from lung_nodules.packaging.licences import requirement_closure
from lung_nodules.packaging.staging import StagedApplication

WITHOUT = Path(__file__).with_name("without")
LEAVE_OUT = [
    line.split("#")[0].strip()
    for line in (REPOSITORY / "deploy" / "map" / "leave_out.txt").read_text(encoding="utf-8").splitlines()
    if line.split("#")[0].strip()
]


def test_everything_that_is_left_out_is_there_to_be_left_out() -> None:
    wanted = requirement_closure(REPOSITORY / "requirements.txt") | {"pip", "setuptools"}
    packages = Path(str(distribution("torch").locate_file("")))
    for name in LEAVE_OUT:
        assert any(packages.glob(name.rstrip("/"))) if "/" in name else name.lower() in wanted, name


def modules_of(names: Iterable[str]) -> set[str]:
    """Top-level modules that the packages install."""
    modules = set()
    for name in names:
        for file in distribution(name).files or ():
            top = file.parts[0]
            if len(file.parts) > 1 or file.suffix in (".py", ".so"):
                modules.add(top.split(".")[0])
    return {module for module in modules if module.isidentifier()}


@pytest.mark.slow
def test_the_staged_application_runs_with_the_requirements_alone(
    staged: StagedApplication, study: Path, config: Path, tmp_path: Path
) -> None:
    wanted = requirement_closure(REPOSITORY / "requirements.txt")
    installed = {found.metadata["Name"].lower().replace("_", "-").replace(".", "-") for found in distributions()}
    left_out = {name.lower() for name in LEAVE_OUT if "/" not in name} & installed
    kept = modules_of(wanted - left_out)
    without = modules_of((installed - wanted - {"lung-nodules"}) | left_out) - kept
    assert {"pytest", "mypy", "hypothesis", "cupy", "networkx"} <= without
    done = subprocess.run(
        [sys.executable, staged.application, "-i", study, "-o", tmp_path / "out", "-m", staged.models, "-c", config],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(WITHOUT), "WITHOUT": ",".join(sorted(without))}
        | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert f"library: {staged.application}/lung_nodules/" in done.stdout, "not the one of the repository"
    assert json.loads((tmp_path / "out" / "report.json").read_bytes())["status"] == "completed"


def test_sdk_and_packager_leave_the_models_to_the_application(staged: StagedApplication) -> None:
    """To the SDK, folders with two files each are one model without a predictor; the application asks it for none."""
    code = f"""
from lung_nodules.surroundings import load_cuda_runtime
load_cuda_runtime()
from monai.deploy.core.models import ModelFactory
model = ModelFactory.create({str(staged.models)!r})
print(type(model).__name__, model.path)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["Model", str(staged.models)]
    for part in ("app", "operators"):
        for path in (staged.application / part).rglob("*.py"):
            assert "app_context" not in path.read_text(), f"{path.name} must read the folder that it is given"
