"""What reviews do to a report: rejected findings go, corrected values are a reader's, and words follow from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_examples import drawn_study
from reviewed_studies import review

from lung_nodules.service.reviews.corrected import correct_report
from lung_nodules.service.reviews.model import Characteristics
from lung_nodules.settings import ReportSettings
from lung_nodules.stages.report_model import Report

SETTINGS = ReportSettings()
REPORT = drawn_study(num_nodules=3).report()
IDS = [finding.finding_id for finding in REPORT.findings]
VERDICTS = st.sampled_from(["accepted", "rejected", "corrected"])


def test_without_reviews_the_report_stands_as_it_is():
    corrected = correct_report(REPORT, [], SETTINGS)
    assert corrected.report == REPORT
    assert corrected.not_reviewed == tuple(IDS)
    assert (corrected.rejected, corrected.corrected, corrected.reviews) == ((), {}, ())


def test_an_accepted_finding_keeps_the_machines_values():
    corrected = correct_report(REPORT, [review(IDS[0], "accepted")], SETTINGS)
    assert corrected.report == REPORT
    assert corrected.corrected == {}
    assert corrected.not_reviewed == tuple(IDS[1:])


def test_a_rejected_finding_is_set_apart_and_the_study_is_judged_by_what_is_left():
    corrected = correct_report(REPORT, [review(IDS[0], "rejected")], SETTINGS)
    assert corrected.rejected == REPORT.findings[:1]
    assert corrected.report.findings == REPORT.findings[1:]
    assert corrected.report.classification_finding_id == IDS[1]
    assert corrected.report.classification_confidence == REPORT.findings[1].overall_suspicion


def test_where_all_is_rejected_nothing_was_found():
    corrected = correct_report(REPORT, [review(each, "rejected") for each in IDS], SETTINGS)
    assert corrected.report.findings == ()
    assert corrected.report.classification_result == "no nodule found"
    assert corrected.report.classification_finding_id is None


def test_a_corrected_diameter_is_marked_as_the_readers():
    corrected = correct_report(REPORT, [review(IDS[1], "corrected", diameter_mm=8.4)], SETTINGS)
    finding = corrected.report.findings[1]
    assert finding.size.mean_diameter_mm == 8.4
    assert finding.size.long_axis_mm == REPORT.findings[1].size.long_axis_mm
    mark = corrected.corrected[IDS[1]]["size.mean_diameter_mm"]
    assert (mark.machine, mark.human, mark.reviewed_by) == (REPORT.findings[1].size.mean_diameter_mm, 8.4, "Ann Lee")


@pytest.mark.parametrize(
    ("rating", "score", "word"),
    [
        (1, 0.0, "unlikely"),
        (2, 0.25, "unlikely"),
        (3, 0.5, "indeterminate"),
        (4, 0.75, "suspicious"),
        (5, 1, "suspicious"),
    ],
)
def test_a_rating_becomes_score_and_word(rating, score, word):
    corrected = correct_report(REPORT, [review(IDS[2], "corrected", suspicion=rating)], SETTINGS)
    finding = next(each for each in corrected.report.findings if each.finding_id == IDS[2])
    assert (finding.suspicion_score, finding.nodule_probability, finding.overall_suspicion) == (score, 1.0, score)
    assert finding.suspicion == word


def test_the_study_is_called_by_the_most_suspicious_finding_after_correction():
    reviews = [review(IDS[0], "corrected", suspicion=1), review(IDS[2], "corrected", suspicion=5)]
    corrected = correct_report(REPORT, reviews, SETTINGS)
    assert corrected.report.findings[0].finding_id == IDS[2]
    assert corrected.report.classification_finding_id == IDS[2]
    assert corrected.report.classification_result == "suspicious"


def test_a_rating_that_the_line_has_not_given_is_added():
    given = Characteristics(texture=1, margin=2)
    corrected = correct_report(REPORT, [review(IDS[0], "corrected", characteristics=given)], SETTINGS)
    assert corrected.report.findings[0].characteristics["texture"] == 1.0
    marks = corrected.corrected[IDS[0]]
    assert marks["characteristics.texture"].machine is None
    assert marks["characteristics.margin"].machine == 4.0


def test_a_review_of_another_report_is_passed_over():
    corrected = correct_report(REPORT, [review("N99", "rejected")], SETTINGS)
    assert corrected.report == REPORT
    assert corrected.reviews == ()


@given(st.lists(VERDICTS, min_size=3, max_size=3), st.integers(1, 5))
def test_no_finding_is_lost_and_none_is_made(verdicts, rating):
    reviews = [
        review(each, verdict, suspicion=rating if verdict == "corrected" else None)
        for each, verdict in zip(IDS, verdicts, strict=True)
    ]
    corrected = correct_report(REPORT, reviews, SETTINGS)
    left = [finding.finding_id for finding in corrected.report.findings]
    assert sorted([*left, *(finding.finding_id for finding in corrected.rejected)]) == sorted(IDS)
    suspicions = [finding.overall_suspicion for finding in corrected.report.findings]
    assert suspicions == sorted(suspicions, reverse=True)
    assert Report.model_validate(corrected.report.model_dump()) == corrected.report
