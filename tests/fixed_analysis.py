"""An analysis in the place of the line, for tests and benchmarks of everything around it.

What it does with a study stands in `orders.json` beside the study's DICOM files: `delay_s`; `crash` (``segv``, ``exit``
or ``kill``), perhaps only while the file `crashes` has fewer lines than `num_crashes`; `refuse`, a code; `write_to`, a
file that is written to; `until`, a file that is waited for. Each beginning and each end is a line in `journal`, if that
is named.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lung_nodules.errors import InputRefusal
from lung_nodules.progress import Progress
from lung_nodules.service.jobs.model import JobSummary
from lung_nodules.service.settings import ServiceSettings

if TYPE_CHECKING:
    from lung_nodules.stages.report import EarlierDocument

NAME = "fixed_analysis:FixedAnalysis"


class FixedAnalysis:
    """Waits, and writes a report that says nothing; see `lung_nodules.service.jobs.analysis.Analysis`."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._default_delay_s = float(os.environ.get("FIXED_ANALYSIS_DELAY_S", "0.05"))

    def analyse(
        self, study_folder: Path, output_folder: Path, progress: Progress, earlier: EarlierDocument | None
    ) -> JobSummary:
        """Do what the study orders."""
        path = study_folder / "orders.json"
        orders = json.loads(path.read_text()) if path.is_file() else {}
        self._note(orders, "begin", study_folder)
        num_steps = 20
        with progress.stage("detection", num_steps) as advance:
            for _ in range(num_steps):
                time.sleep(orders.get("delay_s", self._default_delay_s) / num_steps)
                advance(1)
            while "until" in orders and not Path(orders["until"]).exists():
                time.sleep(0.05)
        self._misbehave(orders, study_folder)
        (output_folder / "report.json").write_text(json.dumps({"report_version": "0", "study": study_folder.name}))
        (output_folder / "segmentation.dcm").write_bytes(b"\0" * 128 + b"DICM")
        self._note(orders, "end", study_folder)
        return JobSummary(num_findings=2, highest_suspicion=0.7, result="suspicious", quality="pass")

    def _misbehave(self, orders: dict[str, object], study_folder: Path) -> None:
        if "refuse" in orders:
            raise InputRefusal(str(orders["refuse"]), "The study is refused, as ordered.")
        if "write_to" in orders:
            Path(str(orders["write_to"])).write_bytes(b"some")
        crash = orders.get("crash")
        crashes = study_folder / "crashes"
        before = len(crashes.read_text().splitlines()) if crashes.exists() else 0
        if crash is None or before >= int(str(orders.get("num_crashes", 1000))):
            return
        with crashes.open("a") as file:
            file.write("crash\n")
        if crash == "segv":
            ctypes.string_at(0)
        elif crash == "exit":
            os._exit(7)
        os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, orders: dict[str, object], word: str, study_folder: Path) -> None:
        journal = orders.get("journal")
        if journal:
            with Path(str(journal)).open("a") as file:
                file.write(f"{word} {study_folder.name}\n")


class OtherAnalysis(FixedAnalysis):
    """The same by another name: to the service, other models."""
