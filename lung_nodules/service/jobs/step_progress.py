"""How far a job is, from what its steps tell."""

from __future__ import annotations

import time

from lung_nodules.service.database.pool import Pool
from lung_nodules.service.jobs import ledger
from lung_nodules.service.jobs.child_link import Tell
from lung_nodules.service.jobs.lease import Attempt
from lung_nodules.service.jobs.model import Step
from lung_nodules.service.jobs.patience import patiently

# Where each step begins and ends in a job's progress.
_SPANS = {Step.fetch: (0.0, 0.25), Step.analyse: (0.25, 0.9), Step.store: (0.9, 1.0)}


def make_teller(pool: Pool, attempt: Attempt, step: Step, progress_s: float) -> Tell:
    """What is called with a step's progress; writes it down every `progress_s` and at each new stage."""
    begin, end = _SPANS[step]
    last_at, last_stage = 0.0, ""

    async def tell(share: float, stage: str) -> None:
        nonlocal last_at, last_stage
        now = time.monotonic()
        if now - last_at < progress_s and (stage == last_stage or now - last_at < 0.1):
            return
        last_at, last_stage = now, stage
        whole = begin + (end - begin) * share
        await patiently(lambda: ledger.tell_progress(pool, attempt, step, whole, stage))

    return tell
