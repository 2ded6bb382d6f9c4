"""From a request to a job: by UID, or by upload."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from lung_nodules.service.api.problems import ProblemRefusal
from lung_nodules.service.api.schemas import StudyOrder, shown
from lung_nodules.service.api.state import ServiceState, audited
from lung_nodules.service.api.uploads.receiving import receive
from lung_nodules.service.jobs.model import Job, JobOrder, QueueFull, Source
from lung_nodules.service.security.access import User
from lung_nodules.service.settings import ServiceSettings


async def submit_study(order: StudyOrder, state: ServiceState, user: User) -> Job:
    """Queue a study of an archive.

    Raises:
        ProblemRefusal: 422 ``archive-unknown``, ``archive-needed``.
        QueueFull: 503.
    """
    source = Source(
        kind="archive",
        archive=chosen_archive(order.archive, state.settings),
        study_instance_uid=order.study_instance_uid,
    )
    return await state.desk.submit(JobOrder(source=source, priority=order.priority, submitted_by=user.name))


async def submit_upload(request: Request, priority: int, state: ServiceState, user: User) -> Job:
    """Take an upload and queue it; nothing of it stays where either does not succeed.

    Raises:
        UploadRefusal: What was sent cannot be taken.
        QueueFull: 503, before a byte of the body was read.
    """
    if await state.desk.queue_length() >= state.settings.queue.max_length:
        raise QueueFull(state.settings.queue.retry_after_s)
    declared = request.headers.get("content-length", "")
    async with state.spool.begin(user.name, int(declared) if declared.isdecimal() else None) as upload:
        await receive(request, upload)
        path = upload.appear()
        order = JobOrder(source=Source(kind="upload", path=path), priority=priority, submitted_by=user.name)
        job = await state.desk.submit(order)
    state.metrics.upload_bytes.inc(upload.num_bytes)
    return job


def chosen_archive(name: str | None, settings: ServiceSettings) -> str:
    """The archive that a request means: only configured names are taken, so that nobody can make us ask elsewhere.

    Raises:
        ProblemRefusal: 422 ``archive-unknown``, ``archive-needed``.
    """
    if name is None and len(settings.archives) == 1:
        return next(iter(settings.archives))
    if name is None:
        raise ProblemRefusal(422, "archive-needed", "Say which archive holds the study.", "See GET /v1/archives.")
    if name not in settings.archives:
        raise ProblemRefusal(422, "archive-unknown", "There is no archive of that name.", "See GET /v1/archives.")
    return name


def point_to(job: Job, request: Request, response: Response) -> Job:
    """Name the job's address in Location, and the job to the audit log."""
    request.state.job_id = job.id
    request.state.audited = [audited(job)]
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/v1/jobs/{job.id}"
    return shown(job)
