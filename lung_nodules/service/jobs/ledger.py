"""What a worker may write about the attempt that it makes, and nothing about any other.

An attempt is named by its *lease*. Every write names it, and changes nothing when the job has another one by then: the
worker was taken for lost, and somebody else reads the study. Its late success is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import errors
from psycopg.types.json import Jsonb

from lung_nodules.service.database.pool import Connection, Pool
from lung_nodules.service.jobs.duplicates import give_way
from lung_nodules.service.jobs.lease import Attempt, LeaseLost, write
from lung_nodules.service.jobs.model import JobState, JobSummary, Reason, Step
from lung_nodules.service.jobs.rows import COLUMNS, FORGIVEN, SETTLE_EARLIER_DOCUMENT, read_job
from lung_nodules.service.jobs.tickets import issue_ticket

_STEPS = list(Step)
_COUNTS = {
    "crashes": "crashes = crashes + 1, ",
    "losses": "losses = losses + 1, ",
    "failures": "failures = failures + 1, failing_since = COALESCE(failing_since, now()),"
    " failing_step = COALESCE(failing_step, step), ",
}


async def claim(pool: Pool, job_id: UUID, ticket: int | None) -> Attempt | None:
    """Begin an attempt; None where the ticket is not, or no longer, the job's."""
    lease = uuid4()
    change = (
        "state = 'running', lease = %s, attempts = attempts + 1, started_at = now(), beat_at = now(), progress = 0,"
        " stage = '', reason = NULL"
    )
    condition = "id = %s AND ticket = %s AND state = 'queued'"
    query = f"UPDATE jobs SET {change} WHERE {condition} RETURNING {COLUMNS}"  # noqa: S608  # of constants of ours; values are parameters
    async with pool.connection() as connection:
        row = await (await connection.execute(query.encode(), (lease, job_id, ticket))).fetchone()
    return Attempt(read_job(row), lease) if row else None


async def beat(pool: Pool, attempt: Attempt) -> bool:
    """Give a sign of life.

    Returns:
        Whether somebody wants the job to end.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    async with pool.connection() as connection:
        row = await write(connection, attempt, "beat_at = now()")
    return bool(row["cancel_requested"])


async def tell_progress(pool: Pool, attempt: Attempt, step: Step, progress: float, stage: str) -> None:
    """Say how far the attempt is.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    share = min(max(progress, 0.0), 1.0)
    change = "beat_at = now(), step = %s, progress = %s, stage = %s"
    async with pool.connection() as connection:
        await write(connection, attempt, change, step.value, share, stage)


async def enter_step(pool: Pool, attempt: Attempt, step: Step) -> None:
    """Go on to a step; failures are forgiven when it is beyond the one that they began in.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    async with pool.connection() as connection, connection.transaction():
        row = await write(connection, attempt, "beat_at = now(), step = %s, stage = ''", step.value)
        if row["failing_step"] in _STEPS[: _STEPS.index(step)]:
            await write(connection, attempt, FORGIVEN)


async def finish(
    pool: Pool, attempt: Attempt, state: JobState, reason: Reason | None = None, *, counts_as: str | None = None
) -> None:
    """End the job.

    Args:
        pool: Of the worker.
        attempt: The one that is over.
        state: How it ended.
        reason: Why.
        counts_as: ``crashes``, or None where nothing crashed.

    Raises:
        LeaseLost: The attempt no longer counts; nothing was changed.
    """
    change = (
        "state = %s, lease = NULL, finished_at = now(), stage = '', reason = %s, crashes = crashes + %s,"
        " progress = CASE WHEN %s THEN 1 ELSE progress END"
    )
    if state is JobState.done:
        change = f"{change}, {FORGIVEN}"
    values = (state.value, _json(reason), int(counts_as == "crashes"), state is JobState.done)
    async with pool.connection() as connection:
        await write(connection, attempt, change, *values)


async def settle_earlier_document(
    pool: Pool, attempt: Attempt, destinations: Sequence[str]
) -> Mapping[str, Any] | None:
    """The SR of the version of the study before; the same for each attempt at the job's content.

    Args:
        pool: Of the worker.
        attempt: The one that is about to read the study.
        destinations: Names of the archives that the results will go to.

    Returns:
        The fields of an `EarlierDocument`; None where no version before is done and in one of these archives.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    async with pool.connection() as connection:
        row = await write(connection, attempt, SETTLE_EARLIER_DOCUMENT, list(destinations))
    earlier: Mapping[str, Any] | None = row["earlier_document"]
    return earlier


async def accept_results(pool: Pool, attempt: Attempt, summary: JobSummary, put_in_place: Callable[[], None]) -> None:
    """Keep what the report comes to, and put the results in their place while the job is this attempt's.

    The job's row is locked meanwhile: whoever deletes the job, or takes it from a lost worker, comes before or after.

    Args:
        pool: Of the worker.
        attempt: The one that has read the study.
        summary: Of the report.
        put_in_place: Called once more where the database was lost in the middle.

    Raises:
        LeaseLost: The attempt no longer counts; nothing was put anywhere.
    """
    async with pool.connection() as connection, connection.transaction():
        await write(connection, attempt, "summary = %s", _json(summary))
        placing = asyncio.create_task(asyncio.to_thread(put_in_place))
        try:
            await asyncio.shield(placing)
        except asyncio.CancelledError:  # a thread goes on: the row stays locked until it has ended
            await placing
            raise


async def note_stored(
    pool: Pool, attempt: Attempt, num_stored: int, document: Mapping[str, Any] | None, destinations: Sequence[str]
) -> None:
    """Keep what the destinations have confirmed.

    Args:
        pool: Of the worker.
        attempt: The one that has stored the results.
        num_stored: Objects.
        document: The SR among them, as the fields of an `EarlierDocument`.
        destinations: Names of the archives; all have confirmed all.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    change = "summary = summary || jsonb_build_object('num_stored', %s::integer), document = %s, stored_in = %s::text[]"
    named = None if document is None else Jsonb(document)
    async with pool.connection() as connection:
        await write(connection, attempt, change, num_stored, named, list(destinations))


async def read_failures(pool: Pool, attempt: Attempt) -> tuple[int, float]:
    """How often the job has failed without coming further, for reasons that can heal, and since how many seconds.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    async with pool.connection() as connection:
        row = await write(connection, attempt, "beat_at = now()")
    since = row["failing_since"] or row["now"]
    return row["failures"], (row["now"] - since).total_seconds()


async def put_back(
    pool: Pool, attempt: Attempt, delay: timedelta, reason: Reason | None, *, counts_as: str | None
) -> None:
    """Queue the job again, with a new ticket; where somebody wants it to end, end it as cancelled.

    Args:
        pool: Of the worker.
        attempt: The one that is over.
        delay: Before the next one.
        reason: Why, for whoever looks at it meanwhile.
        counts_as: ``crashes``, ``failures``, or None where nothing went wrong.

    Raises:
        LeaseLost: The attempt no longer counts; nothing was changed.
    """
    async with pool.connection() as connection, connection.transaction():
        await put_back_within(connection, attempt.job.id, attempt.lease, delay, reason, counts_as)


async def put_back_within(
    connection: Connection, job_id: UUID, lease: UUID, delay: timedelta, reason: Reason | None, counts_as: str | None
) -> None:
    """As `put_back`, in a transaction of the caller's; also for a worker that was lost (``losses``).

    A job that was queued anew for the same study meanwhile, before its content is known, takes this one's place.
    """
    wanted = "SELECT priority, cancel_requested FROM jobs WHERE id = %s AND lease = %s FOR UPDATE"
    row = await (await connection.execute(wanted, (job_id, lease))).fetchone()
    if row is None:
        raise LeaseLost
    counts = "" if counts_as is None else _COUNTS[counts_as]
    if row["cancel_requested"]:
        over = f"{counts}state = 'cancelled', lease = NULL, finished_at = now(), stage = '', reason = NULL"
        await connection.execute(f"UPDATE jobs SET {over} WHERE id = %s".encode(), (job_id,))  # noqa: S608  # of constants of ours; values are parameters
        return
    change = f"{counts}state = 'queued', lease = NULL, progress = 0, stage = '', reason = %s"
    query = f"UPDATE jobs SET {change} WHERE id = %s"  # noqa: S608  # of constants of ours; values are parameters
    while True:
        try:
            async with connection.transaction():
                await connection.execute(query.encode(), (_json(reason), job_id))
        except errors.UniqueViolation:
            if await give_way(connection, job_id, lease):
                return
        else:
            break
    await issue_ticket(connection, job_id, row["priority"], delay)


def _json(model: Reason | JobSummary | None) -> Jsonb | None:
    return None if model is None else Jsonb(model.model_dump())
