import json

import jsonschema
import pytest
from report_examples import drawn_study

from lung_nodules.errors import InputRefusal
from lung_nodules.stages.report import build_failure_report
from lung_nodules.stages.report_model import Report, report_schema
from lung_nodules.writers.report_json import SCHEMA_PATH, write_report_json

FAILURE = build_failure_report(InputRefusal("no-ct", "There is no CT in the input."), "series", "0.1.0")


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_committed_schema_is_the_models():
    assert json.loads(SCHEMA_PATH.read_text(encoding="utf-8")) == report_schema()


def test_the_schema_says_what_the_confidence_is_and_is_not():
    description = report_schema()["$defs"]["Report"]["properties"]["classification_confidence"]["description"]
    assert "readers" in description
    assert "no diagnosis" in description


@pytest.mark.parametrize(
    "report",
    [drawn_study().report(), drawn_study().without_findings().report(), FAILURE],
    ids=["found", "none", "failed"],
)
def test_what_is_written_follows_the_schema(report, validator, tmp_path):
    (path,) = write_report_json(report, tmp_path)
    assert path == tmp_path / "report.json"
    validator.validate(json.loads(path.read_text(encoding="utf-8")))


def test_the_schema_refuses_what_is_no_report(validator):
    document = json.loads(drawn_study().report().model_dump_json())
    for change in ({"status": "refused"}, {"report_version": "0.9"}, {"patient_name": "Doe"}):
        assert not validator.is_valid(document | change)
    del document["disclaimer"]
    assert not validator.is_valid(document)


def test_a_report_reads_back_as_it_was(tmp_path):
    report = drawn_study().report()
    (path,) = write_report_json(report, tmp_path)
    assert Report.model_validate_json(path.read_text(encoding="utf-8")) == report


def test_text_of_any_script_survives(tmp_path):
    study = drawn_study()
    study.volume.headers[0].PatientID = "患者-7"
    (path,) = write_report_json(study.report(), tmp_path)
    assert json.loads(path.read_bytes())["study"]["patient_id"] == "患者-7"
