"""What all operators share: ports by name, and the time of the stage."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext

from lung_nodules.execution import Task


class StageOperator(Operator):
    """An operator around one stage of the line.

    A subclass names its ports and implements `run`, which gets one message an input port and returns the message for
    the output port. Messages are the stages' own frozen dataclasses and pass by reference.

    Args:
        fragment: The application.
        args: Conditions.
        task: What this run reads and where it writes, its networks, settings and stopwatch.
        kwargs: Arguments of `Operator`, among them `name`.
    """

    stage: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]] = ()
    output: ClassVar[str] = ""

    def __init__(self, fragment: Fragment, *args: Any, task: Task, **kwargs: Any) -> None:
        self.task = task
        super().__init__(fragment, *args, name=self.stage, **kwargs)  # the base calls setup

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the ports."""
        for port in self.inputs:
            spec.input(port)
        if self.output:
            spec.output(self.output)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Take one message from each input port, run the stage, hand on what it gives."""
        received = {port: op_input.receive(port) for port in self.inputs}
        with self.task.watch.stage(self.stage):
            result = self.run(**received)
        if self.output:
            op_output.emit(result, self.output)

    @abstractmethod
    def run(self, *args: Any, **received: Any) -> Any:
        """Call the stage's function on the messages, named as their ports."""
