"""Progress of long work: a bar on a terminal, log lines elsewhere, silence in tests."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

Advance = Callable[[int], None]

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """What a long computation reports to."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Enter one stage of `total` steps (None: not known); the value is called with the steps just done.

        A stage that is entered within another one says how far that one is: the outer keeps its name and its time.
        """
        ...

    def note(self, text: str) -> None:
        """Say a word on how the stage under way goes, such as its rate; the latest word stands."""
        ...


class SilentProgress:
    """Reports nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Progress.stage`."""
        yield lambda steps: None

    def note(self, text: str) -> None:
        """See `Progress.note`."""


class LogProgress:
    """Plain log lines, for where there is no terminal: files, containers, services.

    The end of a stage is one line with its seconds, and a long one is heard of about every `interval_s`.

    Args:
        interval_s: Shortest time between two lines of one stage, seconds.
    """

    def __init__(self, interval_s: float = 10.0) -> None:
        self._interval_s = interval_s
        self._under_way = ""
        self._note = ""

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Progress.stage`."""
        if self._under_way:
            yield self._counter(self._under_way, total)
            return
        self._under_way = name
        begun = time.monotonic()
        try:
            yield self._counter(name, total)
            logger.info("%s: %.1f s", name, time.monotonic() - begun)
        finally:
            self._under_way = self._note = ""

    def note(self, text: str) -> None:
        """See `Progress.note`; it stands at the end of the lines."""
        self._note = f", {text}"

    def _counter(self, name: str, total: int | None) -> Advance:
        done = 0
        last_line = time.monotonic()

        def advance(steps: int) -> None:
            nonlocal done, last_line
            done += steps
            if time.monotonic() - last_line >= self._interval_s:
                last_line = time.monotonic()
                logger.info("%s: %d of %s%s", name, done, "?" if total is None else total, self._note)

        return advance


class RichProgress:
    """A bar for the stage under way, and a line with its seconds for each one done, on standard error.

    Args:
        console: Where to draw; standard error when not given.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True)
        self._under_way: tuple[Bars, TaskID] | None = None

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Progress.stage`."""
        if self._under_way:
            bars, task = self._under_way
            bars.reset(task, total=total, completed=0)
            yield lambda steps: bars.update(task, advance=steps)
            return
        begun = time.monotonic()
        with _bars(self._console) as bars:
            task = bars.add_task(name, total=total, note="")
            self._under_way = bars, task
            try:
                yield lambda steps: bars.update(task, advance=steps)
            finally:
                self._under_way = None
        self._console.print(f"  {name:<16}{time.monotonic() - begun:7.1f} s", style="dim", highlight=False)

    def note(self, text: str) -> None:
        """See `Progress.note`; it stands beside the bar."""
        if self._under_way:
            bars, task = self._under_way
            bars.update(task, note=text)


def _bars(console: Console) -> Bars:
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    name, note = TextColumn("{task.description:<16}"), TextColumn("{task.fields[note]}", style="dim")
    return Bars(SpinnerColumn(), name, BarColumn(), TimeElapsedColumn(), note, console=console, transient=True)


def choose_progress() -> Progress:
    """A bar where standard error is a terminal, else log lines."""
    return RichProgress() if sys.stderr.isatty() else LogProgress()
