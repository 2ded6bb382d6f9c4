"""A job leaves for good, with its files and with its duplicates, which would point at nothing without it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from lung_nodules.service.database.pool import Connection
from lung_nodules.service.jobs.model import Job
from lung_nodules.service.jobs.places import remove_upload
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.jobs.rows import COLUMNS, read_job


async def delete_with_duplicates(connection: Connection, job: Job, data_folder: Path) -> Sequence[Job]:
    """Remove an ended job, whose row the caller has locked, and its duplicates; all of them or none is in the database.

    Returns:
        What went, the job itself first.
    """
    query = f"SELECT {COLUMNS} FROM jobs WHERE duplicate_of = %s ORDER BY number FOR UPDATE"  # noqa: S608  # of constants of ours; values are parameters
    rows = await (await connection.execute(query.encode(), (job.id,))).fetchall()
    doomed = [job, *map(read_job, rows)]
    ids = [each.id for each in doomed]
    for each in doomed:  # first: no row, and nobody knows of them
        await asyncio.to_thread(ResultFolder(data_folder, each.id).remove)
        path = each.source.path if each.source.kind == "upload" else None
        if path and not await _is_of_others(connection, path, ids):
            await asyncio.to_thread(remove_upload, data_folder, path)
    await connection.execute("DELETE FROM jobs WHERE id = ANY(%s)", (ids,))
    return doomed


async def _is_of_others(connection: Connection, path: str, ids: Sequence[UUID]) -> bool:
    """Whether an upload is another job's, too (`remains.give_up_upload`), which will take it away when it has ended."""
    query = "SELECT FROM jobs WHERE source->>'kind' = 'upload' AND source->>'path' = %s AND id <> ALL(%s) LIMIT 1"
    return await (await connection.execute(query, (path, list(ids)))).fetchone() is not None
