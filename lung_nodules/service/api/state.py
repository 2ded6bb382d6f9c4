"""What the routes share, as dependencies: `Annotated[JobDesk, Depends(get_desk)]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends
from starlette.requests import Request

from lung_nodules.service.api.health import Readiness
from lung_nodules.service.api.metrics import Metrics
from lung_nodules.service.api.streams import Streams
from lung_nodules.service.api.uploads.spool import Spool
from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.model import Job, JobNotFound
from lung_nodules.service.security.audit import AuditedObject, AuditLog
from lung_nodules.service.security.identity import Identifier
from lung_nodules.service.settings import ServiceSettings


@dataclass(frozen=True)
class ServiceState:
    """One application's parts, made when it starts; `app.state.service`."""

    settings: ServiceSettings
    desk: JobDesk
    identifier: Identifier
    audit: AuditLog
    streams: Streams
    spool: Spool
    metrics: Metrics
    readiness: Readiness


def get_state(request: Request) -> ServiceState:
    """All of it."""
    state: ServiceState = request.app.state.service
    return state


def get_desk(request: Request) -> JobDesk:
    """The desk: the only door to the jobs."""
    return get_state(request).desk


def get_settings(request: Request) -> ServiceSettings:
    """The settings that the service was started with."""
    return get_state(request).settings


def audited(job: Job) -> AuditedObject:
    """A job as the audit log names it."""
    return AuditedObject(job.id, (job.study_instance_uid,) if job.study_instance_uid else ())


async def get_job(job_id: UUID, desk: Annotated[JobDesk, Depends(get_desk)], request: Request) -> Job:
    """The job that a path names, named to the audit log, too.

    Raises:
        JobNotFound: 404.
    """
    job = await desk.get(job_id)
    if job is None:
        raise JobNotFound
    request.state.audited = [audited(job)]
    return job
