"""A user who stops a run: progress that raises in the middle of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stopped(Exception):  # noqa: N818  # stands for Ctrl-C
    """The user stopped the run."""


class InterruptingProgress:
    """Ends a run in a stage, after as many of its steps; steps of other stages do not count."""

    def __init__(self, steps: int, stage: str = "training") -> None:
        self.left, self.counted = steps, stage

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        def advance(steps: int) -> None:
            if name == self.counted:
                self.left -= steps
            if self.left <= 0:
                raise Stopped

        yield advance

    def note(self, text: str) -> None:
        pass
