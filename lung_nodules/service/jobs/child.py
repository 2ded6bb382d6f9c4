"""The process that has the studies in its hands: a worker's child, which may be killed or crash at any moment.

It reads orders from standard input, one JSON document a line, and answers on what was standard output: how far it is,
and how it ended. What libraries print goes to standard error. It ends when its worker does, however that ends.
"""

from __future__ import annotations

import ctypes
import errno
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.errors import InputRefusal, InternalError, ModelRefusal, OutputRefusal, Refusal
from lung_nodules.execution import set_up_logging
from lung_nodules.progress import Advance
from lung_nodules.service.jobs.model import Job
from lung_nodules.service.jobs.steps import Steps
from lung_nodules.service.settings import ServiceSettings

logger = logging.getLogger("lung_nodules.service.jobs.child")  # as a program it is called __main__

# Share of the time that the stages of the line take, roughly.
_WEIGHTS = {
    **{"networks": 2, "instances": 4, "series": 4, "volume": 8, "lungs": 18, "quality": 1, "detection": 30},
    **{"segmentation": 20, "nodules": 2, "classification": 6, "report": 1, "results": 8},
}
# Beside those of archives.
_HEALING = ("output-not-written", "connection-broken", "models-changed", "archive-not-configured")
_DISK_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)  # full, or a share that is away
_PR_SET_PDEATHSIG = 1


class TellingProgress:
    """A `Progress` that tells the worker the stage, and which share of all is done.

    Args:
        tell: Takes share and stage.
        interval_s: Least time between two tellings of one stage, seconds.
    """

    def __init__(self, tell: Any, interval_s: float) -> None:
        self._tell = tell
        self._interval_s = interval_s
        self._stage = ""
        self._before = 0.0

    @contextmanager
    def stage(self, name: str, total: int | None = None) -> Iterator[Advance]:
        """See `Progress.stage`."""
        if self._stage:
            yield self._counter(total)
            return
        self._stage = name
        self._tell(self._before, name)
        try:
            yield self._counter(total)
            self._before = min(self._before + self._share(), 1.0)
        finally:
            self._stage = ""

    def note(self, text: str) -> None:
        """See `Progress.note`; not told."""

    def _share(self) -> float:
        return _WEIGHTS.get(self._stage, 0) / sum(_WEIGHTS.values())

    def _counter(self, total: int | None) -> Advance:
        done, last = 0, time.monotonic()
        share = self._share() or 1.0  # a step of one stage

        def advance(steps: int) -> None:
            nonlocal done, last
            done += steps
            if total and time.monotonic() - last >= self._interval_s:
                last = time.monotonic()
                self._tell(self._before + share * min(done / total, 1.0), self._stage)

        return advance


def main() -> None:
    """Answer orders until the worker ends."""
    _end_with_parent()
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    orders = _read_orders()
    settings = ServiceSettings(**orders.get())
    set_up_logging(settings.log_level)
    steps = Steps(settings)
    while True:
        order = orders.get()
        answer = _carry_out(steps, settings, order, answers)
        _write(answers, order, answer)


def _carry_out(steps: Steps, settings: ServiceSettings, order: Mapping[str, Any], answers: IO[str]) -> dict[str, Any]:
    def tell(share: float, stage: str) -> None:
        _write(answers, order, {"share": share, "stage": stage})

    progress = TellingProgress(tell, settings.workers.progress_s)
    try:
        return {"result": dict(_do(steps, order, progress))}
    except Refusal as refusal:
        return _describe(refusal)
    except MemoryError:
        raise  # a crash, as if the system had ended us
    except (ConnectionError, TimeoutError):
        return _describe(Refusal("connection-broken", f"A connection broke in the step {order['step']}."))
    except OSError as error:
        if error.errno not in _DISK_FAILURES:
            return _describe_defect(error, order)
        sentence = f"The disk of the service is full or fails in the step {order['step']}."
        return _describe(OutputRefusal("output-not-written", sentence, "Make room for the data folder."))
    except Exception as error:  # the edge
        return _describe_defect(error, order)


def _describe_defect(error: Exception, order: Mapping[str, Any]) -> dict[str, Any]:
    """A defect of ours becomes a sentence; the log has where it arose, and never its text, which may quote a study."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("The step %s failed: %s at\n%s", order["step"], type(error).__name__, where)
    return _describe(InternalError(error, str(order["step"])), is_lasting=False)


def _do(steps: Steps, order: Mapping[str, Any], progress: TellingProgress) -> Mapping[str, Any]:
    job = Job.model_validate(order["job"])
    match order["step"]:
        case "survey":
            return steps.survey(job, progress)
        case "fetch":
            return steps.fetch(job, progress, Path(order["into"]))
        case "analyse":
            folder, into = Path(order["folder"]), Path(order["into"])
            return steps.analyse(job, progress, folder, order["content_hash"], into, order["earlier"])
        case "store":
            return steps.store(job, progress)
    raise ValueError(order["step"])


def _describe(refusal: Refusal, *, is_lasting: bool = True) -> dict[str, Any]:
    """A refusal as data, as `StepRefused` has it."""
    reason = {"code": refusal.code, "sentence": refusal.sentence, "advice": refusal.advice}
    is_ours = isinstance(refusal, ModelRefusal) or refusal.code == "bad-settings"
    heals = is_ours or (isinstance(refusal, ArchiveRefusal) and refusal.heals) or refusal.code in _HEALING
    at_fault = is_lasting and (isinstance(refusal, InputRefusal) or refusal.code == "study-not-found")
    return {"refused": reason, "heals": heals, "input": at_fault, "exit_code": refusal.exit_code if is_ours else None}


def _write(answers: IO[str], order: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """An answer bears its order's number, so that it cannot be taken for that to another."""
    answers.write(json.dumps({**answer, "number": order["number"]}) + "\n")
    answers.flush()


def _read_orders() -> queue.SimpleQueue[Any]:
    """Orders as they come; the end of standard input is the end of the worker, and ours."""
    orders: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            orders.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, name="orders", daemon=True).start()
    return orders


def _end_with_parent() -> None:
    """Let the kernel end us when our worker is gone, and take us first when memory runs out (both: Linux)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the supervisor
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("600", encoding="ascii")


if __name__ == "__main__":
    main()
