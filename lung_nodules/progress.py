"""Progress of long work: a bar on a terminal, log lines elsewhere, silence in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """What a long computation reports to."""

    def stage(self, name: str, total: int | None = None) -> AbstractContextManager[Advance]:
        """Enter one stage of `total` steps (None: not known); the value is called with the steps just done."""
        ...


class SilentProgress:
    """Reports nothing."""

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Progress.stage`."""
        yield lambda steps: None
