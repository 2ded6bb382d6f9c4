"""The operator of the stage `volume`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.series import Selection
from lung_nodules.stages.volume import Volume, build_volume
from operators.stage_operator import StageOperator


class VolumeOperator(StageOperator):
    """Builds the volume in Hounsfield units.

    Input ports:
        selection: `Selection`.

    Output ports:
        volume: `Volume`.
    """

    stage: ClassVar[str] = "volume"
    inputs: ClassVar[tuple[str, ...]] = ("selection",)
    output: ClassVar[str] = "volume"

    def run(self, *, selection: Selection) -> Volume:
        """See `lung_nodules.stages.volume.build_volume`."""
        return build_volume(selection, self.task.settings)
