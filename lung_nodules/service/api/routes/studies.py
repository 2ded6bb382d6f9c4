"""Submitting: `POST /v1/studies`, `POST /v1/uploads`, and the reference design's `POST /generate_report`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from lung_nodules.service.api.documents import STUDY_BODY, UPLOAD_BODY, accepted, body, problems
from lung_nodules.service.api.schemas import StudyOrder, UploadAsked
from lung_nodules.service.api.state import ServiceState, get_state
from lung_nodules.service.api.submitting import point_to, submit_study, submit_upload
from lung_nodules.service.jobs.model import Job
from lung_nodules.service.security.access import MAX_JSON_BYTES, GuardedRoute, Role, User, require

router = APIRouter(route_class=GuardedRoute, tags=["submitting"])

Operator = Annotated[User, Depends(require(Role.operator))]
State = Annotated[ServiceState, Depends(get_state)]
AskedOfUpload = Annotated[UploadAsked, Query()]


@router.post("/v1/studies", status_code=202, responses={**problems(), **accepted()})
async def create_job_of_study(
    order: StudyOrder, user: Operator, state: State, request: Request, response: Response
) -> Job:
    """Read a study of an archive. The same study, content and models give the same job."""
    return point_to(await submit_study(order, state, user), request, response)


@router.post(
    "/v1/uploads",
    status_code=202,
    responses={**problems(400, 408, 507), **accepted()},
    openapi_extra=body(UPLOAD_BODY),
)
async def create_job_of_upload(
    user: Operator, state: State, request: Request, response: Response, asked: AskedOfUpload
) -> Job:
    """Read a study that is sent: a ZIP, or a form with DICOM files (or one ZIP).

    Names of files are not kept. Nothing of an upload that is refused stays.
    """
    return point_to(await submit_upload(request, asked.priority, state, user), request, response)


@router.post(
    "/generate_report",
    status_code=202,
    responses={**problems(400, 408, 507), **accepted()},
    openapi_extra=body(STUDY_BODY, UPLOAD_BODY),
)
async def generate_report(
    user: Operator, state: State, request: Request, response: Response, asked: AskedOfUpload
) -> Job:
    """Alias of `POST /v1/studies` for JSON, and of `POST /v1/uploads` for everything else.

    The answer comes at once; the report is at `/v1/jobs/{job_id}/report` when the job is done.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        job = await submit_study(await _order_of(request), state, user)
    else:
        job = await submit_upload(request, asked.priority, state, user)
    return point_to(job, request, response)


async def _order_of(request: Request) -> StudyOrder:
    try:
        return StudyOrder.model_validate_json(await _small_body(request))
    except ValidationError as error:
        errors = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(errors) from error


async def _small_body(request: Request) -> bytes:
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_JSON_BYTES:
            raise HTTPException(413)
    return bytes(content)
