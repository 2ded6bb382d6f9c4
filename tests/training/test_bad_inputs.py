"""Bad inputs of the commands that train, judge and make cohorts end in one sentence with its code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from test_cli import refuse
from tiny_cohort import write_tiny_crops, write_tiny_scans
from tiny_models import write_tiny_models

from lung_nodules.errors import ExitCode

TINY = "--set channels=[4,8,8] --set cube.voxels=16 --set loop.batch_size=2 --set loop.num_workers=0"
TINY_VIT = f"{TINY} --set hidden_size=8 --set num_layers=1 --set num_heads=2"
Say = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort that trains, models, and what is none of it: an empty folder and a file."""
    root = tmp_path_factory.mktemp("inputs")
    write_tiny_crops(root / "crops")
    write_tiny_scans(root / "scans")
    write_tiny_models(root / "models")
    (root / "empty").mkdir()
    (root / "file").write_text("text", encoding="utf-8")
    return root


@pytest.fixture
def say(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run the program in the folder of the inputs; its exit code and what it said."""
    monkeypatch.chdir(root)
    return lambda command: refuse(monkeypatch, capsys, *command.split())


LEARN = "--crops crops --scans scans"
JUDGE = "evaluate --cohort scans scans"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (f"train segmentation {LEARN} -m trained --run file", "output-not-writable"),
        (f"train segmentation {LEARN} -m file --run run", "output-not-writable"),
        (f"train segmentation {LEARN} -m trained --run run --pseudo nothere", "input-not-found"),
        (f"train segmentation {LEARN} -m trained --run run --set loop.steps.x=1", "bad-settings"),
        (f"train pretraining {LEARN} -o file --run run", "output-not-writable"),
        (f"train pretraining {LEARN} -o encoder --run file", "output-not-writable"),
        (f"train compare {LEARN} --run file", "output-not-writable"),
        (f"train compare {LEARN} --run run --set deep_supervision=true", "bad-settings"),
        ("train compare --crops nothere --scans scans", "no-crops"),
        ("train compare --crops crops --scans empty", "no-reference"),
        ("train forest --crops nothere -m models", "no-crops"),
        ("train forest --crops crops -m models -o file", "output-not-writable"),
        ("train fusion --crops nothere -m models", "no-crops"),
        ("train fusion --crops crops -m models --covariates nothere", "input-not-found"),
        (f"{JUDGE} -m models -o file", "output-not-writable"),
        (f"{JUDGE} -m models -o out --folds nothere", "no-folds"),
        (f"{JUDGE} -m models -o out --folds file", "no-folds"),
        (f"{JUDGE} -m models -o out --config file", "bad-settings"),
        ("cohort build lidc nothere out", "input-not-found"),
        ("cohort build nifti file out", "input-not-found"),
        ("cohort build luna16 empty out --marks nothere", "input-not-found"),
        ("cohort reference luna16 nothere out", "input-not-found"),
        ("cohort folds nothere", "input-not-found"),
    ],
)
def test_a_bad_input_is_one_sentence_with_its_code(say: Say, root: Path, command: str, code: str) -> None:
    exit_code, said = say(command)
    assert exit_code in set(ExitCode) - {ExitCode.RESULTS_WRITTEN, ExitCode.INTERNAL_ERROR}
    assert said.endswith(f"[{code}]\n")
    assert said.count("\n") == 1
    assert {path.name for path in root.iterdir()} == {"crops", "scans", "models", "empty", "file"}


def test_covariates_that_say_nothing_leave_the_record_as_it_is(say: Say, root: Path) -> None:
    record = root / "models" / "classification" / "record.json"
    before = record.read_bytes()
    tables = {
        "other": "series_instance_uid,age_years\nof nobody,70\n",
        "nothing": f"series_instance_uid,age_years\n{first_series(root)},\n",
    }
    for name, text in tables.items():
        (root / "empty" / f"{name}.csv").write_text(text, encoding="utf-8")
    for covariates in ("empty", "empty/other.csv", "empty/nothing.csv"):
        exit_code, said = say(f"train fusion --crops crops -m models --covariates {covariates}")
        assert exit_code == ExitCode.NO_USABLE_CT
        assert said == f"{covariates} says nothing of any series of the crops. [bad-covariates]\n"
        assert record.read_bytes() == before
    for name in tables:
        (root / "empty" / f"{name}.csv").unlink()


def first_series(root: Path) -> str:
    header, first, *_ = (root / "crops" / "nodules.csv").read_text(encoding="utf-8").splitlines()
    return first.split(",")[header.split(",").index("series_instance_uid")]


def test_models_of_a_fold_that_are_missing_are_named(say: Say, root: Path, tmp_path: Path) -> None:
    patient = next(path.name for path in (root / "scans").iterdir() if path.is_dir())
    entry = {"scans": {patient: {"folder": f"{patient}/dicom", "nodules": []}}}
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "reference.json").write_text(json.dumps(entry), encoding="utf-8")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "fold0.csv").write_text(f"patient_id,split\n{patient},test\n", encoding="utf-8")
    exit_code, said = say(
        f"evaluate --cohort scans {tmp_path}/scans --folds {tmp_path}/lists -m models -o {tmp_path}/out"
    )
    assert (exit_code, said) == (4, "There is no models folder models/fold0. Name it with -m. [model-missing]\n")


@pytest.mark.training
def test_a_training_that_writes_to_a_pipe_says_how_far_it_is(say: Say, tmp_path: Path) -> None:
    exit_code, said = say(f"train pretraining {LEARN} -o {tmp_path}/encoder --run {tmp_path}/run --steps 1 {TINY_VIT}")
    assert (exit_code, "INFO training: " in said) == (0, True)


@pytest.mark.training
def test_a_model_of_another_kind_is_nothing_to_start_from(say: Say, tmp_path: Path) -> None:
    places = f"-m {tmp_path}/trained --run {tmp_path}/run --initial models/classification"
    exit_code, said = say(f"train segmentation {LEARN} {places} {TINY}")
    assert (exit_code, said.splitlines()[-1]) == (
        ExitCode.BAD_USAGE,
        "The weights to start from are those of another network. "
        "Choose its variant, channels and deep_supervision with --set. [initial-unfit]",
    )
