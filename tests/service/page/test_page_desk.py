"""Searching the archive, steering and deleting jobs, and the audit log, each by who may."""

import pytest
from desk_service import PATIENT_ID
from page_service import PHONE, look

pytestmark = [pytest.mark.service, pytest.mark.slow]


@pytest.fixture
def jobs(desk):
    """A job that was read, and one each that waits, failed, and was refused; the only ones there are."""
    desk.api.query("DELETE FROM jobs")
    refused = '{"code": "no-lungs", "sentence": "No lungs were found in the series.", "advice": ""}'
    return {
        "read": desk.add_read(submitted_by="olga"),
        "waiting": desk.add("queued", submitted_by="olga", study="1.2.4"),
        "others": desk.add("queued", submitted_by="oleg", study="1.2.5"),
        "refused": desk.add("refused", submitted_by="olga", study="1.2.6", reason=refused),
    }


def row_of(page, job_id):
    return page.locator("tr", has=page.locator(f'a[href="#/studies/{job_id}"]'))


def test_a_study_is_found_by_the_patients_name_and_submitted_by_keyboard_alone(desk, visit, jobs):
    page = visit("olga")
    addresses = []
    page.on("request", lambda request: addresses.append(request.url))
    page.locator(".job").first.wait_for()
    page.keyboard.press("s")
    page.wait_for_function("() => document.activeElement.matches('.search-form input')")
    page.keyboard.type("doe, jane")
    page.keyboard.press("Enter")
    page.locator(".found-study").first.wait_for()
    assert page.locator(".found-study").count() == 12
    assert set(page.locator(".found-name").all_inner_texts()) == {"Doe, Jane"}
    page.get_by_text("Stat", exact=True).click()
    look(page, "archive")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Open: Doe, Jane").wait_for()
    link = page.get_by_role("link", name="Open: Doe, Jane").get_attribute("href")
    assert desk.job(link.rpartition("/")[2]) == {"state": "queued", "priority": 20}
    assert "archives/pacs/search" in " ".join(addresses)
    assert "doe" not in " ".join([page.url, *addresses]).lower()
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Work list").wait_for()


def test_what_was_found_is_shown_page_by_page_newest_first(visit, jobs):
    page = visit("olga", "#/archive")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_text("50 or more studies").wait_for()
    page.get_by_role("button", name="Show more").click()
    page.get_by_text("60 studies").wait_for()
    dates = page.locator(".found-date").all_inner_texts()
    assert (dates[0], dates[-1]) == ("4 Mar 2024", "1 Jan 2024")
    page.get_by_label("Patient ID").fill("P-9999")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("heading", name="No study matches").wait_for()
    look(page, "archive-nothing")


def test_the_archive_on_a_phone_and_in_chinese(visit, jobs):
    page = visit("olga", "#/archive", locale="zh-CN", **PHONE)
    page.get_by_label("患者姓名").fill("王")
    page.get_by_role("button", name="检索", exact=True).click()
    page.locator(".found-study").first.wait_for()
    assert "王小东" in page.locator(".found-name").first.inner_text()
    look(page, "phone-archive-chinese")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_list_says_whose_studies_were_read(visit, jobs):
    page = visit("vera")
    row = row_of(page, jobs["read"])
    row.get_by_text(PATIENT_ID).wait_for()
    assert "3 Feb 2024 · A-2024-17" in row.inner_text()
    assert page.locator(".job").count() == 4
    assert page.locator(".places, .priority-choice, .job-actions button").count() == 0
    look(page, "list-viewer")


def test_an_operator_lets_his_own_jobs_go_sooner(desk, visit, jobs):
    page = visit("olga")
    page.locator(".job").first.wait_for()
    assert page.locator(".priority-choice").count() == 1
    row_of(page, jobs["waiting"]).locator("select").select_option(label="Stat")
    page.wait_for_function("() => document.querySelector('.priority-choice').dataset.priority === 'stat'")
    assert desk.job(jobs["waiting"])["priority"] == 20
    look(page, "list-operator")
    page.goto(f"{desk.address}#/studies/{jobs['waiting']}")
    page.locator(".progress select").select_option(label="Urgent")
    page.wait_for_function("() => document.querySelector('.priority-choice').dataset.priority === 'urgent'")
    assert desk.job(jobs["waiting"])["priority"] == 10
    look(page, "waiting-study")


def test_an_admin_deletes_a_job_after_a_question(desk, visit, jobs):
    page = visit("ada")
    row = row_of(page, jobs["refused"])
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Delete").wait_for()
    look(page, "delete")
    page.keyboard.press("Escape")
    assert desk.job(jobs["refused"])["state"] == "refused"
    row.get_by_role("button", name="Delete").click()
    page.locator("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_function("() => document.querySelectorAll('.job').length === 3")
    assert desk.job(jobs["refused"]) == {}
    assert row_of(page, jobs["waiting"]).get_by_role("button", name="Delete").count() == 0
    look(page, "list-admin")


def test_an_admin_sees_who_did_what(desk, visit, jobs):
    visit("olga", "#/archive").get_by_role("button", name="Search", exact=True).click()
    desk.api.client.get(f"/v1/jobs/{jobs['read']}/report")
    page = visit("ada", "#/audit")
    page.locator(".audit-entry").first.wait_for()
    look(page, "audit")
    page.get_by_label("Who").fill("olga")
    page.get_by_label("What").select_option(label="Archive searched")
    page.wait_for_function("() => document.querySelectorAll('.audit-entry').length > 0")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.audit-actor')].every(actor => actor.innerText === 'olga')"
    )
    about = page.locator(".audit-entry").first.locator(".audit-about")
    assert about.locator(".job-detail").inner_text() == "pacs"
    about.get_by_text("studies").click()
    about.get_by_text("1.2.826.0.1.3680043.8.498.").first.wait_for()
    look(page, "audit-studies")
    page.goto(f"{desk.address}#/audit?job={jobs['read']}")
    page.get_by_text("Nobody was signed in").first.wait_for()
    assert page.locator(".audit-entry").count() == 1
    page.get_by_role("button", name="Of all studies").click()
    page.wait_for_function("() => document.querySelectorAll('.audit-entry').length > 1")


def test_the_audit_log_on_a_phone(visit, jobs):
    page = visit("ada", "#/audit", **PHONE)
    page.locator(".audit-entry").first.wait_for()
    look(page, "phone-audit")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto(page.url.partition("#")[0] + "#/")
    page.locator(".job").first.wait_for()
    look(page, "phone-list-admin")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(("user", "route"), [("vera", "#/archive"), ("vera", "#/audit"), ("olga", "#/audit")])
def test_a_view_that_is_not_for_ones_role_shows_nothing(visit, user, route):
    page = visit(user, route)
    if route == "#/archive":
        page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_text("Your role may not do this").wait_for()
    assert page.locator(".found-study, .audit-entry").count() == 0
