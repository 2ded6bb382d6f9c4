"""Signing in at a real provider, in a real browser: there and back, renewed, ended; tokens are nowhere kept."""

import re

import pytest
from api_server import serving
from page_service import PHONE, look

from lung_nodules.service.settings import ServiceSettings

pytestmark = [pytest.mark.service, pytest.mark.slow]

KEPT = """() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])"""


def test_one_signs_in_at_the_provider_and_comes_back_to_where_one_was(desk, visit):
    page = visit(None, "#/archive")
    page.get_by_role("button", name="Sign in at 127.0.0.1").wait_for()
    look(page, "sign-in")
    page.get_by_role("button", name="Sign in at 127.0.0.1").click()
    page.get_by_role("button", name="olga").click()
    page.get_by_role("heading", name="Search the archive").wait_for()
    assert page.url == f"{desk.address}#/archive"
    assert re.search(r"olga\s+· operator", page.locator(".header").inner_text())


def test_no_token_is_kept_where_a_script_or_the_next_user_could_find_it(visit):
    page = visit("olga")
    kept = page.evaluate(KEPT)
    assert "eyJ" not in kept
    assert "access_token" not in kept
    assert "refresh_token" not in kept
    assert "code" not in page.url


def test_a_page_that_is_loaded_anew_asks_nobody_again(desk, visit):
    page = visit("olga")
    page.goto(f"{desk.address}#/archive")
    page.reload()
    page.get_by_role("heading", name="Search the archive").wait_for()
    assert "olga" in page.locator(".header").inner_text()


def test_a_page_that_is_loaded_anew_after_the_session_has_ended_asks(desk, visit):
    page = visit("olga")
    desk.provider.forget_everybody()
    page.reload()
    page.get_by_role("button", name="Sign in at 127.0.0.1").wait_for()
    assert page.url.partition("#")[0] == desk.address


def test_a_token_is_renewed_while_one_works(desk, visit):
    desk.provider.token_lifetime_s = 31  # it is renewed half a minute before its end
    page = visit("olga")
    page.wait_for_timeout(2000)
    before = desk.provider.num_refreshes
    page.get_by_text("Needs attention").click()
    page.wait_for_timeout(1500)
    assert desk.provider.num_refreshes > before
    assert page.locator(".worklist").is_visible()
    assert page.locator(".notice").count() == 0


def test_a_session_that_was_ended_elsewhere_ends_here_and_hides_what_was_shown(desk, visit):
    desk.provider.token_lifetime_s = 3
    page = visit("olga")
    desk.provider.forget_everybody()
    page.wait_for_timeout(3500)
    page.get_by_text("Needs attention").click()
    page.get_by_text("Your session has ended").first.wait_for()
    assert page.locator(".worklist").count() == 0
    desk.provider.token_lifetime_s = 600
    page.get_by_role("button", name="Sign in at 127.0.0.1").click()
    page.get_by_role("button", name="olga").click()
    page.locator(".worklist").wait_for()


def test_signing_out_ends_the_session_at_the_provider(desk, visit):
    page = visit("ada")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in at 127.0.0.1").wait_for()
    assert "ada" not in desk.provider.sessions.values()
    page.get_by_role("button", name="Sign in at 127.0.0.1").click()
    page.get_by_role("button", name="ada").wait_for()  # asked again


def test_signing_out_says_that_a_session_goes_on_which_the_provider_has_no_end_for(desk, visit, monkeypatch):
    monkeypatch.setattr(desk.provider, "can_end_sessions", False)
    page = visit("ada")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("your session at the identity provider goes on").wait_for()
    assert page.get_by_role("button", name="Sign in at 127.0.0.1").is_enabled()
    assert "ada" in desk.provider.sessions.values()
    look(page, "session-goes-on")


@pytest.mark.parametrize("answer", ["?state=never-sent&code=guessed", "?state=never-sent&error=access_denied"])
def test_an_answer_that_nobody_asked_for_signs_nobody_in(desk, visit, answer):
    page = visit(None, answer)
    page.get_by_text("The sign-in did not succeed").wait_for()
    assert page.url == desk.address
    assert page.get_by_role("button", name="Sign in at 127.0.0.1").is_enabled()


def test_who_holds_no_role_is_told_so_and_may_leave(visit):
    page = visit(None)
    page.get_by_role("button", name="Sign in at 127.0.0.1").click()
    page.get_by_role("button", name="nemo").click()
    page.get_by_text("You hold no role of this service").wait_for()
    look(page, "no-role")
    assert page.get_by_role("table").count() == 0, "nothing of the work list is shown"
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in at 127.0.0.1").wait_for()
    assert page.get_by_text("You hold no role of this service").count() == 0


def test_where_there_is_no_issuer_a_token_is_pasted_and_forgotten(desk, browser, tmp_path):
    key = "page-key-of-more-than-32-bytes-in-all"
    (tmp_path / "key").write_text(key)
    auth = {"mode": "static", "static_key_file": tmp_path / "key"}
    settings = ServiceSettings(**{**desk.api.settings.model_dump(), "auth": auth})
    with serving(settings) as api:
        page = browser.new_context(locale="en-GB").new_page()
        page.goto(f"http://127.0.0.1:{api.address[1]}/")
        page.get_by_label("Access token").fill("not-the-key")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_text("The token cannot be read").wait_for()
        page.get_by_label("Access token").fill(key)
        page.get_by_role("button", name="Sign in").click()
        page.locator(".worklist").wait_for()
        assert key not in page.evaluate(KEPT)
        page.reload()
        page.get_by_label("Access token").wait_for()
        look(page, "sign-in-token")
        page.context.close()


def test_a_phone_shows_the_way_in(visit):
    page = visit(None, **PHONE)
    page.get_by_role("button", name="Sign in at 127.0.0.1").wait_for()
    look(page, "phone-sign-in")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
