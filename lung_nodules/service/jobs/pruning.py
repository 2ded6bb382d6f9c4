"""Making room: results that are old, or too many, leave this machine; the archive has them, and the job says so."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from lung_nodules.service.database.pool import Connection, Pool
from lung_nodules.service.jobs.model import Source
from lung_nodules.service.jobs.places import remove_upload
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.settings import ResultsSettings, ServiceSettings

_LOCK = 7_314_908_114  # one process prunes at a time
_REMAINS_AFTER_S = 24 * 3600.0  # no study takes as long


async def prune(pool: Pool, settings: ServiceSettings) -> int:
    """Remove results above the limits of age and size, and what killed processes have left.

    Returns:
        The number of jobs whose results went; 0 where another process is at it.
    """
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT pg_try_advisory_lock(%s) AS ours", (_LOCK,))
        row = await cursor.fetchone()
        if not row or not row["ours"]:
            return 0
        try:
            await asyncio.to_thread(remove_remains, settings.data_folder)
            return await _prune(connection, settings)
        finally:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


async def _prune(connection: Connection, settings: ServiceSettings) -> int:
    cursor = await connection.execute(
        "SELECT id, source, extract(epoch FROM now() - finished_at)::float8 AS age_s FROM jobs WHERE finished_at"
        " IS NOT NULL AND state NOT IN ('queued', 'running') AND NOT pruned ORDER BY finished_at"
    )
    rows = await cursor.fetchall()
    sizes = await asyncio.to_thread(lambda: {row["id"]: _num_bytes(settings.data_folder, row["id"]) for row in rows})
    doomed = choose_doomed([(row["id"], row["age_s"], sizes[row["id"]]) for row in rows], settings.results)
    for row in rows:
        if row["id"] in doomed:
            await _prune_job(connection, settings.data_folder, row["id"], Source.model_validate(row["source"]))
    return len(doomed)


async def _prune_job(connection: Connection, data_folder: Path, job_id: UUID, source: Source) -> None:
    """The row first: a job that says it has results has them."""
    await connection.execute(
        "UPDATE jobs SET pruned = true WHERE id = %s AND state NOT IN ('queued', 'running')", (job_id,)
    )
    await asyncio.to_thread(ResultFolder(data_folder, job_id).remove)
    if source.kind == "upload" and source.path:
        await asyncio.to_thread(remove_upload, data_folder, source.path)


def choose_doomed(ended: list[tuple[UUID, float, int]], limits: ResultsSettings) -> set[UUID]:
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


def remove_remains(data_folder: Path, older_than_s: float = _REMAINS_AFTER_S) -> None:
    """Take away hidden folders of processes that were killed while they wrote results."""
    for folder in _hidden(data_folder / "results"):
        if time.time() - folder.stat().st_mtime > older_than_s:
            shutil.rmtree(folder, ignore_errors=True)


def _hidden(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if path.name.startswith(".") and path.is_dir())


def _num_bytes(data_folder: Path, job_id: UUID) -> int:
    folder = ResultFolder(data_folder, job_id).folder
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
