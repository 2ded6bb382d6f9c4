"""OHIF in a browser: what a reader does in it, and what it then knows and shows.

`window.services` and `window.cornerstone` are OHIF's own; they tell what it has loaded and where it draws. That it
draws there is read from the picture on the screen.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TIMEOUT_MS = 300_000  # WebGL is drawn by the processor here, which may have other work
_ARGUMENTS = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
_SHOWS_AN_IMAGE = "() => !!window.cornerstone?.getEnabledElements()[0]?.viewport.getCurrentImageId?.()"
_SEGMENTS = """() => services.segmentationService.getSegmentations().flatMap(
  segmentation => Object.values(segmentation.segments).map(segment => segment.label))"""
_NUM_VOXELS = """() => {
  const [segmentation] = services.segmentationService.getSegmentations();
  const {imageIds} = segmentation.representationData.Labelmap;
  const counts = {};
  for (const id of imageIds)
    for (const label of cornerstone.cache.getImage(id).voxelManager.getScalarData())
      if (label) counts[label] = (counts[label] ?? 0) + 1;
  return counts;
}"""
_MEASUREMENTS = """() => services.measurementService.getMeasurements().map(each => ({
  label: each.label, tool: each.toolName, lines: each.displayText.primary, points: each.points,
  sop_instance_uid: each.SOPInstanceUID, series_instance_uid: each.referenceSeriesUID}))"""
_TO_CANVAS = """point => {
  const {viewport} = cornerstone.getEnabledElements()[0];
  const [x, y] = viewport.worldToCanvas(point);
  const box = viewport.canvas.getBoundingClientRect();
  return [box.left + x, box.top + y];
}"""
_SHOWS = "uid => cornerstone.getEnabledElements()[0].viewport.getCurrentImageId().includes(uid)"


@contextmanager
def open_browser() -> Iterator[Page]:
    """A page in a headless Chromium whose WebGL is drawn in software."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_ARGUMENTS, "--no-sandbox"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(TIMEOUT_MS)
        page.add_init_script("localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))")
        yield page
        browser.close()


class Viewer:
    """A study that is open in OHIF.

    Args:
        page: Where it is opened.
        address: Of the viewer.
        study_instance_uid: Which study.
        folder: For screenshots.
    """

    def __init__(self, page: Page, address: str, study_instance_uid: str, folder: Path) -> None:
        self._page = page
        self._folder = folder
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("response", lambda answer: self._note(answer.status, answer.url))
        page.goto(f"{address}/viewer?StudyInstanceUIDs={study_instance_uid}")
        page.wait_for_function(_SHOWS_AN_IMAGE, timeout=TIMEOUT_MS)
        confirm = page.get_by_text("Confirm and hide", exact=False)  # that OHIF is for investigational use
        if confirm.count():
            confirm.first.click()

    @property
    def is_isolated(self) -> bool:
        """Whether the page may share memory between its threads."""
        return bool(self._page.evaluate("crossOriginIsolated"))

    def open_segmentation(self, description: str) -> None:
        """Lay a SEG over the CT and open the list of segments."""
        self._open(description, "Do you want to open this Segmentation?")
        self._page.wait_for_function("() => services.segmentationService.getSegmentations().length > 0")
        self._page.locator("[data-cy=panelSegmentation-btn]").click()

    def open_report(self, description: str) -> None:
        """Show an SR, agree to track its measurements, and open their list."""
        self._open(description, "Do you want to continue tracking measurements for this study?")
        self._page.wait_for_function("() => services.measurementService.getMeasurements().length > 0")
        self._page.locator("[data-cy=trackedMeasurements-btn]").click()
        self._page.locator("[data-cy=measurement-table-row-0]").wait_for()

    def segments(self) -> list[str]:
        """Labels of the segments that are loaded."""
        return list(self._page.evaluate(_SEGMENTS))

    def num_voxels(self) -> dict[int, int]:
        """How many voxels each segment has in the label map that OHIF made of the SEG."""
        return {int(label): int(count) for label, count in self._page.evaluate(_NUM_VOXELS).items()}

    def measurements(self) -> list[dict[str, Any]]:
        """The measurements that are listed: `label`, `tool`, `lines`, `points` (LPS, mm) and what they are on."""
        return list(self._page.evaluate(_MEASUREMENTS))

    def listed(self, text: str) -> bool:
        """Whether a text stands in the open list, for a reader to see."""
        return self._page.get_by_text(text, exact=True).first.is_visible()

    def jump_to(self, row: int, sop_instance_uid: str) -> None:
        """Click on a measurement in the list, and wait until its image is shown."""
        self._page.locator(f"[data-cy=measurement-table-row-{row}] [data-cy=data-row]").click()
        self._page.wait_for_function(_SHOWS, arg=sop_instance_uid)

    def wait_until(self, holds: Callable[[], bool]) -> bool:
        """Whether something comes to hold on the screen, which is drawn when the processor gets round to it."""
        for _ in range(60):
            if holds():
                return True
            self._page.wait_for_timeout(500)
        return False

    def color_at(self, point_lps: Sequence[float], reach: int = 3) -> npt.NDArray[np.int64]:
        """The colours [n, 3] on the screen around a place in the patient, `reach` pixels to each side."""
        x, y = (round(part) for part in self._page.evaluate(_TO_CANVAS, list(point_lps)))
        picture = np.asarray(Image.open(io.BytesIO(self._page.screenshot())).convert("RGB"), dtype=np.int64)
        return picture[y - reach : y + reach + 1, x - reach : x + reach + 1].reshape(-1, 3)

    def keep_picture(self, name: str) -> None:
        """Write a screenshot."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._page.screenshot(path=self._folder / f"{name}.png")

    def _open(self, description: str, question: str) -> None:
        self._page.get_by_text(description).first.dblclick()
        self._page.get_by_text(question).wait_for()
        self._page.get_by_role("button", name="Yes").or_(self._page.get_by_text("Yes", exact=True)).first.click()
        self._page.get_by_text(question).wait_for(state="detached")
        self._page.wait_for_timeout(1000)

    def _note(self, status: int, url: str) -> None:
        if status >= 400:
            self.errors.append(f"{status} {url}")
