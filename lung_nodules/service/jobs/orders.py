"""From an order to a job: the one that is there already, or a new one with its ticket."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from lung_nodules.service.database.pool import Connection
from lung_nodules.service.jobs.model import Job, JobOrder, JobState, QueueFull, Source
from lung_nodules.service.jobs.rows import COLUMNS, label_of, read_job, study_key
from lung_nodules.service.jobs.tickets import issue_ticket, reissue_ticket
from lung_nodules.service.jobs.versions import NUMBER_VERSION, lock_study, make_newest
from lung_nodules.service.settings import QueueSettings

_LOCK = 7_314_908_115  # one at a time counts what waits and adds to it
_STANDS = (
    "state IN ('queued', 'running', 'done', 'refused', 'set_aside')"
    " OR state IN ('failed', 'cancelled') AND step = 'store' OR state = 'cancelled' AND submitted_by = %s"
)


async def find_same(connection: Connection, order: JobOrder, models_hash: str) -> Job | None:
    """The job that an order would double; a more urgent order makes one that waits more urgent.

    A job that ended while its results were stored has read the study: it is to be tried again, and the study not to be
    read anew. What was cancelled stays so for who had submitted it: a feed may tell of the same content twice. However
    it stands, it is the newest version then: the study holds its content.

    The study's lock is held when this returns.
    """
    key = study_key(order.source)
    await lock_study(connection, key)
    if order.content_hash is None:
        condition, values = "content_hash IS NULL AND state = 'queued'", []
    else:
        condition = f"content_hash = %s AND NOT pruned AND ({_STANDS})"
        values = [order.content_hash, order.submitted_by]
    query = (
        f"SELECT {COLUMNS}, ticket FROM jobs WHERE study_key = %s AND models_hash = %s AND {condition}"  # noqa: S608  # of constants of ours; values are parameters
        " ORDER BY state IN ('failed', 'cancelled'), number DESC LIMIT 1 FOR UPDATE"
    )
    row = await fetch(connection, query, key, models_hash, *values)
    if row is None:
        return None
    newest = await make_newest(connection, row["id"])
    if row["state"] == JobState.queued and order.priority > row["priority"]:
        await reissue_ticket(connection, row["id"], row["ticket"], order.priority)
        return await change(connection, row["id"], "priority = %s", order.priority)
    return newest or read_job(row)


async def insert(connection: Connection, order: JobOrder, models_hash: str) -> Job | None:
    """A new job with its ticket, under the study's lock; None where somebody else has just made the same."""
    key, job_id = study_key(order.source), uuid4()
    source = Jsonb(order.source.model_dump(exclude_none=True))
    row = await fetch(
        connection,
        "INSERT INTO jobs (id, source, study_key, label, priority, content_hash, models_hash, submitted_by)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
        *(job_id, source, key, label_of(key), order.priority),
        *(order.content_hash, models_hash, order.submitted_by),
    )
    if row is None:
        return None
    await issue_ticket(connection, job_id, order.priority)
    return await change(connection, job_id, NUMBER_VERSION)


async def refuse_when_full(connection: Connection, queue: QueueSettings) -> None:
    """Raise `QueueFull` when as many wait as may; no other submission adds to them until the transaction ends.

    A study, or a job's row, is locked before the queue and never after it, so that nobody waits in a circle.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    if await count_waiting(connection) >= queue.max_length:
        raise QueueFull(queue.retry_after_s)


async def has_job(connection: Connection, upload: str) -> bool:
    """Whether a job names an upload, told when no submission of it is under way.

    Args:
        connection: In no transaction.
        upload: The `path` of the job's source.

    Raises:
        psycopg.errors.LockNotAvailable: A submission has not ended within ten seconds.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL lock_timeout = '10s'")
        await lock_study(connection, study_key(Source(kind="upload", path=upload)))
        query = "SELECT FROM jobs WHERE source->>'kind' = 'upload' AND source->>'path' = %s LIMIT 1"
        return await fetch(connection, query, upload) is not None


async def fetch(connection: Connection, query: str, *values: object) -> dict[str, Any] | None:
    """The first row of an answer."""
    cursor = await connection.execute(query.encode(), values)
    return await cursor.fetchone()


async def change(connection: Connection, job_id: UUID, what: str, *values: object) -> Job:
    """Change a job's row; the job as it is then."""
    row = await fetch(connection, f"UPDATE jobs SET {what} WHERE id = %s RETURNING {COLUMNS}", *values, job_id)  # noqa: S608  # of constants of ours; values are parameters
    assert row is not None
    return read_job(row)


async def count_waiting(connection: Connection) -> int:
    """The number of jobs that wait."""
    row = await fetch(connection, "SELECT count(*) AS waiting FROM jobs WHERE state = 'queued'")
    return int(row["waiting"]) if row else 0
