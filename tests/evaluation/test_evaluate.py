"""`lung-nodules evaluate` from end to end on tiny cohorts with tiny models: every figure, twice the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drawn_scans import write_drawn_scans
from tiny_models import write_tiny_models
from training.tiny_cohort import NUM_PATIENTS, invented_patients, write_tiny_crops
from typer.testing import CliRunner

from lung_nodules import cli
from lung_nodules.cohorts.split import Split
from lung_nodules.errors import Refusal

PICTURES = {
    "roc",
    "pr",
    "confusion",
    "reliability",
    "dice",
    "masks_poorest",
    "masks_median",
    "masks_best",
    "comparison",
}
OUTLINE_FIGURES = {"dice", "iou", "surface_dice", "hd95_mm", "volume_error", "volume_error_absolute"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("evaluation")
    write_tiny_models(root / "models")
    write_tiny_crops(root / "crops")
    write_drawn_scans(root / "scans")
    return root


Evaluate = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def evaluate(folders: Path) -> Evaluate:
    def run(name: str, *options: str | Path) -> dict[str, Any]:
        file = folders / f"{name}.json"
        common = ["--models", folders / "models", "--json", file, "--output", folders / name]
        arguments = ["evaluate", *map(str, options), *map(str, common)]
        done = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return dict(json.loads(file.read_text(encoding="utf-8")))

    return run


@pytest.fixture(scope="module")
def crops(evaluate: Evaluate, folders: Path) -> dict[str, Any]:
    return evaluate("first", "--cohort", "crops", folders / "crops", "--split", "rule-test")


@pytest.fixture(scope="module")
def scans(evaluate: Evaluate, folders: Path) -> dict[str, Any]:
    return evaluate("scans", "--cohort", "scans", folders / "scans")


def leaves(tree: dict[str, Any], path: str = "") -> dict[str, dict[str, Any]]:
    """Every figure by its path."""
    found: dict[str, dict[str, Any]] = {}
    for name, branch in tree.items():
        if isinstance(branch, dict):
            found |= {f"{path}{name}": branch} if "value" in branch else leaves(branch, f"{path}{name}/")
    return found


def test_crops_give_every_figure_with_interval_and_number(crops: dict[str, Any]) -> None:
    figures = leaves(crops)
    assert {
        "segmentation/dice",
        "segmentation/by_size/6-10/dice",
        "segmentation/surface_dice",
        "segmentation/hd95_mm",
        "segmentation/volume_error",
        "classification/auc_above_3_against_below_3",
        "classification/auc_suspicious_against_rest",
        "classification/gain_over_diameter_above_3_against_below_3",
        "classification/ece",
        "classification/brier",
        "classification/accuracy",
        "classification/f1",
        "classification/sensitivity",
        "classification/specificity",
        "baseline/auc_diameter_above_3_against_below_3",
        "system/model_mb/segmentation",
        "system/seconds/segmentation",
        "system/peak_memory_mib",
    } <= set(figures)
    assert all(set(figure) == {"value", "low", "high", "n"} for figure in figures.values())
    assert figures["segmentation/dice"]["n"] == NUM_PATIENTS[Split.TEST]
    dice = figures["segmentation/dice"]
    assert 0.6 < dice["low"] <= dice["value"] <= dice["high"] <= 1


def test_the_ruler_tells_the_drawn_nodules_apart(crops: dict[str, Any]) -> None:
    assert (
        crops["baseline"]["auc_diameter_above_3_against_below_3"]["value"] == 1
    )  # the large ones are rated suspicious


def test_a_figure_that_the_cohort_cannot_give_is_left_out(crops: dict[str, Any]) -> None:
    assert "detection" not in crops
    assert "image_alone" not in crops["classification"]  # the tiny classifier has no such output
    assert set(crops["segmentation"]["by_size"]) <= {"6-10", "10-20"}  # nothing else was drawn


def test_the_same_run_gives_the_same_figures(evaluate: Evaluate, folders: Path, crops: dict[str, Any]) -> None:
    again = evaluate("again", "--cohort", "crops", folders / "crops", "--split", "rule-test")
    for name in ("segmentation", "classification", "baseline", "about"):
        assert again[name] == crops[name]
    for picture in PICTURES:
        drawn = [(folders / run / f"{picture}.png").read_bytes() for run in ("first", "again")]
        assert drawn[0] == drawn[1]


def test_unlisted_patients_are_all_judged_unless_the_rule_is_asked_for(
    evaluate: Evaluate, folders: Path, crops: dict[str, Any]
) -> None:
    every = evaluate("every", "--cohort", "crops", folders / "crops")
    assert every["segmentation"]["dice"]["n"] == sum(NUM_PATIENTS.values())
    assert "26 of them in no list" in every["about"]["patients"]
    assert crops["about"]["patients"].startswith(f"{NUM_PATIENTS[Split.TEST]} patients: test patients")


def test_the_report_needs_nothing_beside_it_and_says_what_it_is_for(crops: dict[str, Any], folders: Path) -> None:
    page = (folders / "first" / "report.html").read_text(encoding="utf-8")
    assert "Research use only, not a medical device" in page
    assert page.count("data:image/png;base64,") == len(PICTURES)
    assert "http://" not in page
    assert "https://" not in page
    assert "end slice is repeated" in page
    assert all((folders / "first" / f"{name}.png").is_file() for name in PICTURES)
    patients = invented_patients(Split.TEST)
    assert not any(f'"{patient}"' in (folders / "first.json").read_text(encoding="utf-8") for patient in patients)


def test_the_comparison_is_data_for_chart_js_and_leaves_missing_models_out(
    crops: dict[str, Any], folders: Path
) -> None:
    chart = json.loads((folders / "first" / "comparison.json").read_text(encoding="utf-8"))
    datasets = {one["label"]: one["data"] for one in chart["data"]["datasets"]}
    assert chart["type"] == "bar"
    assert "Random forest, measurements" not in datasets
    assert all(len(values) == len(chart["data"]["labels"]) for values in datasets.values())
    outlines = dict(zip(chart["data"]["labels"], datasets["U-Net, outlines"], strict=True))
    assert outlines["Dice"] == pytest.approx(crops["segmentation"]["dice"]["value"], abs=1e-4)
    assert outlines["accuracy"] is None


def test_scans_are_read_by_the_whole_line(scans: dict[str, Any]) -> None:
    point = scans["detection"]["operating_points"]["default"]
    assert point["sensitivity"] == {"value": 1.0, "low": None, "high": None, "n": 2}
    assert point["false_positives_per_scan"]["n"] == 1
    assert scans["segmentation"]["dice"]["n"] == 2
    assert scans["segmentation"]["dice"]["value"] > 0.6
    assert point["dice_missed_as_0"] == scans["segmentation"]["dice"]
    assert {"volume", "lungs", "detection", "segmentation", "classification"} <= set(scans["system"]["seconds"])
    assert "classification" not in scans


def test_outlines_in_scans_have_the_figures_and_pictures_of_crops(scans: dict[str, Any], folders: Path) -> None:
    matched = dict(scans["segmentation"])
    every = matched.pop("missed_as_0")
    assert every == matched  # both nodules are found
    (in_band,) = matched.pop("by_size").values()  # both have 24 mm
    assert in_band == matched
    assert set(matched) == OUTLINE_FIGURES
    assert {figure["n"] for figure in matched.values()} == {2}
    assert [path.name for path in (folders / "scans").glob("masks_*.png")] == ["masks_all.png"]
    chart = json.loads((folders / "scans" / "comparison.json").read_text(encoding="utf-8"))["data"]
    assert chart["labels"] == ["Dice", "IoU", "surface Dice, 1 mm"]
    assert [len(one["data"]) for one in chart["datasets"]] == [3]


@pytest.mark.slow
@pytest.mark.parametrize(("readers", "has_mask"), [(2, True), (4, False)])
def test_scans_without_outlines_to_judge_give_what_they_can(
    evaluate: Evaluate, folders: Path, readers: int, has_mask: bool
) -> None:
    table = json.loads((folders / "scans" / "reference.json").read_text(encoding="utf-8"))
    (entry,) = table["scans"].values()
    entry["folder"] = str(folders / "scans" / entry["folder"])
    entry["consensus_mask"] = str(folders / "scans" / entry["consensus_mask"]) if has_mask else None
    for nodule in entry["nodules"]:
        nodule["readers"] = readers
    name = f"bare-{readers}"
    (folders / f"{name}-scans").mkdir()
    (folders / f"{name}-scans" / "reference.json").write_text(json.dumps(table), encoding="utf-8")
    figures = evaluate(name, "--cohort", "scans", folders / f"{name}-scans")
    expected = {"false_positives_per_scan"} | ({"sensitivity"} if readers > 2 else set())
    assert set(figures["detection"]["operating_points"]["default"]) == expected
    assert ("cpm" in figures["detection"]) is (readers > 2)
    assert "segmentation" not in figures
    assert not (folders / name / "dice.png").exists()
    assert not (folders / name / "comparison.png").exists()


@pytest.mark.slow
def test_composites_add_detection_to_crops(evaluate: Evaluate, folders: Path) -> None:
    write_tiny_crops(folders / "large", growth=2.5)  # large enough for the tiny finder, which sees 4 mm voxels
    options = ["--cohort", "crops", folders / "large", "--split", "rule-test", "--lungs", folders / "scans"]
    figures = evaluate("composites", *options)
    pasted, given = figures["detection"]["cpm"]["n"], NUM_PATIENTS[Split.TEST]
    assert 1 <= pasted <= given
    assert figures["about"]["composites"].startswith(f"{pasted} of {given} nodules pasted")
    assert figures["detection"]["operating_points"]["default"]["sensitivity"]["value"] > 0
    matched = figures["segmentation"]["on_composites"]
    every = matched.pop("missed_as_0")
    assert set(matched.pop("by_size")) <= set(every.pop("by_size"))
    assert set(matched) == set(every) == OUTLINE_FIGURES
    assert 0 < matched["dice"]["n"] == every["hd95_mm"]["n"] <= every["dice"]["n"] == pasted
    assert figures["segmentation"]["dice"]["n"] == given
    assert (folders / "composites" / "froc.png").is_file()


def test_a_folder_with_nothing_of_the_side_is_refused(folders: Path) -> None:
    with pytest.raises(Refusal) as refused:
        CliRunner().invoke(
            cli.app,
            ["evaluate", "--cohort", "scans", str(folders / "scans"), "--split", "validation"],
            catch_exceptions=False,
        )
    assert refused.value.code == "no-patients"
