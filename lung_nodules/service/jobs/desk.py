"""The desk: the one door through which API, watcher and listener reach the jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from psycopg import errors
from psycopg.types.json import Jsonb

from lung_nodules.service.database.address import database_url
from lung_nodules.service.database.pool import TRANSIENT, Connection, Pool, open_pool
from lung_nodules.service.database.schema import prepare_database
from lung_nodules.service.jobs.changes import Changes
from lung_nodules.service.jobs.listing import count_states, list_jobs
from lung_nodules.service.jobs.model import (
    ENDED,
    RETRIABLE,
    Job,
    JobConflict,
    JobNotFound,
    JobOrder,
    JobPage,
    JobQuery,
    JobState,
    QueueFull,
    Step,
)
from lung_nodules.service.jobs.models_hash import hash_models
from lung_nodules.service.jobs.places import remove_upload, upload_folder
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.jobs.rows import COLUMNS, FORGIVEN, NUMBER_VERSION, label_of, read_job, study_key
from lung_nodules.service.jobs.tickets import abort_ticket, issue_ticket, void_ticket
from lung_nodules.service.settings import ServiceSettings


@asynccontextmanager
async def open_desk(settings: ServiceSettings) -> AsyncIterator[JobDesk]:
    """Connect to the database (which must run), bring its tables up to date, and give a desk.

    Raises:
        UsageRefusal: ``database-unreachable`` or ``database-version``.
        ModelRefusal: A model is missing.
    """
    models_hash = await asyncio.to_thread(hash_models, settings)
    async with open_pool(settings) as pool:
        async with pool.connection() as connection:
            await prepare_database(connection)
        changes = Changes(database_url(settings))
        try:
            yield JobDesk(settings, pool, changes, models_hash)
        finally:
            await changes.close()


class JobDesk:
    """Submit, look at and steer jobs. Safe to use from any number of tasks of one event loop.

    Args:
        settings: Of the service.
        pool: Open; others of the process may use it too.
        changes: Tells of changed jobs.
        models_hash: Names models, settings of the line and software that new jobs are read with.
    """

    def __init__(self, settings: ServiceSettings, pool: Pool, changes: Changes, models_hash: str) -> None:
        self.settings = settings
        self.pool = pool
        self.models_hash = models_hash
        self._changes = changes

    async def submit(self, order: JobOrder) -> Job:
        """Queue a study; one that is queued, running or done with this content and these models is given back.

        Where the submitter does not know the content, one that waits is given back; else the job learns the content
        when it is fetched, and ends as a duplicate where another one has it.

        Raises:
            QueueFull: Too many wait; with `retry_after_s`.
        """
        while True:
            async with self.pool.connection() as connection, connection.transaction():
                job = await self._find_same(connection, order) or await self._insert(connection, order)
                if job is not None:
                    return job

    async def get(self, job_id: UUID) -> Job | None:
        """Give a job as it is now."""
        async with self.pool.connection() as connection:
            row = await _fetch(connection, f"SELECT {COLUMNS} FROM jobs WHERE id = %s", job_id)  # noqa: S608
        return read_job(row) if row else None

    async def list(self, query: JobQuery) -> JobPage:
        """Give jobs, newest first, page by page (keyset cursor).

        Raises:
            UsageRefusal: ``bad-cursor``.
        """
        async with self.pool.connection() as connection:
            return await list_jobs(connection, query)

    async def cancel(self, job_id: UUID) -> Job:
        """Let a job not begin, or end where it is: a running one is `cancelled` when its worker has stopped.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-ended``.
        """
        async with self.pool.connection() as connection, connection.transaction():
            row = await _lock(connection, job_id)
            if row["state"] in ENDED:
                raise JobConflict("job-ended", "The job has ended already.")
            if row["state"] == JobState.queued:
                change = "state = 'cancelled', finished_at = now(), progress = 0"
                await void_ticket(connection, row["ticket"])
            else:
                change = "cancel_requested = true"
                await abort_ticket(connection, row["ticket"])
            return await _change(connection, job_id, change)

    async def retry(self, job_id: UUID) -> Job:
        """Queue a job again that was refused, failed, set aside or cancelled; its counts begin anew.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-not-retriable``; ``upload-gone`` where what was sent is; ``job-superseded`` where another
                job has its study's content.
            QueueFull: Too many wait.
        """
        async with self.pool.connection() as connection, connection.transaction():
            row = await _lock(connection, job_id)
            if row["state"] not in RETRIABLE:
                raise JobConflict("job-not-retriable", "Only a job that ended without a result can be tried again.")
            if not await asyncio.to_thread(self._has_files, read_job(row)):
                raise JobConflict("upload-gone", "The files that were sent are no longer here.", "Send them again.")
            await self._refuse_when_full(connection)
            change = (
                f"state = 'queued', crashes = 0, losses = 0, {FORGIVEN}, reason = NULL, cancel_requested = false,"
                " finished_at = NULL, progress = 0, stage = '', pruned = false"
            )
            try:
                async with connection.transaction():
                    await _change(connection, job_id, change)
            except errors.UniqueViolation as error:
                raise JobConflict("job-superseded", "Another job reads the same study.") from error
            await issue_ticket(connection, job_id, row["priority"])
            return await _change(connection, job_id, "priority = priority")

    async def delete(self, job_id: UUID) -> None:
        """Remove an ended job with its files.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-not-ended``: cancel it first.
        """
        async with self.pool.connection() as connection, connection.transaction():
            row = await _lock(connection, job_id)
            if row["state"] not in ENDED:
                raise JobConflict("job-not-ended", "The job has not ended.", "Cancel it first.")
            await asyncio.to_thread(self._remove_files, read_job(row))  # first: no row, and nobody knows of them
            await connection.execute("DELETE FROM jobs WHERE id = %s", (job_id,))

    async def set_priority(self, job_id: UUID, priority: int) -> Job:
        """Let a queued job go sooner or later.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-not-queued``.
        """
        async with self.pool.connection() as connection, connection.transaction():
            row = await _lock(connection, job_id)
            if row["state"] != JobState.queued:
                raise JobConflict("job-not-queued", "Only a job that waits can go sooner or later.")
            await void_ticket(connection, row["ticket"])
            await issue_ticket(connection, job_id, priority)
            return await _change(connection, job_id, "priority = %s", priority)

    async def follow(self, job_id: UUID | None = None) -> AsyncIterator[Job]:
        """Give a job as it is now, and again each time that it changes; ends only when the job is deleted.

        With no `job_id` the changes of all jobs are given, and not their present state. Changes that follow each other
        faster than they are taken are given as one.
        """
        with self._changes.subscribe(job_id) as changed:
            if job_id is not None:
                changed.add(job_id)
            while True:
                for each in await changed.take():
                    job = await self._get_patiently(each)
                    if job is not None:
                        yield job
                    elif job_id is not None:
                        return

    async def counts(self) -> Mapping[JobState, int]:
        """Give the number of jobs in each state, zeros included."""
        async with self.pool.connection() as connection:
            return await count_states(connection)

    async def queue_length(self) -> int:
        """Give the number of jobs that wait."""
        async with self.pool.connection() as connection:
            return await _count_waiting(connection)

    async def oldest_waiting_s(self) -> float:
        """Give how long the oldest queued job has waited, seconds; 0 when none waits."""
        query = "SELECT extract(epoch FROM now() - min(waiting_since)) AS age FROM jobs WHERE state = 'queued'"
        async with self.pool.connection() as connection:
            row = await _fetch(connection, query)
        return max(float(row["age"]), 0.0) if row and row["age"] is not None else 0.0

    async def is_ready(self) -> bool:
        """Tell whether the database answers, within two seconds."""
        try:
            async with asyncio.timeout(2.0), self.pool.connection(timeout=2.0) as connection:
                await connection.execute("SELECT 1 FROM jobs LIMIT 1")
        except (*TRANSIENT, TimeoutError):
            return False
        return True

    async def _find_same(self, connection: Connection, order: JobOrder) -> Job | None:
        """The job that an order would double; a more urgent order makes one that waits more urgent."""
        key = study_key(order.source)
        if order.content_hash is None:
            condition, values = "content_hash IS NULL AND state = 'queued'", []
        else:
            # a job that ended while its results were stored has read the study: to be tried again, not anew
            states = f"(state IN ('queued', 'running', 'done', 'refused', 'set_aside') OR {_READ_AND_NOT_DONE})"
            condition = f"content_hash = %s AND NOT pruned AND {states}"
            values = [order.content_hash]
        query = (
            f"SELECT {COLUMNS}, ticket FROM jobs WHERE study_key = %s AND models_hash = %s AND {condition}"  # noqa: S608
            f" ORDER BY {_READ_AND_NOT_DONE}, number DESC LIMIT 1 FOR UPDATE"
        )
        row = await _fetch(connection, query, key, self.models_hash, *values)
        if row is None:
            return None
        if row["state"] == JobState.queued and order.priority > row["priority"]:
            await void_ticket(connection, row["ticket"])
            await issue_ticket(connection, row["id"], order.priority)
            return await _change(connection, row["id"], "priority = %s", order.priority)
        return read_job(row)

    async def _insert(self, connection: Connection, order: JobOrder) -> Job | None:
        """A new job with its ticket; None where somebody else has just made the same."""
        await self._refuse_when_full(connection)
        key, job_id = study_key(order.source), uuid4()
        source = Jsonb(order.source.model_dump(exclude_none=True))
        row = await _fetch(
            connection,
            "INSERT INTO jobs (id, source, study_key, label, priority, content_hash, models_hash, submitted_by)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
            *(job_id, source, key, label_of(key), order.priority),
            *(order.content_hash, self.models_hash, order.submitted_by),
        )
        if row is None:
            return None
        await issue_ticket(connection, job_id, order.priority)
        return await _change(connection, job_id, NUMBER_VERSION)

    async def _refuse_when_full(self, connection: Connection) -> None:
        if await _count_waiting(connection) >= self.settings.queue.max_length:
            raise QueueFull(self.settings.queue.retry_after_s)

    async def _get_patiently(self, job_id: UUID) -> Job | None:
        """As `get`, but waits while the database is away: a follower outlives a restart of it."""
        while True:
            try:
                return await self.get(job_id)
            except TRANSIENT:
                await asyncio.sleep(0.5)

    def _has_files(self, job: Job) -> bool:
        """Whether what an attempt needs of an upload is still there."""
        if job.source.kind != "upload" or upload_folder(self.settings.data_folder, job.source.path or "").is_dir():
            return True
        return job.step is Step.store and ResultFolder(self.settings.data_folder, job.id).exists()

    def _remove_files(self, job: Job) -> None:
        ResultFolder(self.settings.data_folder, job.id).remove()
        if job.source.kind == "upload" and job.source.path:
            remove_upload(self.settings.data_folder, job.source.path)


_READ_AND_NOT_DONE = "(state IN ('failed', 'cancelled') AND step = 'store')"


async def _fetch(connection: Connection, query: str, *values: object) -> dict[str, Any] | None:
    cursor = await connection.execute(query.encode(), values)
    return await cursor.fetchone()


async def _lock(connection: Connection, job_id: UUID) -> dict[str, Any]:
    row = await _fetch(connection, f"SELECT {COLUMNS}, ticket FROM jobs WHERE id = %s FOR UPDATE", job_id)  # noqa: S608
    if row is None:
        raise JobNotFound
    return row


async def _change(connection: Connection, job_id: UUID, change: str, *values: object) -> Job:
    row = await _fetch(connection, f"UPDATE jobs SET {change} WHERE id = %s RETURNING {COLUMNS}", *values, job_id)  # noqa: S608
    assert row is not None
    return read_job(row)


async def _count_waiting(connection: Connection) -> int:
    row = await _fetch(connection, "SELECT count(*) AS waiting FROM jobs WHERE state = 'queued'")
    return int(row["waiting"]) if row else 0
