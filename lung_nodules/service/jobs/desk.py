"""The desk: the one door through which API, watcher and listener reach the jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from psycopg import errors

from lung_nodules.service.database.address import database_url
from lung_nodules.service.database.pool import TRANSIENT, Connection, Pool, open_pool
from lung_nodules.service.database.schema import prepare_database
from lung_nodules.service.jobs.changes import Changes
from lung_nodules.service.jobs.deleting import delete_with_duplicates
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
    Step,
)
from lung_nodules.service.jobs.models_hash import hash_models
from lung_nodules.service.jobs.orders import change, count_waiting, fetch, find_same, insert, refuse_when_full
from lung_nodules.service.jobs.places import upload_folder
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.jobs.rows import COLUMNS, FORGIVEN, read_job
from lung_nodules.service.jobs.tickets import abort_ticket, issue_ticket, reissue_ticket, void_ticket
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
                job = await find_same(connection, order, self.models_hash)
                if job is None:
                    await refuse_when_full(connection, self.settings.queue)
                    job = await insert(connection, order, self.models_hash)
                if job is not None:
                    return job

    async def get(self, job_id: UUID) -> Job | None:
        """Give a job as it is now."""
        async with self.pool.connection() as connection:
            row = await fetch(connection, f"SELECT {COLUMNS} FROM jobs WHERE id = %s", job_id)  # noqa: S608  # of constants of ours; values are parameters
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
                what = "state = 'cancelled', finished_at = now(), progress = 0"
                await void_ticket(connection, row["ticket"])
            else:
                what = "cancel_requested = true"
                await abort_ticket(connection, row["ticket"])
            return await change(connection, job_id, what)

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
            await refuse_when_full(connection, self.settings.queue)
            what = (
                f"state = 'queued', crashes = 0, losses = 0, {FORGIVEN}, reason = NULL, cancel_requested = false,"
                " finished_at = NULL, progress = 0, stage = '', pruned = false"
            )
            try:
                async with connection.transaction():
                    await change(connection, job_id, what)
            except errors.UniqueViolation as error:
                raise JobConflict("job-superseded", "Another job reads the same study.") from error
            await issue_ticket(connection, job_id, row["priority"])
            return await change(connection, job_id, "priority = priority")

    async def delete(self, job_id: UUID) -> Sequence[Job]:
        """Remove an ended job with its files, and its duplicates with theirs.

        Returns:
            What went, the job itself first.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-not-ended``: cancel it first.
        """
        async with self.pool.connection() as connection, connection.transaction():
            row = await _lock(connection, job_id)
            if row["state"] not in ENDED:
                raise JobConflict("job-not-ended", "The job has not ended.", "Cancel it first.")
            return await delete_with_duplicates(connection, read_job(row), self.settings.data_folder)

    async def set_priority(self, job_id: UUID, priority: int) -> Job:
        """Let a queued job go sooner or later; one that pauses before it is tried again goes on pausing.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-not-queued``.
        """
        async with self.pool.connection() as connection, connection.transaction():
            row = await _lock(connection, job_id)
            if row["state"] != JobState.queued:
                raise JobConflict("job-not-queued", "Only a job that waits can go sooner or later.")
            await reissue_ticket(connection, job_id, row["ticket"], priority)
            return await change(connection, job_id, "priority = %s", priority)

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
            return await count_waiting(connection)

    async def oldest_waiting_s(self) -> float:
        """Give how long the oldest queued job has waited, seconds; 0 when none waits."""
        query = "SELECT extract(epoch FROM now() - min(waiting_since)) AS age FROM jobs WHERE state = 'queued'"
        async with self.pool.connection() as connection:
            row = await fetch(connection, query)
        return max(float(row["age"]), 0.0) if row and row["age"] is not None else 0.0

    async def is_ready(self) -> bool:
        """Tell whether the database answers, within two seconds."""
        try:
            async with asyncio.timeout(2.0), self.pool.connection(timeout=2.0) as connection:
                await connection.execute("SELECT 1 FROM jobs LIMIT 1")
        except (*TRANSIENT, TimeoutError):
            return False
        return True

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


async def _lock(connection: Connection, job_id: UUID) -> dict[str, Any]:
    row = await fetch(connection, f"SELECT {COLUMNS}, ticket FROM jobs WHERE id = %s FOR UPDATE", job_id)  # noqa: S608  # of constants of ours; values are parameters
    if row is None:
        raise JobNotFound
    return row
