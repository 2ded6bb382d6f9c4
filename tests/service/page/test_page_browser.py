"""A reader's day in a real browser against the real service: submit, wait, read, review; screenshots in out/page/."""

import re

import pytest
from page_service import PHONE, look

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(900)]

DONE_MS = 420_000  # a study takes half a minute; machines that are busy get more
DISCLAIMER = "Research use only. Not a medical device."


def submit(page, path):
    """Send a file as a user does, and give the row of its job."""
    known = {row.get_attribute("href") for row in page.locator("a[data-row]").all()}
    page.get_by_role("button", name="Submit a study").click()
    page.locator("dialog input[type=file]").set_input_files(path)
    page.wait_for_function(
        "known => [...document.querySelectorAll('a[data-row]')].some(row => !known.includes(row.getAttribute('href')))",
        arg=sorted(known),
    )
    link = next(row for row in page.locator("a[data-row]").all() if row.get_attribute("href") not in known)
    return link.get_attribute("href")


@pytest.fixture(scope="module")
def jobs(browser, address, studies):
    """Addresses of a job that is done and of one that is refused, submitted and followed through the page."""
    study, scout = studies
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.get_by_role("heading", name="No study here yet").wait_for()
    look(page, "empty-list")
    done = submit(page, study)
    row = page.locator("tr", has=page.locator(f'a[href="{done}"]'))
    row.locator('[data-state="running"]').wait_for(timeout=DONE_MS)
    row.get_by_role("progressbar").wait_for()
    look(page, "running-list")
    page.goto(f"{address}{done}")
    page.get_by_text("This study is being read.").or_(page.locator(".study")).first.wait_for()
    look(page, "running-study")
    page.locator(".study").wait_for(timeout=DONE_MS)  # by the service's events, without a reload
    page.goto(address)
    row.wait_for()  # else the list is empty yet, and the row that comes first is taken for that of the next study
    refused = submit(page, scout)
    page.locator("tr", has=page.locator(f'a[href="{refused}"]')).locator('[data-state="refused"]').first.wait_for(
        timeout=DONE_MS
    )
    context.close()
    return done, refused


@pytest.fixture
def study(jobs, open_page):
    """The study that was read, with its images there."""

    def open_study(**options):
        page = open_page(**options)
        page.goto(page.url.split("#")[0] + jobs[0])
        page.locator('.viewport[data-ready="true"]').first.wait_for()
        page.wait_for_function("() => !document.querySelector('.load-state')")
        return page

    return open_study


def test_the_list_shows_result_and_reason(jobs, open_page):
    page = open_page()
    page.locator(".job").first.wait_for()
    assert page.locator(".job").count() == 2
    done = page.locator("tr", has=page.locator(f'a[href="{jobs[0]}"]'))
    assert re.search(r"Read\s+\d+\s+[01]\.\d\d", done.inner_text())
    assert "Cannot be read" in page.locator(".jobs").inner_text()
    assert DISCLAIMER in page.locator("body").inner_text()
    look(page, "list")


def test_the_list_is_filtered_and_searched(jobs, open_page):
    page = open_page()
    page.get_by_text("Needs attention").click()
    page.wait_for_function("() => document.querySelectorAll('.job').length === 1")
    page.get_by_text("All", exact=True).click()
    page.wait_for_function("() => document.querySelectorAll('.job').length === 2")
    page.keyboard.press("/")
    page.keyboard.type("no such study")
    page.get_by_role("heading", name="No study matches").wait_for()
    assert page.locator(".job").count() == 0


def test_the_study_is_read_by_keyboard(study):
    page = study()
    slice_text = page.get_by_test_id("slice-axial")
    first = slice_text.inner_text()
    page.keyboard.press("ArrowDown")
    assert slice_text.inner_text() != first
    page.keyboard.press("ArrowUp")
    assert slice_text.inner_text() == first
    page.keyboard.press("2")
    assert page.get_by_test_id("window").inner_text() == "W 400  L 40"
    page.keyboard.press("j")
    assert page.locator('.findings tr[data-chosen="true"]').count() == 1
    page.keyboard.press("?")
    page.get_by_role("heading", name="Keyboard and mouse").wait_for()
    look(page, "help")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Work list").wait_for()


def test_images_are_scrolled_windowed_zoomed_and_measured_by_mouse(study):
    page = study()
    box = page.locator(".viewport").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = page.get_by_test_id("slice-axial").inner_text()
    page.mouse.move(*middle)
    page.mouse.wheel(0, 120)
    page.wait_for_function("text => !document.body.innerText.includes(text)", arg=before)
    page.mouse.down()
    page.mouse.move(middle[0] + 40, middle[1])
    page.mouse.up()
    assert page.get_by_test_id("window").inner_text() != "W 1500  L −600"
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function("() => parseInt(document.querySelector('.corner-bottom-right').innerText) !== 100")
    page.keyboard.press("m")
    page.mouse.down()
    page.mouse.move(middle[0] + 140, middle[1])
    page.mouse.up()
    assert re.search(r"\d+\.\d mm", page.locator(".corner-bottom-right").inner_text())


def test_outlines_are_drawn_where_the_finding_is(study):
    page = study()
    colours = """() => {
      const canvas = document.querySelector('.viewport canvas');
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
      let count = 0;
      for (let at = 0; at < pixels.length; at += 4) if (Math.abs(pixels[at] - pixels[at + 2]) > 60) count += 1;
      return count;
    }"""
    drawn = page.evaluate(colours)
    page.keyboard.press("o")
    page.wait_for_timeout(200)
    assert drawn > 50
    assert page.evaluate(colours) == 0


def test_three_planes_go_through_one_place(study):
    page = study()
    page.get_by_text("Three planes").click()
    assert page.locator(".viewport").count() == 3
    page.locator('.viewport[data-plane="coronal"]').dblclick(position={"x": 60, "y": 80})
    look(page, "three-planes")


@pytest.mark.parametrize("tab", ["Quality", "Study", "Files"])
def test_each_tab_is_clean(study, tab):
    page = study()
    page.get_by_role("tab", name=tab).click()
    page.locator(".block").first.wait_for()
    assert page.get_by_role("tab", name=tab).get_attribute("aria-selected") == "true"
    look(page, f"tab-{tab.lower()}")


def test_a_finding_is_corrected_and_the_correction_can_be_taken_home(study):
    page = study()
    look(page, "study")
    assert DISCLAIMER in page.locator(".panel").inner_text()
    page.keyboard.press("c")
    save = page.get_by_role("button", name="Save")
    assert save.is_disabled()  # a correction has a value
    page.get_by_label("Mean diameter").fill("12.5")
    page.locator("dialog").get_by_text("4", exact=True).click()
    page.get_by_label("Comment").fill("Measured again.")
    look(page, "review")
    save.click()
    page.get_by_text("Measured again.").wait_for()
    assert "12.5 mm" in page.locator(".review-made").inner_text()
    page.get_by_role("tab", name="Files").click()
    with page.expect_download() as started:
        page.get_by_text("Corrected SR").click()
    assert started.value.path().read_bytes()[128:132] == b"DICM"
    page.reload()
    page.get_by_text("Measured again.").wait_for()


def test_a_refused_study_says_why(jobs, open_page):
    page = open_page()
    page.goto(page.url.split("#")[0] + jobs[1])
    page.locator(".failed-code").wait_for()
    assert page.get_by_role("button", name="Try again").is_visible()
    look(page, "refused")


def test_chinese_is_chinese(study):
    page = study()
    page.get_by_text("中文").click()
    page.get_by_text("仅供研究使用，并非医疗器械。").first.wait_for()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    look(page, "study-chinese")
    page.get_by_role("tab", name="质量").click()
    look(page, "quality-chinese")


def test_the_light_theme_is_clean_too(study):
    page = study()
    background = "() => getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name="Theme: Light").click()
    assert page.evaluate(background) != dark
    look(page, "study-light")


def test_a_phone_shows_list_and_study_without_sideways_scrolling(jobs, open_page):
    page = open_page(**PHONE)
    page.locator(".job").first.wait_for()
    look(page, "phone-list")
    page.goto(page.url.split("#")[0] + jobs[0])
    page.locator('.viewport[data-ready="true"]').wait_for()
    look(page, "phone-study")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Correct", exact=True).click()
    look(page, "phone-review")
