"""Rows that have outlived their use: old jobs without results, ends that were told, audit entries.

A job that was read stays. By its row a study that becomes stable in the archive once more is known to have been read,
and a later version finds its number and the job that it replaces. What may go is what no such question looks at:
duplicates, and what failed or was cancelled before it had results; but never what a reader has said something about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from lung_nodules.service.database.pool import Connection
from lung_nodules.service.database.schema import has_table
from lung_nodules.service.jobs.deleting import delete_with_duplicates
from lung_nodules.service.jobs.rows import COLUMNS, read_job
from lung_nodules.service.security.audit_expiry import remove_old_files, remove_old_rows
from lung_nodules.service.settings import ServiceSettings

_AT_ONCE = 1000  # jobs a pruning; the next one goes on
_IS_OLD = (
    "finished_at < now() - %(keep)s AND (state = 'duplicate'"
    " OR state IN ('failed', 'cancelled') AND step IS DISTINCT FROM 'store')"
    " AND NOT EXISTS (SELECT FROM jobs d WHERE d.duplicate_of = jobs.id)"
    " AND NOT EXISTS (SELECT FROM notices n WHERE n.job_id = jobs.id AND n.told_at IS NULL AND n.given_up_at IS NULL)"
)
_IS_NOT_REVIEWED = " AND NOT EXISTS (SELECT FROM finding_reviews r WHERE r.job_id = jobs.id)"
_PUT_TALLIES_TOGETHER = """
    WITH gone AS (DELETE FROM job_tallies RETURNING state, jobs)
    INSERT INTO job_tallies SELECT state, sum(jobs) FROM gone GROUP BY state"""


async def remove_old(connection: Connection, settings: ServiceSettings) -> None:
    """Remove rows above the limits of `retention`, jobs with their files; nobody else may do so meanwhile."""
    limits = settings.retention
    await connection.execute(_PUT_TALLIES_TOGETHER)
    if limits.jobs_days is not None:
        # a duplicate says when its results were in use, a failed job that its upload may be tried again
        days = max(limits.jobs_days, settings.results.max_age_days or 0.0, settings.uploads.keep_days)
        await _remove_jobs(connection, settings, timedelta(days=days))
    if limits.notices_days is not None:
        await connection.execute(
            "DELETE FROM notices WHERE ended_at < now() - %s AND (told_at IS NOT NULL OR given_up_at IS NOT NULL)",
            (timedelta(days=limits.notices_days),),
        )
    if limits.audit_days is not None:
        await remove_old_rows(connection, timedelta(days=limits.audit_days))
        await asyncio.to_thread(remove_old_files, settings.data_folder / "audit", timedelta(days=limits.audit_days))


async def _remove_jobs(connection: Connection, settings: ServiceSettings, keep: timedelta) -> None:
    is_old = _IS_OLD + (_IS_NOT_REVIEWED if await has_table(connection, "finding_reviews") else "")
    query = f"SELECT {COLUMNS} FROM jobs WHERE id = %(id)s AND {is_old}"  # noqa: S608  # of constants of ours; values are parameters
    for job_id in await _list_old(connection, is_old, keep):
        async with connection.transaction():
            await connection.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", (job_id,))
            # asked once it is locked: PostgreSQL does not look again at the reviews for a row that it waited for
            row = await (await connection.execute(query.encode(), {"id": job_id, "keep": keep})).fetchone()
            if row is not None:  # else it is tried again
                await delete_with_duplicates(connection, read_job(row), settings.data_folder)


async def _list_old(connection: Connection, is_old: str, keep: timedelta) -> Sequence[UUID]:
    query = f"SELECT id FROM jobs WHERE {is_old} ORDER BY finished_at LIMIT {_AT_ONCE}"  # noqa: S608  # of constants of ours; values are parameters
    return [row["id"] for row in await (await connection.execute(query.encode(), {"keep": keep})).fetchall()]
