"""Whose studies jobs have read, for those who look for one in the work list.

A job itself tells nothing of the patient: rows, events and logs hold no identity. It is read from the reports, which
whoever may see the list may open, and goes with them when a job is deleted or its files are pruned.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import anyio.to_thread
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request

from lung_nodules.service.api.documents import problems
from lung_nodules.service.api.routes.results import find_results
from lung_nodules.service.api.schemas import StudyOfJob, WhoseAsked
from lung_nodules.service.api.state import get_desk, get_settings
from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.model import Job
from lung_nodules.service.security.access import GuardedRoute, Role, User, require
from lung_nodules.service.security.audit import AuditedObject
from lung_nodules.service.settings import ServiceSettings

router = APIRouter(prefix="/v1", route_class=GuardedRoute, tags=["results"])

Viewer = Annotated[User, Depends(require(Role.viewer, often=True))]


@router.get("/studies", responses=problems())
async def list_studies(
    _user: Viewer,
    desk: Annotated[JobDesk, Depends(get_desk)],
    settings: Annotated[ServiceSettings, Depends(get_settings)],
    asked: Annotated[WhoseAsked, Query()],
    request: Request,
) -> list[StudyOfJob]:
    """Say whose studies these jobs have read; one that has no report is left out."""
    jobs = [await desk.get(job_id) for job_id in dict.fromkeys(asked.job_id)]
    told = await anyio.to_thread.run_sync(_read_all, [job for job in jobs if job is not None], settings)
    request.state.audited = [AuditedObject(study.job_id, (study.study_instance_uid,)) for study in told]
    return told


def _read_all(jobs: list[Job], settings: ServiceSettings) -> list[StudyOfJob]:
    told = [(job, _study_of(job, settings)) for job in jobs]
    return [StudyOfJob.model_validate({**study, "job_id": job.id}) for job, study in told if study is not None]


def _study_of(job: Job, settings: ServiceSettings) -> dict[str, Any] | None:
    results = find_results(job, settings)
    if results is None:
        return None
    try:
        study = json.loads((results.folder / "report.json").read_bytes()).get("study")
    except OSError:  # removed meanwhile
        return None
    return {name: study.get(name) for name in StudyOfJob.model_fields if name != "job_id"} if study else None
