"""Jobs: list and search, look at, cancel, try again, put forward, delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from lung_nodules.service.api.documents import Responses, json_example, problems
from lung_nodules.service.api.schemas import EXAMPLE_JOB, JobsAsked, PriorityOrder, shown, shown_page
from lung_nodules.service.api.state import audited, get_desk, get_job
from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.model import Job, JobPage, JobQuery
from lung_nodules.service.security.access import AccessRefusal, GuardedRoute, Role, User, require

router = APIRouter(prefix="/v1", route_class=GuardedRoute, tags=["jobs"])

Desk = Annotated[JobDesk, Depends(get_desk)]
Named = Annotated[Job, Depends(get_job)]
Viewer = Annotated[User, Depends(require(Role.viewer, often=True))]
Operator = Annotated[User, Depends(require(Role.operator))]
Admin = Annotated[User, Depends(require(Role.admin))]

_ONE: Responses = {200: json_example("The job.", EXAMPLE_JOB)}
_PAGE: Responses = {200: json_example("Jobs, newest first.", {"jobs": [EXAMPLE_JOB], "next_cursor": None})}


@router.get("/jobs", responses={**problems(), **_PAGE})
async def list_jobs(asked: Annotated[JobsAsked, Query()], user: Viewer, desk: Desk) -> JobPage:
    """List jobs, newest first, page by page."""
    query = JobQuery(
        states=tuple(asked.state),
        text=asked.q,
        submitted_by=user.name if asked.mine else None,
        created_after=asked.after,
        created_before=asked.before,
        limit=asked.limit,
        cursor=asked.cursor,
    )
    return shown_page(await desk.list(query))


@router.get("/jobs/{job_id}", responses={**problems(), **_ONE})
async def show_job(_user: Viewer, job: Named) -> Job:
    """Show a job as it is now."""
    return shown(job)


@router.delete("/jobs/{job_id}", status_code=204, responses=problems(409))
async def delete_job(_user: Admin, job: Named, desk: Desk, request: Request) -> None:
    """Remove an ended job with its files, and its duplicates. What is in the archive stays there."""
    request.state.audited = [audited(each) for each in await desk.delete(job.id)]


@router.post("/jobs/{job_id}/cancel", responses={**problems(409), **_ONE})
async def cancel_job(_user: Operator, job: Named, desk: Desk) -> Job:
    """Let a job not begin, or end where it is."""
    return shown(await desk.cancel(job.id))


@router.post("/jobs/{job_id}/retry", responses={**problems(409), **_ONE})
async def retry_job(_user: Operator, job: Named, desk: Desk) -> Job:
    """Queue a job again that ended without a result."""
    return shown(await desk.retry(job.id))


@router.put("/jobs/{job_id}/priority", responses={**problems(409), **_ONE})
async def set_priority(order: PriorityOrder, user: Operator, job: Named, desk: Desk) -> Job:
    """Let a queued job go sooner or later: an operator's own, an admin's any."""
    if job.submitted_by != user.name and not user.role.covers(Role.admin):
        raise AccessRefusal(403, "not-yours", "Another user has submitted this job.", "An admin may change it.")
    return shown(await desk.set_priority(job.id, order.priority))
