"""The operator that writes the results."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.results import write_results
from lung_nodules.stages.report_model import Report
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class ResultsOperator(StageOperator):
    """Runs the writers and publishes their files into the output folder.

    Input ports:
        report: `Report`.
        volume: `Volume`.
        outlines: `Outlines`.
    """

    stage: ClassVar[str] = "results"
    inputs: ClassVar[tuple[str, ...]] = ("report", "volume", "outlines")

    def run(self, *, report: Report, volume: Volume, outlines: Outlines) -> None:
        """See `lung_nodules.results.write_results`."""
        write_results(report, volume, outlines, self.task.output_folder, self.task.settings)
