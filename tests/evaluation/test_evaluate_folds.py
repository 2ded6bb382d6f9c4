"""Judging by folds from end to end: LUNA16's subsets become lists, each list's models read what they do not know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk  # noqa: N813  # its own documentation's name
from drawn_scans import write_drawn_scans
from tiny_models import write_tiny_models
from typer.testing import CliRunner, Result

from lung_nodules import cli
from lung_nodules.cohorts.ct import read_ct
from lung_nodules.errors import Refusal

HEADER = "seriesuid,coordX,coordY,coordZ,diameter_mm\n"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli.app, list(map(str, arguments)), catch_exceptions=False)


def name_the_list(models: Path, fold: int) -> None:
    for path in models.glob("*/record.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        record["data"]["split"] = f"train side of fold{fold}.csv, by patient"
        path.write_text(json.dumps(record), encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two subsets with one scan each: DRAWN-1 is read as DICOM, DRAWN-2 as a MetaImage of the same lungs."""
    root = tmp_path_factory.mktemp("folds")
    write_drawn_scans(root / "scans", "DRAWN-1")
    volume = read_ct(root / "scans" / "DRAWN-1" / "dicom")
    image = sitk.GetImageFromArray(volume.array)
    image.SetOrigin([float(value) for value in volume.geometry.origin_lps])
    image.SetSpacing([float(value) for value in volume.geometry.spacing_mm[::-1]])
    for fold, patient in enumerate(("DRAWN-1", "DRAWN-2")):
        (root / "luna16" / f"subset{fold}").mkdir(parents=True)
        sitk.WriteImage(image, str(root / "luna16" / f"subset{fold}" / f"{patient}.mhd"))
        write_tiny_models(root / "models" / f"fold{fold}")
        name_the_list(root / "models" / f"fold{fold}", fold)
    (root / "luna16" / "annotations.csv").write_text(HEADER, encoding="utf-8")
    table = json.loads((root / "scans" / "reference.json").read_text(encoding="utf-8"))
    second = table["scans"]["DRAWN-1"] | {"folder": str(root / "luna16" / "subset1" / "DRAWN-2.mhd")}
    table["scans"]["DRAWN-2"] = second
    (root / "scans" / "reference.json").write_text(json.dumps(table), encoding="utf-8")
    assert run("cohort", "folds", root / "luna16", "--out", root / "lists").exit_code == 0
    return root


def evaluate(root: Path, *more: str | Path) -> dict[str, Any]:
    file = root / "figures.json"
    common = ["--models", root / "models", "--folds", root / "lists", "--json", file, "--output", root / "report"]
    assert run("evaluate", "--cohort", "scans", root / "scans", *common, *more).exit_code == 0
    return dict(json.loads(file.read_text(encoding="utf-8")))


def test_a_fold_tests_its_subset_and_tunes_on_the_next(root: Path) -> None:
    first, second = ((root / "lists" / f"fold{fold}.csv").read_text(encoding="utf-8") for fold in (0, 1))
    assert first == "patient_id,split\nDRAWN-1,test\nDRAWN-2,validation\n"
    assert second == "patient_id,split\nDRAWN-1,train\nDRAWN-2,test\n"


def test_all_scans_are_judged_once_dicom_and_metaimage_alike(root: Path) -> None:
    figures = evaluate(root)
    assert figures["about"]["patients"].startswith("2 patients")
    assert figures["detection"]["cpm"]["n"] == 4
    assert figures["segmentation"]["dice"]["n"] == 4
    assert figures["segmentation"]["dice"]["value"] > 0.6
    assert "operating_points" not in figures["detection"]


def test_models_that_learned_by_another_list_are_refused(root: Path) -> None:
    name_the_list(root / "models" / "fold1", 7)
    with pytest.raises(Refusal) as refused:
        evaluate(root)
    name_the_list(root / "models" / "fold1", 1)
    assert refused.value.code == "other-fold"


def test_folds_need_whole_scans(root: Path) -> None:
    with pytest.raises(Refusal) as refused:
        run("evaluate", "--cohort", "crops", root, "--folds", root / "lists")
    assert refused.value.code == "folds-without-scans"
