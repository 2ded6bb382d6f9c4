"""What a worker's child does with a study: the line, with networks that are opened once."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lung_nodules.execution import read_line_settings
from lung_nodules.progress import Progress
from lung_nodules.service.jobs.model import JobSummary
from lung_nodules.service.settings import ServiceSettings

if TYPE_CHECKING:
    from lung_nodules.networks.opened import Networks
    from lung_nodules.stages.report import EarlierDocument
    from lung_nodules.stages.report_model import Report

_OUTCOMES = ("pass", "warn", "fail")


class Analysis(Protocol):
    """From a folder of DICOM files to a folder of results."""

    def analyse(
        self, study_folder: Path, output_folder: Path, progress: Progress, earlier: EarlierDocument | None
    ) -> JobSummary:
        """Read one study and write `report.json` and what else there is, `preview/` included.

        Args:
            study_folder: DICOM files at any depth.
            output_folder: Exists and is empty.
            progress: Told of the stages of the line.
            earlier: The SR of the version of the study before; see `build_report`.

        Raises:
            Refusal: The study cannot be read.
        """
        ...


def make_analysis(settings: ServiceSettings) -> Analysis:
    """The analysis that the settings name."""
    module, _, name = settings.workers.analysis.partition(":")
    made: Analysis = getattr(importlib.import_module(module), name)(settings)
    return made


class LineAnalysis:
    """The line.

    Args:
        settings: Name the models and the settings of the line.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._line_settings = read_line_settings(settings.line_config)
        self._models_folder = settings.models_folder
        self._networks: Networks | None = None

    def analyse(
        self, study_folder: Path, output_folder: Path, progress: Progress, earlier: EarlierDocument | None
    ) -> JobSummary:
        """See `Analysis.analyse`."""
        from lung_nodules.pipeline import analyse
        from lung_nodules.results import write_results
        from lung_nodules.service.preview import write_preview
        from lung_nodules.timings import Stopwatch

        watch = Stopwatch(progress)
        with watch.stage("networks"):
            networks = self._open_networks()
        analysis = analyse(study_folder, networks, self._line_settings, watch, earlier)
        with watch.stage("results"):
            write_results(analysis.report, analysis.volume, analysis.outlines, output_folder, self._line_settings)
            labels = [finding.outline_label for finding in analysis.report.findings]
            write_preview(analysis.volume, analysis.outlines.label_map, labels, output_folder / "preview")
        return summarise(analysis.report)

    def _open_networks(self) -> Networks:
        from lung_nodules.networks.opened import open_networks
        from lung_nodules.networks.record import load_models

        if self._networks is None:
            self._networks = open_networks(load_models(self._models_folder), self._line_settings.runtime)
        return self._networks


def summarise(report: Report) -> JobSummary:
    """The report in one line."""
    outcomes = [check.outcome.value for check in report.quality]
    return JobSummary(
        num_findings=len(report.findings),
        highest_suspicion=report.classification_confidence,
        result=report.classification_result,
        quality=max(outcomes, key=_OUTCOMES.index, default=""),
    )
