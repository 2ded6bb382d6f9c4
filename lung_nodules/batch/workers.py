"""Studies shared out among processes on this machine.

Our own, because `concurrent.futures.ProcessPoolExecutor` and joblib's give up everything when one process dies, and
have no time limit: here a study whose process dies or takes too long is a row with its reason, and another process
takes the place. Each process reads one study at a time on its share of the cores.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from lung_nodules.batch.plan import BatchStudy, Plan
from lung_nodules.batch.reading import BatchRefusal, Outcome, note_failure, read_study
from lung_nodules.errors import OutputRefusal

OnOutcome = Callable[[Outcome], None]

_context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang


def read_with_processes(studies: Iterable[BatchStudy], plan: Plan, num_workers: int, on_outcome: OnOutcome) -> None:
    """Read studies, `num_workers` at a time, and tell how each ended as it ends.

    Whoever leaves early, by an exception of `on_outcome` or an interrupt, ends the processes.
    """
    waiting = deque(studies)
    shares = share_cores(num_workers)
    seats = [_Seat(plan, share) for share in shares[: max(1, len(waiting))]]
    try:
        while any(_fill(seats, waiting)):
            for seat in _ready(seats):
                on_outcome(seat.outcome())
    finally:
        for seat in seats:
            seat.end()


def share_cores(num_workers: int) -> list[list[int]]:
    """The cores of each worker: its own where there are enough of them, else all."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < num_workers:
        return [cores] * num_workers
    return [cores[index::num_workers] for index in range(num_workers)]


class _Seat:
    """A place for one process, and the study that it is at; a process that dies is replaced when there is work."""

    def __init__(self, plan: Plan, cores: Sequence[int]) -> None:
        self._plan = plan
        self._cores = cores
        self._process: SpawnProcess | None = None
        self.connection: Connection | None = None
        self.study: BatchStudy | None = None
        self._begun = 0.0

    def take(self, study: BatchStudy) -> None:
        """Hand a study to the process, a new one if need be."""
        if self._process is None or not self._process.is_alive():
            self._start()
        assert self.connection is not None
        self.study, self._begun = study, time.monotonic()
        self.connection.send(study)

    def seconds_left(self) -> float | None:
        """Until the study has taken too long; None: no limit."""
        limit = self._plan.time_limit_s
        return None if limit is None else max(0.0, self._begun + limit - time.monotonic())

    def outcome(self) -> Outcome:
        """How the study ended, once the connection can be read or the time is up."""
        assert self.study is not None
        assert self.connection is not None
        study, self.study = self.study, None
        if not self.connection.poll():
            self.end()
            limit = self._plan.time_limit_s
            return self._failed(study, BatchRefusal("time-limit", f"It took longer than {limit:g} s."))
        try:
            outcome: Outcome = self.connection.recv()
        except EOFError:
            self.end()
            code = self._exit_code
            return self._failed(study, BatchRefusal("worker-died", f"The process that read it ended with {code}."))
        return outcome

    def end(self) -> None:
        """End the process, if there is one."""
        if self._process is not None and self.connection is not None:
            self.connection.close()
            self._process.terminate()
            self._process.join(5)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._exit_code = self._process.exitcode
            self._process = self.connection = None

    def _failed(self, study: BatchStudy, refusal: BatchRefusal) -> Outcome:
        return Outcome(note_failure(study, self._plan, refusal, seconds=time.monotonic() - self._begun), is_new=True)

    def _start(self) -> None:
        ours, theirs = _context.Pipe()
        self._process = _context.Process(target=_serve, args=(theirs, self._plan, self._cores), daemon=True)
        self._process.start()
        theirs.close()  # so that the death of the process is the end of what can be read
        self.connection = ours


def _fill(seats: Sequence[_Seat], waiting: deque[BatchStudy]) -> list[bool]:
    """Give each free seat a study; tell for each seat whether it is at one."""
    for seat in seats:
        if seat.study is None and waiting:
            seat.take(waiting.popleft())
    return [seat.study is not None for seat in seats]


def _ready(seats: Sequence[_Seat]) -> list[_Seat]:
    """Wait until at least one seat has an outcome."""
    busy = [seat for seat in seats if seat.study is not None and seat.connection is not None]
    limits = [left for left in (seat.seconds_left() for seat in busy) if left is not None]
    readable = wait([seat.connection for seat in busy if seat.connection], min(limits, default=None))
    return [seat for seat in busy if seat.connection in readable or seat.seconds_left() == 0.0]


def _serve(connection: Connection, plan: Plan, cores: Sequence[int]) -> None:
    """What a process does: read what comes, one study after another, until nobody is there to listen."""
    from lung_nodules.execution import end_on_signals

    os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = str(len(cores))
    end_on_signals()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    while True:
        try:
            study = connection.recv()
        except EOFError:
            return
        try:
            outcome = read_study(study, plan)
        except OutputRefusal:
            return  # who shares out the studies meets the same, when it notes that this process ended
        connection.send(outcome)


def _end_with_parent() -> None:
    """End at once when the process that shares out the studies is gone, however it went."""
    from lung_nodules import publication

    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    publication.abandon()
    os._exit(1)
