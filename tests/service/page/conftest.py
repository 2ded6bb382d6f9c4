"""One service with two studies for all tests that look at the page in a browser."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "api"))

from desk_service import running_desk
from page_service import CHROMIUM, REPOSITORY, running_service, write_scout, write_study

sys.path.insert(0, str(REPOSITORY / "lung_nodules" / "service" / "page"))


@pytest.fixture(scope="session")
def built():
    """The page's folder with its packages and its built assets."""
    import build

    assert build.main(["build"]) == 0
    return build.PAGE


@pytest.fixture(scope="session")
def studies(tmp_path_factory):
    """ZIPs: one study to be read, one to be refused."""
    folder = tmp_path_factory.mktemp("studies")
    study = write_study(folder / "study")
    return study, write_scout(study, folder / "scout")


@pytest.fixture(scope="session")
def address(built):
    """Of a service that was started as a user starts it; its folder's path is short, as PostgreSQL's socket asks."""
    short = tempfile.TemporaryDirectory(prefix="page-", ignore_cleanup_errors=True)
    with short as folder, running_service(Path(folder)) as started:
        yield started


@pytest.fixture(scope="session")
def desk(built, tmp_path_factory):
    """A service that people sign in at, with an archive to search and without a worker."""
    with running_desk(tmp_path_factory.mktemp("desk") / "archive") as started:
        yield started


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def complaints():
    """What the browser complained of: errors of the page, and breaches of its content security policy."""
    return []


@pytest.fixture
def open_page(browser, address, complaints):
    """Open the page in a window of its own; it may not complain until the test ends."""
    contexts = []

    def open_at(width=1280, height=800, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, locale="en-GB", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(address)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def visit(browser, desk):
    """Open the page of the desk as somebody, by signing in as a user does; None stays at the door.

    Requests that the service refuses are said on the browser's console; everything else there is a complaint.
    """
    contexts, complaints = [], []
    desk.provider.token_lifetime_s = 600

    def note(message):
        if message.type == "error" and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    def visit_as(user, route="", width=1280, height=800, locale="en-GB", **options):
        context = browser.new_context(viewport={"width": width, "height": height}, locale=locale, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", note)
        page.goto(f"{desk.address}{route}")
        if user is not None:
            page.locator(".sign-in .button-main").click()
            page.get_by_role("button", name=user, exact=True).click()
            page.locator(".header-reader").wait_for(state="attached")
        return page

    yield visit_as
    for context in contexts:
        context.close()
    assert complaints == []
