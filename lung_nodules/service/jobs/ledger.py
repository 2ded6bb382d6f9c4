"""What a worker may write about the attempt that it makes, and nothing about any other.

An attempt is named by its *lease*. Every write names it, and changes nothing when the job has another one by then: the
worker was taken for lost, and somebody else reads the study. Its late success is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import errors
from psycopg.types.json import Jsonb

from lung_nodules.service.database.pool import Connection, Pool
from lung_nodules.service.jobs.desk import NUMBER_VERSION
from lung_nodules.service.jobs.model import Job, JobState, JobSummary, Reason, Step
from lung_nodules.service.jobs.rows import COLUMNS, label_of, read_job
from lung_nodules.service.jobs.tickets import issue_ticket


class LeaseLost(Exception):  # noqa: N818  # no error: another attempt is under way, or the job is gone
    """This attempt no longer counts."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a job."""

    job: Job  # as it was when the attempt began
    lease: UUID


async def claim(pool: Pool, job_id: UUID, ticket: int | None) -> Attempt | None:
    """Begin an attempt; None where the ticket is not, or no longer, the job's."""
    lease = uuid4()
    change = (
        "state = 'running', lease = %s, attempts = attempts + 1, started_at = now(), beat_at = now(), progress = 0,"
        " stage = '', reason = NULL"
    )
    condition = "id = %s AND ticket = %s AND state = 'queued'"
    query = f"UPDATE jobs SET {change} WHERE {condition} RETURNING {COLUMNS}"  # noqa: S608
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
        row = await _write(connection, attempt, "beat_at = now()")
    return bool(row["cancel_requested"])


async def tell_progress(pool: Pool, attempt: Attempt, step: Step, progress: float, stage: str) -> None:
    """Say how far the attempt is.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    share = min(max(progress, 0.0), 1.0)
    change = "beat_at = now(), step = %s, progress = %s, stage = %s"
    async with pool.connection() as connection:
        await _write(connection, attempt, change, step.value, share, stage)


async def enter_step(pool: Pool, attempt: Attempt, step: Step) -> None:
    """Go on to a step; what failed in the one before is forgiven.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    change = (
        "beat_at = now(), failures = CASE WHEN step IS DISTINCT FROM %s THEN 0 ELSE failures END, step = %s, stage = ''"
    )
    async with pool.connection() as connection:
        await _write(connection, attempt, change, step.value, step.value)


async def learn_content(pool: Pool, attempt: Attempt, study_instance_uid: str, content_hash: str) -> UUID | None:
    """Note what a job's study holds, and end the job where another one has it already.

    Returns:
        That other job, in which case the attempt is over; None to go on.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    key = f"study:{study_instance_uid}"
    change = "study_key = %s, label = %s, content_hash = %s"
    while True:
        async with pool.connection() as connection, connection.transaction():
            try:
                async with connection.transaction():
                    await _write(connection, attempt, change, key, label_of(key), content_hash)
                    await _write(connection, attempt, NUMBER_VERSION)
                    return None
            except errors.UniqueViolation:
                other = await _find_other(connection, attempt, key, content_hash)
                if other is None:
                    continue  # it has just ended otherwise
                over = "state = 'done', lease = NULL, finished_at = now(), progress = 1, stage = '', duplicate_of = %s"
                await _write(connection, attempt, f"{change}, {over}", key, label_of(key), content_hash, other)
                return other


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
    values = (state.value, _json(reason), int(counts_as == "crashes"), state is JobState.done)
    async with pool.connection() as connection:
        await _write(connection, attempt, change, *values)


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
        await _write(connection, attempt, "summary = %s", _json(summary))
        await asyncio.to_thread(put_in_place)


async def note_stored(pool: Pool, attempt: Attempt, num_stored: int | None) -> None:
    """Keep how many objects the destinations have confirmed.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    change = "summary = summary || jsonb_build_object('num_stored', %s::integer)"
    async with pool.connection() as connection:
        await _write(connection, attempt, change, num_stored)


async def read_failures(pool: Pool, attempt: Attempt) -> int:
    """How often the step under way has failed before, for reasons that can heal.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    async with pool.connection() as connection:
        row = await _write(connection, attempt, "beat_at = now()")
    return int(row["failures"])


async def put_back(
    pool: Pool, attempt: Attempt, delay: timedelta, reason: Reason | None, *, counts_as: str | None
) -> None:
    """Queue the job again, with a new ticket.

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
    assert counts_as in ("crashes", "failures", "losses", None)
    counts = f"{counts_as} = {counts_as} + 1, " if counts_as else ""
    change = f"{counts}state = 'queued', lease = NULL, progress = 0, stage = '', reason = %s"
    query = f"UPDATE jobs SET {change} WHERE id = %s AND lease = %s RETURNING priority"  # noqa: S608
    try:
        async with connection.transaction():
            row = await (await connection.execute(query.encode(), (_json(reason), job_id, lease))).fetchone()
    except errors.UniqueViolation:
        await _give_way(connection, job_id, lease)
        return
    if row is None:
        raise LeaseLost
    await issue_ticket(connection, job_id, row["priority"], delay)


async def _give_way(connection: Connection, job_id: UUID, lease: UUID) -> None:
    query = (
        "UPDATE jobs SET state = 'done', lease = NULL, finished_at = now(), stage = '', duplicate_of = (SELECT o.id"
        " FROM jobs o WHERE o.study_key = jobs.study_key AND o.models_hash = jobs.models_hash AND o.id <> jobs.id"
        " AND o.content_hash IS NULL AND o.state = 'queued') WHERE id = %s AND lease = %s"
    )
    await connection.execute(query.encode(), (job_id, lease))


async def _find_other(connection: Connection, attempt: Attempt, key: str, content_hash: str) -> UUID | None:
    cursor = await connection.execute(
        "SELECT id FROM jobs WHERE study_key = %s AND content_hash = %s AND models_hash = %s AND id <> %s"
        " AND duplicate_of IS NULL AND NOT pruned AND state IN ('queued', 'running', 'done', 'refused', 'set_aside')",
        (key, content_hash, attempt.job.models_hash, attempt.job.id),
    )
    row = await cursor.fetchone()
    return row["id"] if row else None


async def _write(connection: Connection, attempt: Attempt, change: str, *values: object) -> dict[str, Any]:
    query = f"UPDATE jobs SET {change} WHERE id = %s AND lease = %s RETURNING cancel_requested, failures"  # noqa: S608
    cursor = await connection.execute(query.encode(), (*values, attempt.job.id, attempt.lease))
    row = await cursor.fetchone()
    if row is None:
        raise LeaseLost
    return row


def _json(model: Reason | JobSummary | None) -> Jsonb | None:
    return None if model is None else Jsonb(model.model_dump())
