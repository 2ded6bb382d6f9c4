"""What a search by QIDO-RS asks, and what counts as an answer in DICOM JSON."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from lung_nodules.archive.protocol import StudyQuery
from lung_nodules.archive.queries import date_range
from lung_nodules.archive.refusals import ArchiveRefusal

_ENCODED = re.compile(r"[^A-Za-z0-9._~*?-]")
_TAG = re.compile(r"[0-9A-Fa-f]{8}")


def items_of(call: Callable[[], list[dict[str, Any]]]) -> list[Mapping[str, Any]]:
    """The data sets of an answer; dicomweb-client makes a list of one that comes by itself.

    Raises:
        ArchiveRefusal: ``archive-bad-answer`` where it is no list of data sets.
    """
    try:
        items = call()
    except (ValueError, TypeError, RecursionError):  # requests' own for what is no JSON is a ValueError, too
        items = None
    if not isinstance(items, list) or not all(map(_is_data_set, items)):
        raise ArchiveRefusal("archive-bad-answer", "The archive's answer is no list in DICOM JSON.")
    return list(items)


def told_or_none(call: Callable[[], dict[str, Any]]) -> list[dict[str, Any]]:
    """What an archive tells of one instance, as a list of one; empty where its answer is empty."""
    try:
        return [call()]
    except IndexError:  # dicomweb-client takes the first data set of the answer, unseen
        return []


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


def _is_data_set(item: object) -> bool:
    """Whether this is an object with tags for names, or an empty one; an error told as an object has other names."""
    return isinstance(item, Mapping) and (not item or any(map(_TAG.fullmatch, item)))


def _open_up(value: str) -> str:
    """Put a wildcard where a character would be percent-encoded: Orthanc up to 1.10 compares the encoded form."""
    return _ENCODED.sub("?", value)
