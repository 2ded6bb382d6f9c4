"""Following an archive: every study that has become stable is queued once for each content that it has had.

The cursor is stored only after the studies before it are queued, so that a kill at any moment doubles a question and
loses none; the desk knows what it has queued before. Results of ours that arrive in the archive make a study stable
again without changing its CT: the same content, the same job.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress

from lung_nodules.archive.protocol import Archive, ChangeFeed
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.errors import InputRefusal, UsageRefusal
from lung_nodules.service.database.pool import Pool
from lung_nodules.service.jobs.desk import JobDesk, open_desk
from lung_nodules.service.jobs.model import JobOrder, QueueFull, Source
from lung_nodules.service.jobs.patience import patiently
from lung_nodules.service.settings import ServiceSettings

logger = logging.getLogger(__name__)

SUBMITTER = "watch"
_MAX_REFUSALS = 3
_NUM_DENIALS = 3  # a proxy says "not found" for a moment, an archive that is well says it again


def run_watcher(settings: ServiceSettings) -> None:
    """Follow until SIGTERM or SIGINT.

    Raises:
        UsageRefusal: ``nothing-to-watch``, ``database-unreachable``.
    """
    asyncio.run(_run(settings))


async def _run(settings: ServiceSettings) -> None:
    from lung_nodules.archive.opening import open_archive, open_change_feed

    name = settings.watch.archive
    if name is None:
        raise UsageRefusal("nothing-to-watch", "watch.archive names no archive.", "Name one that has a change feed.")
    async with open_desk(settings) as desk:
        with open_archive(settings.archives[name], name) as archive:
            feed = open_change_feed(settings.archives[name])
            if feed is None:
                raise UsageRefusal("nothing-to-watch", f"The archive {name} has no change feed.", "Set change_feed.")
            task = asyncio.create_task(Watcher(desk, name, archive, feed).follow())
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
            with suppress(asyncio.CancelledError):
                await task


class Watcher:
    """Follows one archive.

    Args:
        desk: Where studies are queued.
        name: Of the archive in the settings.
        archive: Asked what a study holds.
        feed: Tells what has become stable.
    """

    def __init__(self, desk: JobDesk, name: str, archive: Archive, feed: ChangeFeed) -> None:
        self._desk = desk
        self._name = name
        self._archive = archive
        self._feed = feed
        self._settings = desk.settings.watch

    async def follow(self) -> None:
        """Look at the feed again and again."""
        while True:
            if not await self.look():
                await asyncio.sleep(self._settings.poll_s)

    async def look(self) -> bool:
        """Queue what has become stable since the last look.

        Returns:
            Whether there may be more at once.
        """
        cursor = await patiently(lambda: read_cursor(self._desk.pool, self._name))
        try:
            if cursor is None:
                cursor = await self._first_cursor()
            studies, following = await asyncio.to_thread(self._feed.changes, cursor)
        except ArchiveRefusal as refusal:
            logger.warning("the change feed: %s", refusal.code)
            return False
        for study in studies:
            await self._queue(study.study_instance_uid)
        if following != cursor:
            await patiently(lambda: store_cursor(self._desk.pool, self._name, following))
        return following != cursor

    async def _first_cursor(self) -> int:
        """Where to begin at the very first start: at the beginning, or after all that is there already."""
        cursor = 0
        while not self._settings.from_beginning:
            _, following = await asyncio.to_thread(self._feed.changes, cursor)
            if following == cursor:
                break
            cursor = following
        await patiently(lambda: store_cursor(self._desk.pool, self._name, cursor))
        return cursor

    async def _queue(self, study_instance_uid: str) -> None:
        """Submit a study, waiting while the archive or the queue cannot take it; one without a CT is passed over.

        An archive that is well and yet refuses one study again and again shall not hold up the others: the study is
        queued with its content unknown, and its job says what is wrong. One that it does not know, again and again, is
        gone.
        """
        num_refusals = num_denials = 0
        while True:
            try:
                await self._submit(study_instance_uid, is_content_known=num_refusals < _MAX_REFUSALS)
            except InputRefusal:
                return  # no CT
            except ArchiveRefusal as refusal:
                is_well = await asyncio.to_thread(self._is_archive_well)
                if refusal.code != "study-not-found":
                    num_refusals += is_well
                else:
                    num_denials = num_denials + 1 if is_well else 0
                if refusal.code == "bad-uid" or num_denials == _NUM_DENIALS:
                    logger.warning("a study is passed over, the archive is well: %s", refusal.code)
                    return
                logger.info("a study waits: %s", refusal.code)
                await asyncio.sleep(self._settings.poll_s)
            except QueueFull as full:
                logger.info("the queue is full; waiting")
                await asyncio.sleep(min(float(full.retry_after_s), 60.0))
            else:
                return

    def _is_archive_well(self) -> bool:
        try:
            self._archive.check()
        except ArchiveRefusal as refusal:
            logger.warning("the archive: %s", refusal.code)
            return False
        return True

    async def _submit(self, study_instance_uid: str, *, is_content_known: bool) -> None:
        from lung_nodules.archive.fetching import content_of

        content = None
        if is_content_known:
            content = await asyncio.to_thread(content_of, self._archive, study_instance_uid)
        source = Source(kind="archive", archive=self._name, study_instance_uid=study_instance_uid)
        order = JobOrder(source=source, priority=self._settings.priority, submitted_by=SUBMITTER, content_hash=content)
        await patiently(lambda: self._desk.submit(order))


async def read_cursor(pool: Pool, name: str) -> int | None:
    """How far a feed was followed; None before the first time."""
    async with pool.connection() as connection:
        cursor = await connection.execute("SELECT position FROM cursors WHERE name = %s", (name,))
        row = await cursor.fetchone()
    return int(row["position"]) if row else None


async def store_cursor(pool: Pool, name: str, position: int) -> None:
    """Note how far a feed was followed."""
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO cursors (name, position) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE"
            " SET position = EXCLUDED.position, moved_at = now()",
            (name, position),
        )
