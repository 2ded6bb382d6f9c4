"""The operator of the stage `nodules`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.nodules import Nodule, measure_nodules
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Volume
from operators.stage_operator import StageOperator


class NodulesOperator(StageOperator):
    """Measures what was outlined.

    Input ports:
        volume: `Volume`.
        lungs: `Lungs`.
        outlines: `Outlines`.

    Output ports:
        nodules: `tuple[Nodule, ...]`.
    """

    stage: ClassVar[str] = "nodules"
    inputs: ClassVar[tuple[str, ...]] = ("volume", "lungs", "outlines")
    output: ClassVar[str] = "nodules"

    def run(self, *, volume: Volume, lungs: Lungs, outlines: Outlines) -> tuple[Nodule, ...]:
        """See `lung_nodules.stages.nodules.measure_nodules`."""
        return measure_nodules(volume, lungs, outlines, self.task.settings)
