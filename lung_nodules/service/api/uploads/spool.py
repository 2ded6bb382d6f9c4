"""Where uploads wait for a worker: one folder each below `spool/`, and a row that says whose it is.

An upload is made in a hidden folder and renamed when it is whole. Its maker holds a lock on the folder until the job
is in the database; what a killed process leaves, hidden or not, nobody holds and no job names, and the next start
takes it away. Whether a job names a folder is asked under the folder's lock, right before it is removed.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import LiteralString
from uuid import UUID, uuid4

import anyio.from_thread
import anyio.to_thread
from anyio import CancelScope
from psycopg.errors import LockNotAvailable

from lung_nodules.service.api.uploads.folder import UploadFolder
from lung_nodules.service.api.uploads.limits import MIB, Limits, UploadRefusal
from lung_nodules.service.database.pool import Connection, Pool
from lung_nodules.service.jobs.orders import has_job
from lung_nodules.service.settings import UploadsSettings

FOLDER = "spool"
TABLES: tuple[LiteralString, ...] = (
    """
    CREATE TABLE uploads (
        id uuid PRIMARY KEY,
        owner text NOT NULL,
        num_bytes bigint NOT NULL,  -- reserved while it comes, then as it lies on the disk
        created_at timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX uploads_by_owner ON uploads (owner);
    """,
)
_WITHOUT_JOB: LiteralString = """
    SELECT id FROM uploads WHERE NOT EXISTS (
        SELECT FROM jobs WHERE source->>'kind' = 'upload' AND source->>'path' = uploads.id::text
    )
"""
_HIDDEN = ".partial-"


class Upload(UploadFolder):
    """An upload under way.

    Attributes:
        id: Also the name of its folder, which is the `path` of the job's source.
    """

    def __init__(
        self, upload_id: UUID, path: Path, limits: Limits, reserve: Callable[[int], Coroutine[None, None, int]]
    ) -> None:
        super().__init__(path, limits)
        self.id = upload_id
        self._reserve = reserve

    def reserve(self, num_bytes: int) -> None:
        """See `UploadFolder.reserve`; called in a thread of the event loop's.

        Raises:
            UploadRefusal: 413 ``quota-exceeded``.
        """
        anyio.from_thread.run(self._reserve, num_bytes)

    def appear(self) -> str:
        """Give the folder its name, now that it is whole, and return it."""
        whole = self.path.with_name(str(self.id))
        self.path.rename(whole)
        self.path = whole
        return whole.name


class Spool:
    """Makes folders for uploads within each user's quota.

    Args:
        data_folder: The service's.
        settings: Limits and quota.
        pool: Of connections to the service's database.
    """

    def __init__(self, data_folder: Path, settings: UploadsSettings, pool: Pool) -> None:
        self.folder = data_folder / FOLDER
        self._settings = settings
        self._pool = pool

    @asynccontextmanager
    async def begin(self, owner: str, declared_bytes: int | None) -> AsyncIterator[Upload]:
        """Give a folder for an upload; unless a job names it then, everything of it is gone at the end.

        Where the database cannot be asked, what is whole stays, and counts, until the next start.

        Args:
            owner: Whose quota it counts to.
            declared_bytes: The request's Content-Length, if it has one.

        Raises:
            UploadRefusal: 413 ``upload-too-large``, 413 ``quota-exceeded``.
            psycopg.OperationalError: The database cannot be asked.
        """
        upload_id, limits = uuid4(), self._limits(self._settings.max_mib * MIB)
        limits.check_bytes(declared_bytes or 0)
        path = self.folder / f"{_HIDDEN}{upload_id}"
        upload = Upload(upload_id, path, limits, lambda num_bytes: self._reserve(upload_id, owner, num_bytes))
        with _closing(await anyio.to_thread.run_sync(_make_locked, path)):
            try:
                reserved = await self._reserve(upload_id, owner, declared_bytes)
                if declared_bytes is None:
                    upload.limits = self._limits(reserved)
                yield upload
            finally:
                with CancelScope(shield=True):
                    await self._settle(upload)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder for what is being made to be sent; it is gone at the end, or with the next start."""
        path = self.folder / f"{_HIDDEN}{uuid4()}"
        with _closing(_make_locked(path)):
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)

    async def sweep(self) -> None:
        """Take away what killed processes have left, and forget uploads whose folder has gone."""
        await anyio.to_thread.run_sync(lambda: self.folder.mkdir(parents=True, exist_ok=True, mode=0o700))
        async with self._pool.connection() as connection:
            found = await connection.execute(_WITHOUT_JOB)
            orphans = {str(row["id"]) for row in await found.fetchall()}
            for folder in await anyio.to_thread.run_sync(self._list_ours, orphans):
                await _remove_unless_needed(connection, folder)
            await self._forget_gone(connection, owner=None)

    async def _reserve(self, upload_id: UUID, owner: str, num_bytes: int | None) -> int:
        """Count bytes to a quota, in the place of those that the upload counted before; None: all that it may have."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))", (owner,))
            await self._forget_gone(connection, owner)
            free_bytes = self._settings.quota_per_user_mib * MIB - await _bytes_of(connection, owner, upload_id)
            reserved = min(self._settings.max_mib * MIB, free_bytes) if num_bytes is None else num_bytes
            if reserved > free_bytes or free_bytes <= 0:
                sentence = "Your uploads that have not been read yet fill your quota."
                raise UploadRefusal(413, "quota-exceeded", sentence, "Wait until they are read, or have them deleted.")
            await connection.execute(
                "INSERT INTO uploads (id, owner, num_bytes) VALUES (%s, %s, %s)"
                " ON CONFLICT (id) DO UPDATE SET num_bytes = EXCLUDED.num_bytes",
                (upload_id, owner, reserved),
            )
        return reserved

    def _limits(self, max_bytes: int) -> Limits:
        return Limits(max_bytes, self._settings.max_files, self._settings.max_ratio)

    async def _settle(self, upload: Upload) -> None:
        if await self._is_needed(upload):
            order, values = "UPDATE uploads SET num_bytes = %s WHERE id = %s", (upload.num_bytes, upload.id)
        else:
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(upload.path, ignore_errors=True))
            order, values = "DELETE FROM uploads WHERE num_bytes >= %s AND id = %s", (0, upload.id)
        async with self._pool.connection() as connection:
            await connection.execute(order, values)

    async def _is_needed(self, upload: Upload) -> bool:
        if upload.path.name.startswith(_HIDDEN):  # no job names it before it is whole
            return False
        async with self._pool.connection() as connection:
            return await has_job(connection, upload.path.name)

    async def _forget_gone(self, connection: Connection, owner: str | None) -> None:
        """Take rows away whose folder a worker or a deletion has removed."""
        found = await connection.execute(
            "SELECT id FROM uploads WHERE %(owner)s::text IS NULL OR owner = %(owner)s", {"owner": owner}
        )
        ids = [row["id"] for row in await found.fetchall()]
        gone = await anyio.to_thread.run_sync(self._gone, ids)
        if gone:
            await connection.execute("DELETE FROM uploads WHERE id = ANY(%s)", (gone,))

    def _gone(self, ids: Sequence[UUID]) -> list[UUID]:
        names = {entry.name for entry in os.scandir(self.folder)} if self.folder.is_dir() else set()
        return [each for each in ids if not names & {str(each), f"{_HIDDEN}{each}"}]

    def _list_ours(self, orphans: Collection[str]) -> list[Path]:
        """Folders that may be left over; others (a C-STORE listener) may use the spool too, and theirs are not ours."""
        return [
            Path(entry.path)
            for entry in os.scandir(self.folder)
            if entry.name in orphans or entry.name.startswith(_HIDDEN)
            if entry.is_dir(follow_symlinks=False)
        ]


async def _bytes_of(connection: Connection, owner: str, but: UUID) -> int:
    """What a user's uploads count but one."""
    found = await connection.execute(
        "SELECT coalesce(sum(num_bytes), 0)::bigint AS used FROM uploads WHERE owner = %s AND id <> %s", (owner, but)
    )
    row = await found.fetchone()
    assert row is not None
    return int(row["used"])


def _make_locked(folder: Path) -> int:
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.mkdir(mode=0o700)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):  # some network filesystems cannot lock: there, only the row tells
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


@contextmanager
def _closing(descriptor: int) -> Iterator[int]:
    """Close a folder, which releases its lock, when the block ends."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _remove_unless_needed(connection: Connection, folder: Path) -> None:
    """Remove a folder that no process holds and no job names."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    # held by a process that is alive, gone already, or just being submitted
    with suppress(OSError, LockNotAvailable), _closing(os.open(folder, flags)) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not await has_job(connection, folder.name):
            await anyio.to_thread.run_sync(lambda: shutil.rmtree(folder, ignore_errors=True))
