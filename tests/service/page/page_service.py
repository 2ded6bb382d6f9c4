"""The service as a user starts it, studies to send to it, and a browser that looks at its page."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom

from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = REPOSITORY / "lung_nodules" / "service" / "page"
SCREENSHOTS = REPOSITORY / "out" / "page"
PHONE = {"width": 390, "height": 844, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = PAGE / "node_modules" / "axe-core" / "axe.min.js"
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@contextmanager
def running_service(folder: Path) -> Iterator[str]:
    """Run `lung-nodules serve` with all its parts until the block ends; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    order = [sys.executable, "-m", "lung_nodules", "serve", "--port", str(port), "--data", str(folder / "data")]
    environment = {**os.environ, "LUNG_NODULES_SERVICE__VIEWER_URL": "/viewer?StudyInstanceUIDs={study_instance_uid}"}
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(order, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}/"
    try:
        _wait_until_ready(address, process, folder / "service.log")
        yield address
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text(errors="replace")[-2000:]
        try:
            with urllib.request.urlopen(f"{address}health/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-2000:])


def write_study(folder: Path) -> Path:
    """A ZIP of a phantom with two nodules, small enough to be read in half a minute."""
    nodules = (NoduleSpec(diameter_mm=18.0), NoduleSpec(diameter_mm=11.0))
    chest = PhantomSettings(
        nodules=nodules, num_slices=100, slice_spacing_mm=2.5, rows=256, columns=256, pixel_spacing_mm=1.4
    )
    study = write_phantom(folder, chest)
    return _zip(sorted(path for path in study.dicom_folder.rglob("*") if path.is_file()), folder / "study.zip")


def write_scout(study: Path, folder: Path) -> Path:
    """A ZIP of the same study's localizer alone, which is no CT that can be read."""
    with zipfile.ZipFile(study) as packed:
        packed.extractall(folder)
    headers = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.glob("*.dcm"))}
    return _zip([path for path, header in headers.items() if header.SeriesNumber == 1], folder / "scout.zip")


def _zip(paths: list[Path], target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for number, path in enumerate(paths):
            packed.write(path, f"{number:05d}.dcm")
    return target


def axe_violations(page: Any) -> list[str]:
    """What axe finds wrong with the page as it is shown; evaluated, so that the page's own policy stays in force."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    result = page.evaluate("tags => axe.run(document, { runOnly: tags })", AXE_RULES)
    return [f"{found['id']}: {[node['html'][:200] for node in found['nodes']]}" for found in result["violations"]]


def look(page: Any, name: str) -> None:
    """Keep a screenshot, and hold what is shown against axe's rules."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.wait_for_timeout(300)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    assert axe_violations(page) == [], name
