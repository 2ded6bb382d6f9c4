"""What routes say of themselves in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from lung_nodules.service.api.problems import MEDIA_TYPE, Problem
from lung_nodules.service.api.schemas import EXAMPLE_JOB, EXAMPLE_STUDY
from lung_nodules.service.security.access import rule_of

Responses = dict[int | str, dict[str, Any]]

_PROBLEMS = {
    400: "The request cannot be read.",
    401: "No token, or one that is not taken.",
    403: "The role does not suffice.",
    404: "There is no such thing.",
    405: "The path knows other methods.",
    408: "Nothing has come for a while.",
    409: "The job is not in a state in which that can be done.",
    413: "Too large, too many, or beyond the quota.",
    415: "The path takes another media type.",
    421: "The service does not answer under this name.",
    422: "The request is not valid, or what was sent cannot be used.",
    429: "Too many requests; see Retry-After.",
    500: "A defect of ours.",
    502: "The archive has failed.",
    503: "Not now: the queue is full, or the database or the audit log is away; see Retry-After.",
    504: "The archive did not answer in time.",
    507: "The disk is full.",
}


def problems(*statuses: int) -> Responses:
    """Problem documents that a route may answer with, beside those that each may."""
    usual = (400, 401, 403, 404, 405, 413, 415, 421, 422, 429, 500, 503)
    return {
        status: {"description": _PROBLEMS[status], "content": {MEDIA_TYPE: {"schema": _problem_reference()}}}
        for status in sorted({*usual, *statuses})
    }


def json_example(description: str, example: object) -> dict[str, Any]:
    """A JSON answer with its example."""
    return {"description": description, "content": {"application/json": {"example": example}}}


def accepted() -> Responses:
    """A job was queued."""
    header = {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}}
    return {
        202: {
            **json_example("The job, queued or already known.", {**EXAMPLE_JOB, "state": "queued"}),
            "headers": header,
        }
    }


def binary(media_type: str, description: str) -> Responses:
    """An answer that is a file."""
    schema = {"type": "object"} if media_type == "application/json" else _BYTES
    return {200: {"description": description, "content": {media_type: {"schema": schema}}}}


_BYTES = {"type": "string", "format": "binary"}
UPLOAD_BODY: Mapping[str, Any] = {
    "application/zip": {"schema": _BYTES},
    "multipart/form-data": {
        "schema": {
            "type": "object",
            "properties": {"files": {"type": "array", "items": _BYTES, "minItems": 1}},
            "required": ["files"],
        }
    },
}
STUDY_BODY: Mapping[str, Any] = {
    "application/json": {
        "schema": {"$ref": "#/components/schemas/StudyOrder"},
        "example": {"study_instance_uid": EXAMPLE_STUDY, "archive": "pacs", "priority": 0},
    }
}


def body(*contents: Mapping[str, Any]) -> dict[str, Any]:
    """A request body that a route reads itself."""
    content = {media_type: each for part in contents for media_type, each in part.items()}
    return {"requestBody": {"required": True, "content": content}}


def install(app: FastAPI) -> None:
    """Let the document name each route's role, and hold the schema of problems."""

    def document() -> dict[str, Any]:
        if not app.openapi_schema:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI documents it


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        license_info=app.license_info,
    )
    schemas = document["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    own = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(own.pop("$defs", {}))
    schemas["Problem"] = own
    _name_roles(app, document)
    return document


def _name_roles(app: FastAPI, document: dict[str, Any]) -> None:
    for route in declared_routes(app):
        rule = rule_of(route.dependant)
        if rule is None or not route.include_in_schema:
            continue
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["x-role"] = str(rule.role)
            operation["description"] = f"{operation.get('description', '')}\n\nRole: **{rule.role}**.".strip()


def declared_routes(app: FastAPI) -> Iterator[APIRoute]:
    """Every route of the API, those of included routers too; not the page's files."""
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute):
            yield context  # type: ignore[misc]  # it stands for the route, with the path and rules that it has here


def _problem_reference() -> dict[str, str]:
    return {"$ref": "#/components/schemas/Problem"}
