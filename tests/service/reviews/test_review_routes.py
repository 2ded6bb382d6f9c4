"""Reviews by the API: what is kept, what holds, what is refused, and what can be taken away."""

import io
import zipfile
from dataclasses import replace
from uuid import UUID

import psycopg
import pydicom
import pytest
from dicom_checkers import errors_of
from report_examples import PROVENANCE, drawn_study
from results_maker import add_job
from reviewed_studies import write_job

from lung_nodules.cohorts.crops import read_crops
from lung_nodules.service.reviews.source import JobSource

pytestmark = pytest.mark.service

CORRECTION = {"verdict": "corrected", "comment": "Measured again.", "diameter_mm": 8.4, "suspicion": 4}
DOWNLOADS = ["corrected.json", "corrected.dcm", "corrected_segmentation.dcm", "labels.json", "labels.zip"]


@pytest.fixture
def say(reviews_api, reviewed):
    def put(finding_id, body, path=None):
        return reviews_api.client.put(f"{path or reviewed.path}/findings/{finding_id}/review", json=body)

    return put


@pytest.fixture
def get(reviews_api, reviewed):
    return lambda path: reviews_api.client.get(f"{reviewed.path}/{path}")


def test_a_review_is_kept_with_who_and_when(say, get, reviewed):
    answer = say("N1", CORRECTION)
    assert answer.status_code == 200
    review = answer.json()
    assert {name: review[name] for name in CORRECTION} == CORRECTION
    assert (review["job_id"], review["finding_id"], review["reviewed_by"]) == (reviewed.id, "N1", "local")
    assert review["reviewed_at"].endswith(("Z", "+00:00"))
    assert get("reviews").json() == [review]


def test_the_latest_word_holds_and_none_is_lost(say, get):
    first = say("N1", {"verdict": "accepted"}).json()
    other = say("N2", {"verdict": "rejected", "comment": "血管"}).json()
    second = say("N1", CORRECTION).json()
    assert get("reviews").json() == [second, other]
    assert get("reviews?history=true").json() == [first, other, second]


def test_what_was_said_cannot_be_changed_behind_ones_back(say, reviews_api, reviewed):
    say("N1", {"verdict": "accepted"})
    with pytest.raises(psycopg.errors.RaiseException, match="only ever added"):
        reviews_api.query("UPDATE finding_reviews SET verdict = 'rejected' WHERE job_id = %s", reviewed.id)


def test_reviews_go_with_their_job(say, reviews_api, reviewed):
    say("N1", {"verdict": "accepted"})
    assert reviews_api.client.delete(reviewed.path).status_code in (200, 204)
    assert reviews_api.query("SELECT count(*) FROM finding_reviews WHERE job_id = %s", reviewed.id) == [(0,)]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"verdict": "maybe"},
        {"verdict": "corrected"},
        {"verdict": "corrected", "comment": "wrong"},
        {"verdict": "accepted", "diameter_mm": 8},
        {"verdict": "rejected", "suspicion": 1},
        {"verdict": "corrected", "suspicion": 0},
        {"verdict": "corrected", "suspicion": 6},
        {"verdict": "corrected", "suspicion": 2.5},
        {"verdict": "corrected", "diameter_mm": 0},
        {"verdict": "corrected", "diameter_mm": -3},
        {"verdict": "corrected", "diameter_mm": 1e9},
        {"verdict": "corrected", "characteristics": {"texture": 6}},
        {"verdict": "corrected", "characteristics": {"colour": 1}},
        {"verdict": "accepted", "comment": "x" * 2001},
        {"verdict": "accepted", "comment": "\x00"},
        {"verdict": "accepted", "comment": "\x1b[2J"},
        {"verdict": "accepted", "reviewed_by": "somebody else"},
    ],
)
def test_a_review_that_is_not_one_is_refused(say, get, body):
    answer = say("N1", body)
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert get("reviews").json() == []


def test_there_must_be_such_a_finding_and_such_a_job(say, reviews_api):
    answer = say("N99", {"verdict": "accepted"})
    assert (answer.status_code, answer.json()["code"]) == (404, "finding-not-found")
    waiting = f"/v1/jobs/{add_job(reviews_api, state='queued')}"
    assert say("N1", {"verdict": "accepted"}, waiting).json()["code"] == "no-results"
    nowhere = "/v1/jobs/00000000-0000-0000-0000-000000000000"
    assert say("N1", {"verdict": "accepted"}, nowhere).json()["code"] == "job-not-found"


def test_a_duplicate_has_the_reviews_of_the_job_that_it_is_a_duplicate_of(say, reviews_api, reviewed):
    duplicate = f"/v1/jobs/{add_job(reviews_api, 'duplicate', duplicate_of=reviewed.id)}"
    review = say("N1", {"verdict": "accepted"}, duplicate).json()
    assert review["job_id"] == reviewed.id
    assert reviews_api.client.get(f"{duplicate}/reviews").json() == [review]
    assert reviews_api.client.get(f"{duplicate}/corrected.dcm").status_code == 200


@pytest.fixture
def read_anew(reviews_api, reviewed):
    """Put what models of that hash have found in the place of the job's results."""

    def replace_results(models):
        reviewed.source.results.remove()
        provenance = replace(PROVENANCE, records_sha256=models)
        data_folder = reviews_api.settings.data_folder
        write_job(drawn_study(num_nodules=4), data_folder, UUID(reviewed.id), provenance=provenance)

    return replace_results


def test_a_review_holds_for_the_results_that_it_was_given_on(say, get, read_anew):
    """As after a retry of a job whose results were not stored, pruned in between, by a worker with other models."""
    read_anew("old")
    first = say("N1", {"verdict": "rejected"}).json()
    read_anew("new")
    assert get("reviews").json() == []
    for name in DOWNLOADS:
        assert get(name).json()["code"] == "nothing-reviewed"
    second = say("N2", {"verdict": "accepted"}).json()
    assert get("reviews").json() == get("corrected.json").json()["reviews"] == [second]
    assert get("reviews?history=true").json() == [first, second]
    assert first["result_uid"] != second["result_uid"] == get("report").json()["result_uid"]
    read_anew("old")
    assert get("reviews").json() == [first]


def test_of_results_that_are_gone_the_last_that_were_reviewed_count(say, get, reviewed, read_anew):
    read_anew("old")
    say("N1", {"verdict": "rejected"})
    read_anew("new")
    last = say("N2", {"verdict": "accepted"}).json()
    reviewed.source.results.remove()
    assert get("reviews").json() == [last]


def test_a_reader_who_still_sees_another_report_is_told(say, get, read_anew):
    read_anew("old")
    seen = get("report").json()["result_uid"]
    read_anew("new")
    answer = say("N1", {"verdict": "rejected", "result_uid": seen})
    assert (answer.status_code, answer.json()["code"]) == (409, "results-changed")
    assert get("reviews?history=true").json() == []
    assert say("N1", {"verdict": "rejected", "result_uid": get("report").json()["result_uid"]}).status_code == 200


@pytest.mark.parametrize("name", DOWNLOADS)
def test_before_a_review_there_is_nothing_to_take_away(get, name):
    answer = get(name)
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing-reviewed")


@pytest.mark.parametrize("name", DOWNLOADS)
@pytest.mark.parametrize("method", ["report", "_meta"])  # read first, and read on the way
def test_results_that_are_removed_while_they_are_read_are_no_results(say, get, reviewed, monkeypatch, name, method):
    say("N1", {"verdict": "accepted"})
    say("N2", {"verdict": "rejected"})
    read = getattr(JobSource, method)

    def read_too_late(source):
        source.results.remove()
        return read(source)

    monkeypatch.setattr(JobSource, method, read_too_late)
    answer = get(name)
    if method == "_meta" and name == "corrected.json":  # which needs the report alone
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["code"]) == (404, "no-results")


@pytest.mark.parametrize("name", ["labels.json", "labels.zip"])
def test_a_part_that_is_missing_is_not_called_a_removal(say, get, reviewed, name):
    say("N1", {"verdict": "accepted"})
    (reviewed.source.results.preview / "meta.json").unlink()
    assert get(name).status_code == 500


def test_the_corrected_objects_are_taken_away(say, get, tmp_path):
    say("N1", CORRECTION)
    say("N2", {"verdict": "rejected"})
    for name in ("corrected.dcm", "corrected_segmentation.dcm"):
        answer = get(name)
        assert answer.headers["Content-Type"] == "application/dicom"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        (tmp_path / name).write_bytes(answer.content)
        assert errors_of(tmp_path / name) == []
    document = pydicom.dcmread(tmp_path / "corrected.dcm")
    assert document.VerificationFlag == "UNVERIFIED"  # the site has an organization, and has not said more
    report = get("corrected.json").json()
    assert [finding["finding_id"] for finding in report["rejected"]] == ["N2"]
    assert report["corrected"]["N1"]["size.mean_diameter_mm"]["human"] == 8.4


def test_without_a_rejected_finding_there_is_no_other_segmentation(say, get):
    say("N1", {"verdict": "accepted"})
    answer = get("corrected_segmentation.dcm")
    assert (answer.status_code, answer.json()["code"]) == (404, "nothing-rejected")


def test_labels_are_a_cohort(say, get, tmp_path):
    say("N1", CORRECTION)
    say("N2", {"verdict": "rejected"})
    labels = get("labels.json").json()
    assert [row["malignancy_0"] for row in labels["nodules"]] == ["4"]
    assert [place["finding_id"] for place in labels["not_nodules"]] == ["N2"]
    with zipfile.ZipFile(io.BytesIO(get("labels.zip").content)) as archive:
        assert sorted(archive.namelist()) == ["labels.json", "nodules-00.npz", "nodules.csv"]
        archive.extractall(tmp_path)
    (crop,) = read_crops(tmp_path)
    assert crop.ratings["malignancy"] == 4
