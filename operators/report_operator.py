"""The operator of the stage `report`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.provenance import describe_run
from lung_nodules.stages.classification import Finding
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.quality import Quality
from lung_nodules.stages.report import build_report
from lung_nodules.stages.report_model import Report
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.series import Selection
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class ReportOperator(StageOperator):
    """Puts the report together.

    Input ports:
        selection: `Selection`.
        volume: `Volume`.
        lungs: `Lungs`.
        quality: `Quality`.
        outlines: `Outlines`.
        findings: `tuple[Finding, ...]`.

    Output ports:
        report: `Report`.
    """

    stage: ClassVar[str] = "report"
    inputs: ClassVar[tuple[str, ...]] = (
        "selection",
        "volume",
        "lungs",
        "quality",
        "outlines",
        "findings",
    )
    output: ClassVar[str] = "report"

    def run(
        self,
        *,
        selection: Selection,
        volume: Volume,
        lungs: Lungs,
        quality: Quality,
        outlines: Outlines,
        findings: tuple[Finding, ...],
    ) -> Report:
        """See `lung_nodules.stages.report.build_report`."""
        provenance = describe_run(selection, self.task.networks, self.task.settings, self.task.watch)
        return build_report(selection, quality, volume, lungs, outlines, findings, provenance, self.task.settings)
