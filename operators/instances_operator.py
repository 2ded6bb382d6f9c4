"""The operator of the stage `instances`."""

from __future__ import annotations

from typing import ClassVar

from lung_nodules.stages.instances import Instances, read_instances
from operators.stage_operator import StageOperator


class InstancesOperator(StageOperator):
    """Reads the headers of everything under the input folder.

    Output ports:
        instances: `Instances`.
    """

    stage: ClassVar[str] = "instances"
    output: ClassVar[str] = "instances"

    def run(self) -> Instances:
        """See `lung_nodules.stages.instances.read_instances`."""
        return read_instances(self.task.input_folder, self.task.settings)
