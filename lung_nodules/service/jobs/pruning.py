"""Making room: results that are old, or too many, leave this machine; the archive has them, and the job says so.

The rows first, the files then (`remains`): a job that says it has results has them. Rows that have outlived their use
(`expiry`) go last, so that nothing about them keeps files on the disk.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from lung_nodules.service.database.pool import Connection, Pool
from lung_nodules.service.database.schema import has_table
from lung_nodules.service.jobs.expiry import remove_old
from lung_nodules.service.jobs.remains import remove_remains
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.settings import ResultsSettings, ServiceSettings, UploadsSettings

_LOCK = 7_314_908_114  # one process prunes at a time

# Results are in use as long as a duplicate or a reader's word about them is new.
_ENDED = """
    SELECT id, extract(epoch FROM now() - greatest(finished_at, doubled_at, {reviewed_at}))::float8 AS age_s FROM jobs
    LEFT JOIN (SELECT duplicate_of AS id, max(finished_at) AS doubled_at FROM jobs GROUP BY duplicate_of) AS doubles
    USING (id) {reviews}
    WHERE finished_at IS NOT NULL AND state NOT IN ('queued', 'running') AND NOT pruned ORDER BY age_s DESC"""
_REVIEWS = """
    LEFT JOIN (SELECT job_id AS id, max(reviewed_at) AS reviewed_at FROM finding_reviews GROUP BY job_id) AS reviews
    USING (id)"""


async def prune(pool: Pool, settings: ServiceSettings) -> int:
    """Remove results above the limits, uploads that nobody tries again, what the killed have left, and old rows.

    Returns:
        The number of jobs whose files went; 0 where another process is at it.
    """
    num_pruned = 0
    async with _alone(pool) as connection:
        if connection is not None:
            num_pruned = await _give_up_uploads(connection, settings.uploads) + await _prune(connection, settings)
    await remove_remains(pool, settings)
    async with _alone(pool) as connection:
        if connection is not None:
            await remove_old(connection, settings)
    return num_pruned


@asynccontextmanager
async def _alone(pool: Pool) -> AsyncIterator[Connection | None]:
    """A connection that holds the lock; None where another process holds it."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS ours", (_LOCK,))
        row = await cursor.fetchone()
        if row is None or not row["ours"]:
            yield None
            return
        try:
            yield connection
        finally:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


async def _give_up_uploads(connection: Connection, uploads: UploadsSettings) -> int:
    """Say of jobs that ended without results long ago that their files are gone; what is sent again is read anew."""
    cursor = await connection.execute(
        "UPDATE jobs SET pruned = true WHERE source->>'kind' = 'upload' AND NOT pruned"
        " AND state IN ('refused', 'failed', 'set_aside', 'cancelled') AND COALESCE(step, '') <> 'store'"
        " AND finished_at < now() - %s",
        (timedelta(days=uploads.keep_days),),
    )
    return cursor.rowcount


async def _prune(connection: Connection, settings: ServiceSettings) -> int:
    limits = settings.results
    if limits.max_age_days is None and limits.max_gib is None:
        return 0
    looked_at, ended = await _list_ended(connection)
    if limits.max_gib is not None:
        ended = await asyncio.to_thread(_weigh, ended, settings.data_folder)
    doomed = list(choose_doomed(ended, limits))
    cursor = await connection.execute(
        "UPDATE jobs SET pruned = true WHERE (id = ANY(%s) OR duplicate_of = ANY(%s))"
        " AND state NOT IN ('queued', 'running') AND NOT pruned AND finished_at < %s",
        (doomed, doomed, looked_at),
    )
    return cursor.rowcount


async def _list_ended(connection: Connection) -> tuple[object, list[tuple[UUID, float, int]]]:
    """The database's time, and of each ended job its id and how long ago its results were in use, without sizes."""
    row = await (await connection.execute("SELECT now() AS time")).fetchone()
    assert row is not None
    parts = ("reviewed_at", _REVIEWS) if await has_table(connection, "finding_reviews") else ("NULL", "")
    cursor = await connection.execute(_ENDED.format(reviewed_at=parts[0], reviews=parts[1]).encode())
    return row["time"], [(each["id"], each["age_s"], 0) for each in await cursor.fetchall()]


def choose_doomed(ended: Sequence[tuple[UUID, float, int]], limits: ResultsSettings) -> set[UUID]:
    """Which results go.

    Args:
        ended: Job, age in seconds and size in bytes, the oldest first.
        limits: Of age, and of size of all together.
    """
    max_age_s = limits.max_age_days * 86400.0 if limits.max_age_days is not None else float("inf")
    doomed = {job_id for job_id, age_s, _ in ended if age_s > max_age_s}
    if limits.max_gib is None:
        return doomed
    total = sum(size for job_id, _, size in ended if job_id not in doomed)
    for job_id, _, size in ended:
        if total <= limits.max_gib * 2**30:
            break
        if job_id not in doomed and size:
            doomed.add(job_id)
            total -= size
    return doomed


def _weigh(ended: Sequence[tuple[UUID, float, int]], data_folder: Path) -> list[tuple[UUID, float, int]]:
    return [(job_id, age_s, _num_bytes(ResultFolder(data_folder, job_id).folder)) for job_id, age_s, _ in ended]


def _num_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
