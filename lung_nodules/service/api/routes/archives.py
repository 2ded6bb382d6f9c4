"""The archives that are configured, and what is in them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi import Path as PathParameter
from starlette.requests import Request

from lung_nodules.service.api.documents import problems
from lung_nodules.service.api.problems import ProblemRefusal
from lung_nodules.service.api.schemas import ArchiveEntry, StudiesAsked, StudiesPage
from lung_nodules.service.api.searching import search_archive
from lung_nodules.service.api.state import get_settings
from lung_nodules.service.security.access import GuardedRoute, Role, User, require
from lung_nodules.service.security.audit import AuditedObject
from lung_nodules.service.settings import ServiceSettings

router = APIRouter(prefix="/v1/archives", route_class=GuardedRoute, tags=["archives"])

Viewer = Annotated[User, Depends(require(Role.viewer))]
Operator = Annotated[User, Depends(require(Role.operator))]
Settings = Annotated[ServiceSettings, Depends(get_settings)]
Name = Annotated[str, PathParameter(max_length=64, description="One of GET /v1/archives; no address is ever taken.")]


@router.get("", responses=problems())
async def list_archives(_user: Viewer, settings: Settings) -> list[ArchiveEntry]:
    """List the archives by name."""
    return [
        ArchiveEntry(
            name=name,
            kind=archive.kind,
            is_destination=name in settings.destinations,
            is_watched=name == settings.watch.archive,
        )
        for name, archive in settings.archives.items()
    ]


@router.post("/{name}/search", responses=problems(502, 504))
async def find_studies(
    _user: Operator, settings: Settings, name: Name, asked: StudiesAsked, request: Request
) -> StudiesPage:
    """Look for studies in an archive, newest first. What is sought stands in the body: addresses end in logs."""
    if name not in settings.archives:
        raise ProblemRefusal(404, "archive-unknown", "There is no archive of that name.", "See GET /v1/archives.")
    page = await search_archive(settings, name, asked)
    request.state.audited = [AuditedObject(studies=tuple(study.study_instance_uid for study in page.studies))]
    return page
