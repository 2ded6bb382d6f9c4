"""What an archive told of the series that did not come stands in the report's list, while it fits what is there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ct_files import CTSeries, select
from pydicom.uid import generate_uid

from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import Selection
from lung_nodules.stages.survey import SURVEY_FILE, ConsideredSeries, Survey, read_survey, write_survey

ELSEWHERE = ConsideredSeries("1.2.3", 4, "MIP", "CT", 12, False, "thicker-slices", "Thicker.")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    CTSeries(study_uid=generate_uid()).write(tmp_path / "series")
    return tmp_path


def leave(study: Path, *others: ConsideredSeries) -> Selection:
    """A survey that adds series to what is there; the choice without it."""
    alone = select(study)
    write_survey(Survey(study_instance_uid=alone.study_instance_uid, considered=(*alone.considered, *others)), study)
    return alone


def test_series_that_did_not_come_are_listed(study: Path) -> None:
    alone = leave(study, ELSEWHERE)
    assert select(study).considered == (*alone.considered, ELSEWHERE)
    assert read_instances(study, Settings()).passed_over == ()


def test_a_series_that_came_since_is_listed_too(study: Path) -> None:
    leave(study, ELSEWHERE)
    late = CTSeries(study_uid=select(study).study_instance_uid, spacing_mm=(10.0, 6.0, 6.0))
    late.write(study / "late")
    assert [each.series_instance_uid for each in select(study).considered[1:]] == ["1.2.3", late.series_uid]


@pytest.mark.parametrize("change", ["other study", "other choice", "other slices"])
def test_a_survey_of_another_choice_tells_nothing(study: Path, change: str) -> None:
    alone = leave(study)
    chosen = alone.considered[0]
    told = {
        "other choice": replace(chosen, series_instance_uid="1.2"),
        "other slices": replace(chosen, num_instances=3),
    }
    uid = "1.2" if change == "other study" else alone.study_instance_uid
    write_survey(Survey(study_instance_uid=uid, considered=(told.get(change, chosen), ELSEWHERE)), study)
    assert select(study).considered == alone.considered


@pytest.mark.parametrize("change", ["no JSON", "cut off", "another field", "two chosen", "none", "huge"])
def test_what_is_no_survey_tells_nothing(study: Path, change: str) -> None:
    alone = leave(study, ELSEWHERE)
    path = study / SURVEY_FILE
    text = path.read_text(encoding="utf-8")
    data = json.loads(text)
    broken = {
        "no JSON": "{",
        "cut off": text[:-20],
        "another field": json.dumps({**data, "more": 1}),
        "two chosen": json.dumps({**data, "considered": [data["considered"][0]] * 2}),
        "none": json.dumps({**data, "considered": []}),
        "huge": text + " " * 5_000_000 + "x",
    }
    path.write_text(broken[change], encoding="utf-8")
    assert read_survey(study) is None
    assert select(study).considered == alone.considered
