"""A job whose result a newer one supersedes: marked in the list, and in its study with the way to the newer one."""

import pytest
from report_examples import drawn_study

pytestmark = [pytest.mark.service, pytest.mark.slow]

KEY = "study:1.2.826.0.1.3680043.8.498.99"


@pytest.fixture
def versions(desk):
    """The jobs of a study that was read twice."""
    first = desk.add_read(study_key=KEY, version=1)
    second = desk.add_read(study_key=KEY, version=2, replaces=first)
    for job_id in (first, second):
        path = desk.api.settings.data_folder / "results" / job_id / "report.json"
        path.write_text(drawn_study().report().model_dump_json())
    yield first, second
    desk.api.query("DELETE FROM jobs WHERE study_key = %s", KEY)


def test_the_list_marks_the_older_one(visit, versions):
    page = visit("olga")
    older, newer = (page.locator("tr", has=page.locator(f'a[href="#/studies/{job_id}"]')) for job_id in versions)
    older.get_by_text("Superseded by a newer version").wait_for()
    assert newer.get_by_text("Superseded").count() == 0


def test_the_older_study_leads_to_the_newer_one(visit, versions):
    first, second = versions
    page = visit("olga", f"#/studies/{first}")
    page.get_by_role("link", name="Superseded: a newer version of this study was read").click()
    page.wait_for_url(f"**#/studies/{second}")
    page.get_by_role("tab", name="Study").click()
    page.get_by_text("This result supersedes that of an earlier version of the study.").wait_for()
    assert page.get_by_role("link", name="Superseded").count() == 0
