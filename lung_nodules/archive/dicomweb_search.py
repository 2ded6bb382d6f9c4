"""What a search by QIDO-RS asks, and what counts as an answer to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lung_nodules.archive.protocol import StudyQuery
from lung_nodules.archive.queries import date_range
from lung_nodules.archive.refusals import ArchiveRefusal

_ENCODED = re.compile(r"[^A-Za-z0-9._~*?-]")


def items_of(call: Callable[[], list[dict[str, Any]]]) -> list[Mapping[str, Any]]:
    """The matches of an answer.

    Raises:
        ArchiveRefusal: ``archive-bad-answer`` where it is no list of objects.
    """
    try:
        items = call()
    except (ValueError, LookupError):  # requests' own for what is no JSON is a ValueError, too
        items = None
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise ArchiveRefusal("archive-bad-answer", "The archive's answer is no list in DICOM JSON.")
    return list(items)


def filters_of(query: StudyQuery) -> dict[str, str]:
    """Matching keys of QIDO-RS (PS3.18 8.3.4.1); `does_match` narrows what they leave open."""
    filters = {
        "StudyInstanceUID": query.study_instance_uid,
        "PatientID": _open_up(query.patient_id),
        "PatientName": _open_up(query.patient_name),
        "AccessionNumber": _open_up(query.accession_number),
        "StudyDate": date_range(query),
        "ModalitiesInStudy": query.modality,
        "StudyDescription": _open_up(query.description),
    }
    return {keyword: value for keyword, value in filters.items() if value}


def _open_up(value: str) -> str:
    """Put a wildcard where a character would be percent-encoded: Orthanc up to 1.10 compares the encoded form."""
    return _ENCODED.sub("?", value)
