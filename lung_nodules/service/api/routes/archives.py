"""The archives that are configured, and what is in them."""

from __future__ import annotations

from typing import Annotated

import anyio
import anyio.to_thread
from fastapi import APIRouter, Depends, Query
from fastapi import Path as PathParameter

from lung_nodules.archive.protocol import StudyEntry, StudyQuery
from lung_nodules.service.api.documents import problems
from lung_nodules.service.api.problems import ProblemRefusal
from lung_nodules.service.api.schemas import ArchiveEntry, StudiesAsked, StudyFound
from lung_nodules.service.api.state import get_settings
from lung_nodules.service.security.access import GuardedRoute, Role, User, require
from lung_nodules.service.settings import ServiceSettings

router = APIRouter(prefix="/v1/archives", route_class=GuardedRoute, tags=["archives"])

Viewer = Annotated[User, Depends(require(Role.viewer))]
Settings = Annotated[ServiceSettings, Depends(get_settings)]
Name = Annotated[str, PathParameter(max_length=64, description="One of GET /v1/archives; no address is ever taken.")]

_at_a_time = anyio.CapacityLimiter(8)  # searches block a thread each, for as long as an archive takes


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


@router.get("/{name}/studies", responses=problems(502, 504))
async def find_studies(
    _user: Viewer, settings: Settings, name: Name, asked: Annotated[StudiesAsked, Query()]
) -> list[StudyFound]:
    """Look for studies in an archive. The query is not logged; let no proxy in front log it either."""
    if name not in settings.archives:
        raise ProblemRefusal(404, "archive-unknown", "There is no archive of that name.", "See GET /v1/archives.")
    query = StudyQuery(
        study_instance_uid=asked.study_instance_uid or "",
        patient_id=asked.patient_id,
        accession_number=asked.accession_number,
        first_date=asked.first_date,
        last_date=asked.last_date,
        modality=asked.modality,
        description=asked.description,
        max_num_studies=asked.limit,
    )
    return await anyio.to_thread.run_sync(_search, settings, name, query, limiter=_at_a_time)


def _search(settings: ServiceSettings, name: str, query: StudyQuery) -> list[StudyFound]:
    from lung_nodules.archive.opening import open_archive

    with open_archive(settings.archives[name], name) as archive:
        return [_found(entry) for entry in archive.find_studies(query)]


def _found(entry: StudyEntry) -> StudyFound:
    return StudyFound(
        study_instance_uid=entry.study_instance_uid,
        study_date=entry.study_date,
        study_time=entry.study_time,
        modalities=entry.modalities,
        description=entry.description,
        num_series=entry.num_series,
        num_instances=entry.num_instances,
        patient_id=entry.patient_id,
        accession_number=entry.accession_number,
    )
