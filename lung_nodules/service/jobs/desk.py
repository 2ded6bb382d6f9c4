"""The desk: the one door through which API, watcher and listener reach the jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

from lung_nodules.service.jobs.model import Job, JobOrder, JobPage, JobQuery, JobState
from lung_nodules.service.settings import ServiceSettings


@asynccontextmanager
async def open_desk(settings: ServiceSettings) -> AsyncIterator[JobDesk]:
    """Connect to the database (which must run), bring its tables up to date, and give a desk.

    Raises:
        UsageRefusal: ``database-unreachable``.
    """
    yield JobDesk(settings)


class JobDesk:
    """Submit, look at and steer jobs. Safe to use from any number of tasks of one event loop."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings

    async def submit(self, order: JobOrder) -> Job:
        """Queue a study; one that is queued, running or done with this content and these models is given back.

        Raises:
            QueueFull: Too many wait; with `retry_after_s`.
        """
        raise NotImplementedError

    async def get(self, job_id: UUID) -> Job | None:
        """Give a job as it is now."""
        raise NotImplementedError

    async def list(self, query: JobQuery) -> JobPage:
        """Give jobs, newest first, page by page (keyset cursor)."""
        raise NotImplementedError

    async def cancel(self, job_id: UUID) -> Job:
        """Let a job not begin, or end where it is: a running one is `cancelled` when its worker has stopped.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-ended``.
        """
        raise NotImplementedError

    async def retry(self, job_id: UUID) -> Job:
        """Queue a job again that was refused, failed, set aside or cancelled; its counts begin anew.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-not-retriable``.
            QueueFull: Too many wait.
        """
        raise NotImplementedError

    async def delete(self, job_id: UUID) -> None:
        """Remove an ended job with its files.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-not-ended``: cancel it first.
        """
        raise NotImplementedError

    async def set_priority(self, job_id: UUID, priority: int) -> Job:
        """Let a queued job go sooner or later.

        Raises:
            JobNotFound: There is none.
            JobConflict: ``job-not-queued``.
        """
        raise NotImplementedError

    def follow(self, job_id: UUID | None = None) -> AsyncIterator[Job]:
        """Give a job (or any) as it is now, and again each time that it changes, without an end.

        With no `job_id` only changes are given. Changes that follow each other fast are given as one.
        """
        raise NotImplementedError

    async def counts(self) -> Mapping[JobState, int]:
        """Give the number of jobs in each state, zeros included."""
        raise NotImplementedError

    async def queue_length(self) -> int:
        """Give the number of jobs that wait."""
        raise NotImplementedError

    async def oldest_waiting_s(self) -> float:
        """Give how long the oldest queued job has waited, seconds; 0 when none waits."""
        raise NotImplementedError

    async def is_ready(self) -> bool:
        """Tell whether the database answers."""
        raise NotImplementedError
