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


async def delete_with_duplicates(connection: Connection, job: Job, data_folder: Path) -> Sequence[UUID]:
    """Remove an ended job, whose row the caller has locked, and its duplicates; all of them or none is in the database.

    Returns:
        What went, the job itself first.
    """
    query = f"SELECT {COLUMNS} FROM jobs WHERE duplicate_of = %s ORDER BY number FOR UPDATE"  # noqa: S608
    rows = await (await connection.execute(query.encode(), (job.id,))).fetchall()
    doomed = [job, *map(read_job, rows)]
    for each in doomed:  # first: no row, and nobody knows of them
        await asyncio.to_thread(_remove_files, each, data_folder)
    ids = [each.id for each in doomed]
    await connection.execute("DELETE FROM jobs WHERE id = ANY(%s)", (ids,))
    return ids


def _remove_files(job: Job, data_folder: Path) -> None:
    ResultFolder(data_folder, job.id).remove()
    if job.source.kind == "upload" and job.source.path:
        remove_upload(data_folder, job.source.path)
