"""Every error as a problem document (RFC 9457) with a coded reason.

What a client gets is a code, a sentence of ours and advice. Nothing that it sent, and nothing that was read from a
study, is repeated: a value may be a patient's name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import psycopg
import psycopg_pool
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticKnownError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path

from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.errors import InputRefusal, ModelRefusal, Refusal, UsageRefusal
from lung_nodules.service.jobs.model import JobConflict, JobNotFound, QueueFull
from lung_nodules.service.security.access import AccessRefusal

MEDIA_TYPE = "application/problem+json"
DATABASE_RETRY_AFTER_S = 5
_LONGEST_RETRY_AFTER_S = 86_400  # an archive may ask for more, by a clock that is wrong, too

_STATUS_OF_TYPE: dict[type[Refusal], int] = {
    QueueFull: 503,
    JobNotFound: 404,
    JobConflict: 409,
    ArchiveRefusal: 502,
    InputRefusal: 422,
    UsageRefusal: 422,
    ModelRefusal: 503,
}
_STATUS_OF_CODE = {
    "archive-timeout": 504,
    "archive-busy": 503,
    "archive-not-supported": 422,
    "study-not-found": 404,
    "series-not-found": 404,
    "bad-query": 422,
    "bad-uid": 422,
}
_CODE_OF_STATUS = {
    400: ("bad-request", "The request cannot be read."),
    404: ("no-such-path", "There is nothing under this path."),
    405: ("method-not-allowed", "This path knows other methods; the header Allow lists them."),
    413: ("body-too-large", "The body of the request is larger than this path takes."),
    415: ("media-type", "This path takes another media type."),
}
_OF_OURS = {"expected", "pattern", "gt", "ge", "lt", "le", "min_length", "max_length", "multiple_of", "expected_tz"}


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(examples=["body.study_instance_uid"])
    code: str = Field(examples=["string_pattern_mismatch"])
    sentence: str = Field(examples=["String should match pattern '^[0-9.]+$'"])


class Problem(BaseModel):
    """A problem document (RFC 9457), with the code, the advice and the fields that are ours."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:problem-type:lung-nodules:queue-full",
                    "title": "Queue full",
                    "status": 503,
                    "detail": "So many studies wait that no more are taken now.",
                    "code": "queue-full",
                    "advice": "Submit it again later.",
                    "instance": "urn:uuid:2f0c0b62-6c5c-4f0e-9d3f-3c8e0d9a1b57",
                }
            ]
        }
    )

    type: str = Field(description="A name of the kind of problem; not an address.")
    title: str
    status: int = Field(ge=400, le=599)
    detail: str = Field(description="One sentence; never with patient data.")
    code: str = Field(description="Stable reason in kebab case.")
    advice: str = Field("", description="What can be done about it.")
    instance: str | None = Field(None, description="The request, as the access log names it.")
    errors: list[FieldProblem] = Field([], description="Of a request that is not valid: field by field.")


class ProblemRefusal(Refusal):
    """A refusal of the web interface itself.

    Args:
        status: HTTP status.
        headers: Beside the usual ones, for example Retry-After.
    """

    def __init__(
        self, status: int, code: str, sentence: str, advice: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(code, sentence, advice)
        self.status = status
        self.headers = dict(headers or {})


def problem(
    status: int,
    code: str,
    detail: str,
    advice: str = "",
    *,
    request_id: str | None = None,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, Any] | None = None,
) -> Response:
    """Write a problem as a response; `extensions` are further members (RFC 9457, 3.2)."""
    document = Problem(
        type=f"urn:problem-type:lung-nodules:{code}",
        title=code.replace("-", " ").replace("_", " ").capitalize(),
        status=status,
        detail=detail,
        code=code,
        advice=advice,
        instance=f"urn:uuid:{request_id}" if request_id else None,
        errors=list(errors),
    )
    left_out = {name for name in ("instance", "errors") if not getattr(document, name)}
    content = {**document.model_dump(exclude=left_out), **(extensions or {})}
    return Response(json.dumps(content), status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def status_of(refusal: Refusal) -> int:
    """Which HTTP status a refusal becomes; 500 for a kind that has none."""
    own = getattr(refusal, "status", None)
    if isinstance(own, int):
        return own
    if isinstance(refusal, ArchiveRefusal | InputRefusal) and refusal.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[refusal.code]
    return next((_STATUS_OF_TYPE[kind] for kind in type(refusal).__mro__ if kind in _STATUS_OF_TYPE), 500)


def of_refusal(request: Request, refusal: Refusal) -> Response:
    """Answer a refusal; 401 tells how to authenticate, and a full queue when to come again."""
    status = status_of(refusal)
    headers = dict(getattr(refusal, "headers", {}))
    if isinstance(refusal, AccessRefusal) and status == 401:
        headers["WWW-Authenticate"] = f'Bearer realm="lung-nodules", error="{_bearer_error(refusal.code)}"'
    retry_after_s = getattr(refusal, "retry_after_s", None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(min(max(retry_after_s, 1), _LONGEST_RETRY_AFTER_S)))
    elif status in (429, 503):
        headers.setdefault("Retry-After", "60")
    request.state.problem_code = refusal.code
    return problem(
        status, refusal.code, refusal.sentence, refusal.advice, request_id=_request_id(request), headers=headers
    )


def install(app: FastAPI) -> None:
    """Answer every kind of error with a problem document."""
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)
    for kind in (psycopg.OperationalError, psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed):
        app.add_exception_handler(kind, _on_lost_database)


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return of_refusal(request, error)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    request.state.problem_code = "invalid-request"
    fields = [_field_problem(each) for each in error.errors()[:20]]
    detail = f"The request is not valid: {fields[0].field}." if fields else "The request is not valid."
    return problem(422, "invalid-request", detail, "See errors.", request_id=_request_id(request), errors=fields)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    default = (f"http-{error.status_code}", f"{HTTPStatus(error.status_code).phrase}.")
    code, sentence = _CODE_OF_STATUS.get(error.status_code, default)
    request.state.problem_code = code
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(sorted(_methods_of(request)))
    return problem(error.status_code, code, sentence, request_id=_request_id(request), headers=headers)


async def _on_lost_database(request: Request, error: Exception) -> Response:
    del error
    request.state.problem_code = "database-unavailable"
    headers = {"Retry-After": str(DATABASE_RETRY_AFTER_S)}
    sentence = "The database does not answer."
    return problem(503, "database-unavailable", sentence, request_id=_request_id(request), headers=headers)


def _methods_of(request: Request) -> set[str]:
    """All methods of a path; the router knows those of the first route that has it."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    routes = (context for context in iter_route_contexts(request.app.routes) if context.path_format)
    return {
        method
        for route in routes
        if compile_path(route.path_format or "")[0].match(path)
        for method in route.methods or ()
    }


def _field_problem(error: Mapping[str, Any]) -> FieldProblem:
    """Word one validation error without repeating what was sent: neither value nor unknown key."""
    place = list(error["loc"])
    if error["type"] == "extra_forbidden":
        place[-1:] = []
    field = ".".join(str(part) for part in place if not (error["type"] == "json_invalid" and isinstance(part, int)))
    return FieldProblem(field=field, code=error["type"], sentence=_sentence(error))


def _sentence(error: Mapping[str, Any]) -> str:
    """The sentence of pydantic's own kind of error, where all that it quotes is ours."""
    context = {name: value for name, value in error.get("ctx", {}).items() if name in _OF_OURS}
    try:
        return PydanticKnownError(error["type"], context or None).message()
    except (KeyError, TypeError, ValueError):
        return "The value is not valid."


def _bearer_error(code: str) -> str:
    return "invalid_request" if code == "no-token" else "invalid_token"


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)
