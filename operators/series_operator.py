"""The operator of the stage `series`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.instances import Instances
from lung_nodules.stages.series import Selection, select_series
from operators.stage_operator import StageOperator


class SeriesOperator(StageOperator):
    """Chooses the series to read.

    Input ports:
        instances: `Instances`.

    Output ports:
        selection: `Selection`.
    """

    stage: ClassVar[str] = "series"
    inputs: ClassVar[tuple[str, ...]] = ("instances",)
    output: ClassVar[str] = "selection"

    def run(self, *, instances: Instances) -> Selection:
        """See `lung_nodules.stages.series.select_series`."""
        return select_series(instances, self.task.settings)
