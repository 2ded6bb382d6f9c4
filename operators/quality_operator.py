"""The operator of the stage `quality`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.quality import Quality, check_quality
from lung_nodules.stages.series import Selection
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class QualityOperator(StageOperator):
    """Checks what a reader of the result should know about the input.

    Input ports:
        selection: `Selection`.
        volume: `Volume`.
        lungs: `Lungs`.

    Output ports:
        quality: `Quality`.
    """

    stage: ClassVar[str] = "quality"
    inputs: ClassVar[tuple[str, ...]] = ("selection", "volume", "lungs")
    output: ClassVar[str] = "quality"

    def run(self, *, selection: Selection, volume: Volume, lungs: Lungs) -> Quality:
        """See `lung_nodules.stages.quality.check_quality`."""
        return check_quality(selection, volume, lungs, self.task.settings)
