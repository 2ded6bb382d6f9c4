"""Server-sent events: jobs as they change."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends
from fastapi.sse import EventSourceResponse, ServerSentEvent

from lung_nodules.service.api.documents import problems
from lung_nodules.service.api.schemas import shown
from lung_nodules.service.api.state import ServiceState, get_desk, get_job, get_state
from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.model import Job
from lung_nodules.service.security.access import GuardedRoute, Role, User, require

router = APIRouter(prefix="/v1", route_class=GuardedRoute, tags=["events"])

LONGEST_S = 900.0  # then the client comes again, and shows its token again

Desk = Annotated[JobDesk, Depends(get_desk)]
Viewer = Annotated[User, Depends(require(Role.viewer, often=True))]


async def hold_place(user: Viewer, state: Annotated[ServiceState, Depends(get_state)]) -> AsyncIterator[None]:
    """Hold the caller's place until the stream has ended.

    Raises:
        AccessRefusal: 429 ``too-many-streams``.
    """
    with state.streams.one(user.name):
        yield


Place = Depends(hold_place, scope="request")


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, responses=problems(), dependencies=[Place])
async def follow_job(
    _user: Viewer, job: Annotated[Job, Depends(get_job)], desk: Desk
) -> AsyncIterable[ServerSentEvent]:
    """Follow a job: `event: job` with the job as it is now, and each time that it changes; a comment every 15 s."""
    async for event in _events(desk.follow(job.id)):
        yield event


@router.get("/events", response_class=EventSourceResponse, responses=problems(), dependencies=[Place])
async def follow_jobs(_user: Viewer, desk: Desk) -> AsyncIterable[ServerSentEvent]:
    """Follow all jobs: `event: job` with each one that changes; a comment every 15 s."""
    async for event in _events(desk.follow()):
        yield event


async def _events(changes: AsyncIterator[Job]) -> AsyncIterator[ServerSentEvent]:
    ends_at = time.monotonic() + LONGEST_S
    while True:
        job: Job | None = None
        with anyio.move_on_after(ends_at - time.monotonic()):
            job = await anext(changes, None)
        if job is None:
            return
        yield ServerSentEvent(event="job", data=shown(job))
