"""The split by patient: the list, the rule, and that they agree."""

from __future__ import annotations

import csv
import json
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from lung_nodules.cohorts.folds import list_name, read_fold_lists
from lung_nodules.cohorts.lidc import listed_patients, patient_of
from lung_nodules.cohorts.split import (
    SPLIT_VARIABLE,
    Split,
    listed_split,
    name_of_split,
    read_split,
    split_by_hash,
    split_of,
)
from lung_nodules.errors import InputRefusal

FIXED = {
    "LIDC-IDRI-0001": Split.TEST,
    "LIDC-IDRI-0003": Split.TEST,
    "LIDC-IDRI-0002": Split.TRAIN,
    "C3N-00247": Split.TRAIN,
}


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    text = files("lung_nodules.cohorts").joinpath("lidc_split.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_patient_is_listed_once(rows: list[dict[str, str]]) -> None:
    assert max(Counter(row["patient_id"] for row in rows).values()) == 1
    assert listed_split() == {row["patient_id"]: Split(row["split"]) for row in rows}


def test_the_list_is_the_rule_but_for_the_whole_scans(rows: list[dict[str, str]]) -> None:
    by_reason = {
        reason: {row["patient_id"]: row["split"] for row in rows if row["reason"] == reason}
        for reason in ("hash", "whole scan")
    }
    assert sum(len(patients) for patients in by_reason.values()) == len(rows)
    assert by_reason["whole scan"] == FIXED
    assert by_reason["hash"] == {patient: split_by_hash(patient) for patient in by_reason["hash"]}


def test_a_patient_who_is_not_listed_has_the_side_of_the_rule() -> None:
    assert {patient: split_of(patient) for patient in FIXED} == FIXED
    assert "LIDC-IDRI-9999" not in listed_split()
    assert split_of("LIDC-IDRI-9999") == split_by_hash("LIDC-IDRI-9999")


@pytest.mark.parametrize(  # the remainders 8, 27, 36, 46 and 83 were worked out with sha256sum and bc
    ("patient", "side"),
    [
        ("LIDC-IDRI-0020", Split.TEST),
        ("LIDC-IDRI-0013", Split.TEST),
        ("LIDC-IDRI-0040", Split.VALIDATION),
        ("LIDC-IDRI-0025", Split.TRAIN),
        ("LIDC-IDRI-0010", Split.TRAIN),
    ],
)
def test_the_rule_is_sha256_modulo_100(patient: str, side: Split) -> None:
    assert split_by_hash(patient) == side


def test_the_sides_are_as_large_as_the_rule_says() -> None:
    count = Counter(split_by_hash(f"patient-{number}") for number in range(10_000))
    assert count[Split.TEST] == pytest.approx(3000, abs=150)
    assert count[Split.VALIDATION] == pytest.approx(1000, abs=100)
    assert count[Split.TRAIN] == pytest.approx(6000, abs=150)


@pytest.mark.real_data
def test_the_patients_of_the_crops_are_all_listed(shared_data: Path) -> None:
    with (shared_data / "lidc-nodules" / "nodules.csv").open(newline="", encoding="utf-8") as lines:
        patients = {row["patient_id"] for row in csv.DictReader(lines)}
    assert len(patients) == 725
    assert patients == listed_split().keys() - FIXED.keys()


@pytest.mark.real_data
def test_the_patients_of_the_test_scans_never_train(shared_data: Path) -> None:
    scans = json.loads((shared_data / "lidc-scans" / "reference.json").read_text(encoding="utf-8"))["scans"]
    assert {split_of(patient) for patient in scans} == {Split.TEST}


def test_no_patient_is_on_two_sides_whichever_scan_it_is() -> None:
    sides: dict[str, set[Split]] = {}
    for uid in listed_patients():
        sides.setdefault(patient_of(uid), set()).add(split_of(patient_of(uid)))
    assert len(sides) == 1010
    assert {len(split) for split in sides.values()} == {1}


@pytest.mark.real_data
def test_no_patient_of_the_crops_is_on_two_sides(shared_data: Path) -> None:
    with (shared_data / "lidc-nodules" / "nodules.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    patients = {side: {row["patient_id"] for row in rows if split_of(row["patient_id"]) is side} for side in Split}
    assert sum(len(members) for members in patients.values()) == len({row["patient_id"] for row in rows})
    for one, other in ((Split.TRAIN, Split.TEST), (Split.TRAIN, Split.VALIDATION), (Split.VALIDATION, Split.TEST)):
        assert patients[one]
        assert patients[one].isdisjoint(patients[other])
    tested = json.loads((shared_data / "lidc-scans" / "reference.json").read_text(encoding="utf-8"))["scans"]
    assert patients[Split.TRAIN].isdisjoint(tested)
    assert patients[Split.VALIDATION].isdisjoint(tested)


class TestAListOfOnesOwn:
    """`LUNG_NODULES_SPLIT` names a list that takes the place of the committed one."""

    def test_it_decides_and_the_rule_stands_behind_it(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "fold3.csv"
        path.write_text("patient_id,split\nLIDC-IDRI-0001,train\n", encoding="utf-8")
        monkeypatch.setenv(SPLIT_VARIABLE, str(path))
        assert split_of("LIDC-IDRI-0001") is Split.TRAIN
        assert split_of("LIDC-IDRI-9999") == split_by_hash("LIDC-IDRI-9999")
        assert name_of_split() == "fold3.csv"
        monkeypatch.delenv(SPLIT_VARIABLE)
        assert split_of("LIDC-IDRI-0001") is Split.TEST

    @pytest.mark.parametrize(
        "text",
        ["patient_id,side\nA,train\n", "patient_id,split\nA,learn\n", "patient_id,split\nA,train\nA,test\n"],
    )
    def test_one_that_says_nothing_clear_is_refused(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "list.csv"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputRefusal) as refused:
            read_split(path)
        assert refused.value.code == "bad-split"

    def test_folds_that_test_a_patient_twice_are_refused(self, tmp_path: Path) -> None:
        for fold in (0, 1):
            (tmp_path / list_name(fold)).write_text("patient_id,split\nA,test\n", encoding="utf-8")
        with pytest.raises(InputRefusal) as refused:
            read_fold_lists(tmp_path)
        assert refused.value.code == "fold-twice"
