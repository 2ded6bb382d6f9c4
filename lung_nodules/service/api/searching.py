"""Looking for studies in an archive, newest first, page by page.

An archive gives its matches in no particular order. They are sorted here, up to a bound; a page begins after the study
with which the one before has ended, so that what arrives meanwhile moves nothing. A study whose Study Instance UID is
none is left out: nobody can ask for it, and no audit entry can name it.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Iterable
from datetime import date

import anyio
import anyio.to_thread

from lung_nodules.archive.naming import is_uid
from lung_nodules.archive.protocol import StudyEntry, StudyQuery
from lung_nodules.errors import UsageRefusal
from lung_nodules.service.api.schemas import StudiesAsked, StudiesPage, StudyFound
from lung_nodules.service.settings import ServiceSettings

logger = logging.getLogger(__name__)

MAX_SORTED = 2000

_at_a_time = anyio.CapacityLimiter(8)  # searches block a thread each, for as long as an archive takes
_Place = tuple[str, str, str]  # day, time and UID of a study


async def search_archive(settings: ServiceSettings, name: str, asked: StudiesAsked) -> StudiesPage:
    """Give a page of the studies that match, of an archive that is configured.

    Raises:
        ArchiveRefusal: The archive cannot be asked.
        UsageRefusal: ``bad-cursor``.
    """
    after = None if asked.cursor is None else _read_cursor(asked.cursor)
    query = StudyQuery(
        study_instance_uid=asked.study_instance_uid or "",
        patient_id=asked.patient_id,
        patient_name=asked.patient_name,
        accession_number=asked.accession_number,
        first_date=asked.first_date,
        last_date=asked.last_date,
        modality=asked.modality,
        description=asked.description,
        max_num_studies=MAX_SORTED + 1,
    )
    entries = await anyio.to_thread.run_sync(_search, settings, name, query, limiter=_at_a_time)
    shown = [entry for entry in entries[:MAX_SORTED] if is_uid(entry.study_instance_uid)]
    if num_odd := min(len(entries), MAX_SORTED) - len(shown):
        logger.warning("A search of the archive %s leaves out studies without a valid UID: %d.", name, num_odd)
    return _page(shown, after, asked.limit, is_cut=len(entries) > MAX_SORTED)


def _search(settings: ServiceSettings, name: str, query: StudyQuery) -> list[StudyEntry]:
    from lung_nodules.archive.opening import open_archive

    with open_archive(settings.archives[name], name) as archive:
        return list(archive.find_studies(query))


def _page(entries: Iterable[StudyEntry], after: _Place | None, limit: int, *, is_cut: bool) -> StudiesPage:
    newest_first = sorted(entries, key=_place_of, reverse=True)
    rest = [entry for entry in newest_first if after is None or _place_of(entry) < after]
    page = rest[:limit]
    return StudiesPage(
        studies=tuple(_found(entry) for entry in page),
        next_cursor=_write_cursor(_place_of(page[-1])) if len(rest) > limit else None,
        is_cut=is_cut,
    )


def _place_of(entry: StudyEntry) -> _Place:
    return (entry.study_date or date.min).isoformat(), entry.study_time, entry.study_instance_uid


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
        patient_name=entry.patient_name,
        accession_number=entry.accession_number,
    )


def _write_cursor(place: _Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> _Place:
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise UsageRefusal("bad-cursor", "The cursor is none that a page has given.") from error
    if not (isinstance(place, list) and len(place) == 3 and all(isinstance(part, str) for part in place)):
        raise UsageRefusal("bad-cursor", "The cursor is none that a page has given.")
    return place[0], place[1], place[2]
