"""Files that nobody needs any more: of attempts that are over, of pruned jobs, of uploads that were read.

Whoever ends in order takes its files away itself. What the others leave (killed workers, workers that were taken for
lost and write on, a kill between a row's change and the removal of its files) is found here. Folders are listed before
the database is asked, so that those of an attempt that begins meanwhile are not among them; files that a job may come
to need are removed while its row is locked.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from lung_nodules.service.database.pool import Connection, Pool
from lung_nodules.service.jobs.places import list_uploads, remove_upload
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.settings import ServiceSettings

_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_NEEDS_NO_UPLOAD = (
    "(state IN ('done', 'duplicate')"
    " OR state NOT IN ('queued', 'running') AND (pruned OR finished_at < now() - %(keep)s))"
)


async def remove_remains(pool: Pool, settings: ServiceSettings) -> None:
    """Remove what is left of attempts, pruned results and uploads; several processes may do so at once."""
    async with pool.connection() as connection:
        await _remove_attempts(connection, settings.data_folder)
        await _remove_pruned(connection, settings.data_folder)
        await _remove_uploads(connection, settings)


async def _remove_attempts(connection: Connection, data_folder: Path) -> None:
    """Folders that no attempt under way has made."""
    folders = await asyncio.to_thread(_list_attempts, data_folder)
    query = "SELECT lease FROM jobs WHERE state = 'running' AND lease = ANY(%s)"
    cursor = await connection.execute(query, (list(set(folders.values())),))
    alive = {row["lease"] for row in await cursor.fetchall()}
    for folder, lease in folders.items():
        if lease not in alive:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _list_attempts(data_folder: Path) -> dict[Path, UUID]:
    """Folders with the lease in their names; results on their way out bear their job's id, which is nobody's lease."""
    folders = [*_folders(data_folder / "work"), *_folders(data_folder / "results", hidden=True)]
    found = {folder: _UUID.search(folder.name) for folder in folders}
    return {folder: UUID(match[0]) for folder, match in found.items() if match}


def _folders(parent: Path, *, hidden: bool = False) -> list[Path]:
    if not parent.is_dir():
        return []
    return [path for path in parent.iterdir() if path.name.startswith(".") == hidden and path.is_dir()]


async def _remove_pruned(connection: Connection, data_folder: Path) -> None:
    """Results of jobs that say that theirs were removed."""
    folders = await asyncio.to_thread(_folders, data_folder / "results")
    ids = [UUID(folder.name) for folder in folders if _UUID.fullmatch(folder.name)]
    cursor = await connection.execute("SELECT id FROM jobs WHERE id = ANY(%s) AND pruned", (ids,))
    for row in await cursor.fetchall():
        async with connection.transaction():
            still = await connection.execute(
                "SELECT FROM jobs WHERE id = %s AND pruned AND state NOT IN ('queued', 'running') FOR UPDATE",
                (row["id"],),
            )
            if await still.fetchone() is not None:
                await asyncio.to_thread(ResultFolder(data_folder, row["id"]).remove)


async def _remove_uploads(connection: Connection, settings: ServiceSettings) -> None:
    """Uploads of which every job has its result, or has been without one for `uploads.keep_days`."""
    values = {"keep": timedelta(days=settings.uploads.keep_days)}
    paths = await asyncio.to_thread(list_uploads, settings.data_folder)
    for path in await _unneeded(connection, paths, values):
        await _remove_upload(connection, settings, path)


async def give_up_upload(pool: Pool, settings: ServiceSettings, path: str) -> None:
    """Remove an upload that a job has done with, unless another job of it has not: a listener may queue one twice."""
    async with pool.connection() as connection:
        await _remove_upload(connection, settings, path)


async def _remove_upload(connection: Connection, settings: ServiceSettings, path: str) -> None:
    values = {"keep": timedelta(days=settings.uploads.keep_days), "path": path}
    async with connection.transaction():
        query = f"SELECT {_NEEDS_NO_UPLOAD} AS free FROM jobs WHERE {_IS_OF} = %(path)s ORDER BY id FOR UPDATE"  # noqa: S608  # of constants of ours; values are parameters
        rows = await (await connection.execute(query.encode(), values)).fetchall()
        if rows and all(row["free"] for row in rows):
            await asyncio.to_thread(remove_upload, settings.data_folder, path)


_IS_OF = "source->>'kind' = 'upload' AND source->>'path'"


async def _unneeded(connection: Connection, paths: Collection[str], values: dict[str, timedelta]) -> list[str]:
    query = (
        f"SELECT source->>'path' AS path FROM jobs WHERE {_IS_OF} = ANY(%(paths)s)"  # noqa: S608  # of constants of ours; values are parameters
        f" GROUP BY source->>'path' HAVING bool_and({_NEEDS_NO_UPLOAD})"
    )
    cursor = await connection.execute(query.encode(), {**values, "paths": list(paths)})
    return [row["path"] for row in await cursor.fetchall()]
