"""The operator of the stage `classification`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.classification import Finding, classify_nodules
from lung_nodules.stages.nodules import Nodule
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class ClassificationOperator(StageOperator):
    """Rates each nodule.

    Input ports:
        volume: `Volume`.
        nodules: `tuple[Nodule, ...]`.

    Output ports:
        findings: `tuple[Finding, ...]`.
    """

    stage: ClassVar[str] = "classification"
    inputs: ClassVar[tuple[str, ...]] = ("volume", "nodules")
    output: ClassVar[str] = "findings"

    def run(self, *, volume: Volume, nodules: tuple[Nodule, ...]) -> tuple[Finding, ...]:
        """See `lung_nodules.stages.classification.classify_nodules`."""
        return classify_nodules(volume, nodules, self.task.networks.classifier, self.task.settings, self.task.watch)
