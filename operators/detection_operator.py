"""The operator of the stage `detection`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.detection import Candidates, detect_candidates
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class DetectionOperator(StageOperator):
    """Finds candidates.

    Input ports:
        volume: `Volume`.
        lungs: `Lungs`.

    Output ports:
        candidates: `Candidates`.
    """

    stage: ClassVar[str] = "detection"
    inputs: ClassVar[tuple[str, ...]] = ("volume", "lungs")
    output: ClassVar[str] = "candidates"

    def run(self, *, volume: Volume, lungs: Lungs) -> Candidates:
        """See `lung_nodules.stages.detection.detect_candidates`."""
        return detect_candidates(volume, lungs, self.task.networks.finder, self.task.settings, self.task.watch)
