"""The operator of the stage `lungs`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.lungs import Lungs, segment_lungs
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class LungsOperator(StageOperator):
    """Segments the two lungs.

    Input ports:
        volume: `Volume`.

    Output ports:
        lungs: `Lungs`.
    """

    stage: ClassVar[str] = "lungs"
    inputs: ClassVar[tuple[str, ...]] = ("volume",)
    output: ClassVar[str] = "lungs"

    def run(self, *, volume: Volume) -> Lungs:
        """See `lung_nodules.stages.lungs.segment_lungs`."""
        return segment_lungs(volume, self.task.settings)
