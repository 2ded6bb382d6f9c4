"""Who has changed: one connection that listens, for any number of followers in the process.

Each follower has a set of jobs that changed since it last looked, so that a slow one holds nobody up and gets the
latest state only. When the connection was lost, changes may have been missed: then everything that could have
changed is taken as changed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from lung_nodules.service.database.pool import TRANSIENT, Connection, connect

logger = logging.getLogger(__name__)

CHANNEL = "lung_nodules_jobs"
_MARGIN_S = 120.0  # a broken connection may be noticed late


class Changed:
    """Jobs that changed since the last `take`."""

    def __init__(self, job_id: UUID | None) -> None:
        self.job_id = job_id
        self._ids: dict[UUID, None] = {}  # a set that keeps its order
        self._event = asyncio.Event()

    def add(self, job_id: UUID) -> None:
        """Note a change; those of other jobs than the follower's are passed over."""
        if self.job_id in (None, job_id):
            self._ids[job_id] = None
            self._event.set()

    async def take(self) -> list[UUID]:
        """Wait until something has changed, and give what."""
        await self._event.wait()
        self._event.clear()
        ids, self._ids = list(self._ids), {}
        return ids


class Changes:
    """Listens while anybody follows.

    Args:
        url: Of the database.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._followers: set[Changed] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def subscribe(self, job_id: UUID | None) -> Iterator[Changed]:
        """Follow one job, or all, for the length of a block."""
        follower = Changed(job_id)
        self._followers.add(follower)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._listen(), name="changes of jobs")
        try:
            yield follower
        finally:
            self._followers.discard(follower)

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _listen(self) -> None:
        lost_at: float | None = None
        while True:
            try:
                async with await connect(self._url) as connection:
                    await connection.execute(b"LISTEN " + CHANNEL.encode())
                    await self._catch_up(connection, lost_at)
                    lost_at = None
                    async for notification in connection.notifies():
                        self._tell(UUID(notification.payload))
            except TRANSIENT:
                logger.info("the database is away; following goes on when it is back")
                lost_at = lost_at or time.monotonic()
                await asyncio.sleep(0.5)

    async def _catch_up(self, connection: Connection, lost_at: float | None) -> None:
        """Tell what may have changed while nobody listened."""
        for follower in self._followers:
            if follower.job_id is not None:
                follower.add(follower.job_id)
        if lost_at is None:
            return
        cursor = await connection.execute(
            "SELECT id FROM jobs WHERE greatest(created_at, waiting_since, started_at, beat_at, finished_at)"
            " > now() - %s * interval '1 second' ORDER BY number",
            (time.monotonic() - lost_at + _MARGIN_S,),
        )
        for row in await cursor.fetchall():
            self._tell(row["id"])

    def _tell(self, job_id: UUID) -> None:
        for follower in tuple(self._followers):
            follower.add(job_id)
