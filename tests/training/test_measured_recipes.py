"""Forest and fusion from the command line, on a tiny cohort with tiny models, and what evaluation makes of them."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_cohort import NUM_PATIENTS, invented_patients, write_tiny_crops
from tiny_models import write_tiny_models
from typer.testing import CliRunner, Result

from lung_nodules import cli
from lung_nodules.cohorts.split import Split
from lung_nodules.errors import InputRefusal, UsageRefusal
from lung_nodules.networks.forest import load_forest
from lung_nodules.networks.record import load_model
from lung_nodules.progress import SilentProgress
from lung_nodules.training.forest import ForestSettings
from lung_nodules.training.measured_recipes import Desk, teach_forest

Run = Callable[..., Result]

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("measured")
    write_tiny_crops(folder / "crops")
    write_tiny_models(folder / "models")
    path = folder / "models" / "classification" / "record.json"
    record = json.loads(path.read_text())
    record["outputs"] = ["nodule", "malignancy"]
    record["heads"]["suspicion"]["inputs"] = ["image.malignancy"]
    path.write_text(json.dumps(record))
    return folder


@pytest.fixture(scope="module")
def run(root: Path) -> Run:
    def call(*arguments: object) -> Result:
        done = CliRunner().invoke(cli.app, [str(one) for one in arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    return call


def test_a_forest_is_taught_and_stands_in_the_comparison(root: Path, run: Run) -> None:
    models = root / "with_forest"
    shutil.copytree(root / "models", models)
    said = run("train", "forest", "--crops", root / "crops", "-m", models, "--trees", 10, "--folds", 3, "--smote")
    assert "auc less readers' diameter alone, paired" in said.output
    forest = load_forest(models / "forest")
    assert forest.record.data.num_patients == NUM_PATIENTS[Split.TRAIN] + NUM_PATIENTS[Split.VALIDATION]
    assert forest.record.training["settings"]["smote"] is True
    assert {score.n for score in forest.record.scores if score.cohort.startswith("test")} == {NUM_PATIENTS[Split.TEST]}
    assert load_model(models / "segmentation").record.weights_sha256 == forest.record.training["segmentation_sha256"]

    options = ("--cohort", "crops", root / "crops", "--split", "rule-test", "--models", models)
    run("evaluate", *options, "--json", root / "figures.json", "--output", root / "report")
    figures = json.loads((root / "figures.json").read_text())["classification"]["random_forest"]
    assert set(figures) == {
        "auc_above_3_against_below_3",
        "auc_suspicious_against_rest",
        "gain_over_diameter_above_3_against_below_3",
        "gain_over_diameter_suspicious_against_rest",
        "accuracy",
        "f1",
    }
    assert figures["auc_above_3_against_below_3"]["value"] == 1  # the large ones are rated suspicious


def test_what_knows_a_patient_by_heart_does_not_teach_a_forest(root: Path, run: Run) -> None:
    output = root / "forest_on_tokens"
    arguments = ("train", "forest", "--crops", root / "crops", "-m", root / "models", "-o", output)
    run(*arguments, "--trees", 5, "--folds", 2, "--input", "classifier", "--input", "features")
    record = load_forest(output).record
    assert record.data.num_patients == NUM_PATIENTS[Split.VALIDATION]
    assert {"feature.sphericity", "classifier.0"} <= set(record.inputs)


def test_unrated_nodules_teach_no_forest_that_they_are_benign(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root / "crops", tmp_path / "crops")
    table = tmp_path / "crops" / "nodules.csv"
    with table.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    with table.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "malignancy_mean": ""} for row in rows)
    with pytest.raises(UsageRefusal) as refused:
        teach_forest(Desk(tmp_path / "crops", root / "models", tmp_path / "forest"), ForestSettings(), SilentProgress())
    assert refused.value.code == "too-few-nodules"
    assert not (tmp_path / "forest").exists()


def test_an_unknown_input_is_a_usage_error(root: Path) -> None:
    arguments = ["train", "forest", "--crops", str(root / "crops"), "--input", "age"]
    with pytest.raises(UsageRefusal, match="features, outliner, classifier"):
        CliRunner().invoke(cli.app, arguments, catch_exceptions=False)


def test_the_fusion_is_used_only_where_it_wins(root: Path, run: Run) -> None:
    models, known = root / "with_fusion", root / "known.csv"
    shutil.copytree(root / "models", models)
    before = load_model(models / "classification").record.heads["suspicion"]
    arguments = ("train", "fusion", "--crops", root / "crops", "-m", models)
    assert "suspicion alone" in run(*arguments).output.splitlines()[-1]  # nothing is known of any patient
    assert load_model(models / "classification").record.heads["suspicion"] == before

    ages = [*enumerate(invented_patients(Split.TRAIN)), *enumerate(invented_patients(Split.VALIDATION), 10)]
    rows = [f"series of {patient},{70 + number % 3 if number % 2 else 40 + number % 3}" for number, patient in ages]
    known.write_text("\n".join(["series_instance_uid,age_years", *rows]))  # who is old has the suspicious nodules
    run(*arguments, "--covariates", known)
    once = load_model(models / "classification").record
    assert once.heads["suspicion_alone"] == before
    assert "covariate.age_years" in once.heads["multimodal"].inputs
    assert once.heads["suspicion"] in (before, once.heads["multimodal"])
    run(*arguments, "--covariates", known)
    again = load_model(models / "classification").record
    assert again == once  # a fusion is not joined twice


def test_a_fusion_without_validation_patients_is_refused(root: Path) -> None:
    crops = root / "training_side_alone"
    shutil.copytree(root / "crops", crops)
    header, *rows = (crops / "nodules.csv").read_text().splitlines()
    kept = [row for row in rows if row.split(",")[1] in invented_patients(Split.TRAIN)]
    (crops / "nodules.csv").write_text("\n".join([header, *kept, ""]))
    arguments = ["train", "fusion", "--crops", str(crops), "-m", str(root / "models")]
    with pytest.raises(InputRefusal, match="too-few-nodules"):
        CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
