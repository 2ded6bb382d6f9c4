"""One way to take the time of a stage, for the pipeline, the graph and the benchmark alike."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lung_nodules.progress import Advance, Progress, SilentProgress


class Stopwatch:
    """A `Progress` that also keeps what each stage took; it passes on all that it is told.

    Args:
        progress: What is told; nothing by default.
    """

    def __init__(self, progress: Progress | None = None) -> None:
        self._progress = progress or SilentProgress()
        self._seconds: dict[str, float] = {}
        self._peak_mib: dict[str, float] = {}
        self._under_way: str | None = None

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Progress.stage`. A stage entered twice adds up; one that raises keeps its name in `under_way`."""
        if self._under_way is not None:
            with self._progress.stage(name, total) as advance:
                yield advance
            return
        self._under_way = name
        begun = time.perf_counter()
        with self._progress.stage(name, total) as advance:
            yield advance
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - begun
        self._peak_mib[name] = peak_memory_mib()
        self._under_way = None

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._progress.note(text)

    @property
    def under_way(self) -> str:
        """The stage that has begun and not ended: after an exception, the one that raised it. Empty between stages."""
        return self._under_way or ""

    @property
    def seconds(self) -> dict[str, float]:
        """Wall seconds by stage, in the order in which they ended."""
        return dict(self._seconds)

    @property
    def peak_mib(self) -> dict[str, float]:
        """Largest resident memory of the process up to the end of each stage, MiB."""
        return dict(self._peak_mib)


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, MiB (Linux counts it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
