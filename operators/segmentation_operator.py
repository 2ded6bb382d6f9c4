"""The operator of the stage `segmentation`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.detection import Candidates
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.segmentation import Outlines, segment_candidates
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class SegmentationOperator(StageOperator):
    """Outlines each candidate.

    Input ports:
        volume: `Volume`.
        lungs: `Lungs`.
        candidates: `Candidates`.

    Output ports:
        outlines: `Outlines`.
    """

    stage: ClassVar[str] = "segmentation"
    inputs: ClassVar[tuple[str, ...]] = ("volume", "lungs", "candidates")
    output: ClassVar[str] = "outlines"

    def run(self, *, volume: Volume, lungs: Lungs, candidates: Candidates) -> Outlines:
        """See `lung_nodules.stages.segmentation.segment_candidates`."""
        outliner = self.task.networks.outliner
        return segment_candidates(volume, lungs, candidates, outliner, self.task.settings, self.task.watch)
