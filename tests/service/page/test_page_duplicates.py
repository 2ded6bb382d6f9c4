"""A job whose study another one has: named as such in the list, and opened as the other one."""

import pytest

pytestmark = [pytest.mark.service, pytest.mark.slow]


@pytest.mark.parametrize("state", ["queued", "failed"])
def test_a_duplicate_opens_the_job_that_has_the_study(desk, visit, state):
    original = desk.add(state, submitted_by="olga", study="1.2.4")
    duplicate = desk.add("duplicate", submitted_by="olga", study="1.2.4", duplicate_of=original)
    page = visit("olga")
    link = page.locator(f'a[href="#/studies/{duplicate}"]')
    link.wait_for()
    assert "Duplicate" in page.locator("tr", has=link).locator(".job-state").inner_text()
    link.click()
    page.wait_for_url(f"**#/studies/{original}")
    sentence = {"queued": "This study waits for its turn.", "failed": "Reading this study failed."}[state]
    page.get_by_text(sentence).wait_for()
    page.go_back()
    page.get_by_role("heading", name="Work list").wait_for()
