"""The operator of the stage `segmentation`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.detection import Candidate
from lung_nodules.stages.segmentation import Outlines, segment_candidates
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class SegmentationOperator(StageOperator):
    """Outlines each candidate.

    Input ports:
        volume: `Volume`.
        candidates: `tuple[Candidate, ...]`.

    Output ports:
        outlines: `Outlines`.
    """

    stage: ClassVar[str] = "segmentation"
    inputs: ClassVar[tuple[str, ...]] = ("volume", "candidates")
    output: ClassVar[str] = "outlines"

    def run(self, *, volume: Volume, candidates: tuple[Candidate, ...]) -> Outlines:
        """See `lung_nodules.stages.segmentation.segment_candidates`."""
        return segment_candidates(volume, candidates, self.task.networks.outliner, self.task.settings, self.task.watch)
