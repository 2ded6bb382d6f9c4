"""The end of a job that the webhook's receiver was not told: said with the study, and not where all is well."""

import pytest
from page_service import look

pytestmark = [pytest.mark.service, pytest.mark.slow]


ENDED_AT = "2026-11-25T15:00:31Z"


def open_failed(desk, visit, tries, told_at=None, given_up_at=None):
    """The page of a failed job after so many tries to tell its end."""
    job_id = desk.add("failed", submitted_by="olga", study="1.2.5", finished_at=ENDED_AT)
    desk.api.query(
        "INSERT INTO notices (job_id, version, state, ended_at, tries, told_at, given_up_at)"
        " VALUES (%s, 1, 'failed', %s, %s, %s, %s)",
        *(job_id, ENDED_AT, tries, told_at, given_up_at),
    )
    page = visit("olga", f"#/studies/{job_id}")
    page.get_by_text("Reading this study failed.").wait_for()
    return page


@pytest.mark.parametrize(
    ("tries", "moments", "sentence"),
    [
        (2, {}, "could not be told yet; it is tried again"),
        (9, {"given_up_at": "2026-11-25T15:00:33Z"}, "was not told of it, and no further try is made"),
    ],
)
def test_an_end_that_nobody_was_told_is_said_with_the_study(desk, visit, tries, moments, sentence):
    page = open_failed(desk, visit, tries, **moments)
    page.get_by_text(sentence).wait_for()
    look(page, f"untold-{tries}")
    assert page.get_by_text(sentence).count() == 1


def test_an_end_that_was_told_is_not_spoken_of(desk, visit):
    page = open_failed(desk, visit, 2, told_at="2026-11-25T15:00:33Z")
    assert page.get_by_text("webhook").count() == 0
