"""What is read from DICOM JSON of a study, whatever form it has."""

from __future__ import annotations

from typing import Any

import pytest

from lung_nodules.archive.dicom_json import read_study
from lung_nodules.archive.protocol import StudyQuery
from lung_nodules.archive.queries import does_match

PATIENT_NAME = "00100010"
WANG = {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([WANG], "Wang^XiaoDong=王^小东"),
        ([{"Ideographic": "王^小东"}], "=王^小东"),
        ([{"Alphabetic": "Doe^Jane", "Phonetic": None}], "Doe^Jane"),
        (["Doe^Jane"], "Doe^Jane"),
        ([{}], ""),
        ([], ""),
        (None, ""),
    ],
)
def test_a_name_is_read_in_all_of_its_forms(value: Any, name: str) -> None:
    assert read_study({PATIENT_NAME: {"vr": "PN", "Value": value}}).patient_name == name


@pytest.mark.parametrize(
    ("asked", "found"), [("wang*", True), ("王*", True), ("*小*", True), ("小*", False), ("li*", False)]
)
def test_a_name_is_found_by_each_of_its_forms(asked: str, found: bool) -> None:
    entry = read_study({PATIENT_NAME: {"vr": "PN", "Value": [WANG]}})
    assert does_match(entry, StudyQuery(patient_name=asked)) is found


def test_a_study_without_a_name_is_nobodys() -> None:
    assert not does_match(read_study({}), StudyQuery(patient_name="*"))
