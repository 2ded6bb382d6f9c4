"""What is judged of a folder, and why nothing is."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from training.tiny_cohort import NUM_PATIENTS, invented_patients, write_tiny_crops

from lung_nodules.cohorts.split import Split
from lung_nodules.errors import InputRefusal
from lung_nodules.evaluation.cohort_reading import Side, read_judged_crops, read_judged_scans


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_crops(tmp_path / "crops")
    return tmp_path / "crops"


def rewrite(folder: Path, **cells: str) -> None:
    table = folder / "nodules.csv"
    rows = [row | cells for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())]
    with table.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def refusal_of(read: Callable[[], object]) -> InputRefusal:
    with pytest.raises(InputRefusal) as refused:
        read()
    return refused.value


def test_nodules_of_the_side_are_judged(folder: Path) -> None:
    assert len(read_judged_crops(folder, Side.RULE_TEST)) == NUM_PATIENTS[Split.TEST]


def test_a_cohort_of_too_few_outlines_is_refused_for_that(folder: Path) -> None:
    rewrite(folder, n_masks="2")
    refusal = refusal_of(lambda: read_judged_crops(folder, Side.RULE_TEST))
    assert refusal.code == "too-few-outlines"
    assert refusal.sentence == "None of the 8 nodules of this side is outlined by 3 readers, half of whom agree."
    assert not refusal.advice


def test_a_cohort_without_native_crops_is_refused_for_that(folder: Path) -> None:
    rewrite(folder, kind="iso")
    refusal = refusal_of(lambda: read_judged_crops(folder, Side.TEST))
    assert refusal.code == "no-crops"
    assert "none of the kind" in refusal.sentence


def test_a_cohort_without_a_patient_of_the_side_is_refused_for_the_side(folder: Path) -> None:
    patient = invented_patients(Split.TEST)[0]
    rewrite(folder, patient_id=patient, n_masks="2")
    refusal = refusal_of(lambda: read_judged_crops(folder, Side.VALIDATION))
    assert (refusal.code, refusal.advice) == ("no-patients", "Choose another with --split.")


def test_a_table_without_scans_is_refused_for_that(tmp_path: Path) -> None:
    (tmp_path / "reference.json").write_text('{"scans": {}}', encoding="utf-8")
    refusal = refusal_of(lambda: read_judged_scans(tmp_path, Side.ALL))
    assert (refusal.code, refusal.sentence) == ("no-scans", "The table of whole scans lists none.")
