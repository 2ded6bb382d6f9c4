"""DICOM JSON (PS3.18 F) read tolerantly: what an archive leaves out, sends as null or sends malformed is missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

import pydicom
from pydicom.datadict import tag_for_keyword

from lung_nodules.archive.headers import FRAME_KEYWORDS, HEADER_KEYWORDS
from lung_nodules.archive.protocol import SeriesEntry, StudyEntry

Item = Mapping[str, Any]


def _tag(keyword: str) -> str:
    return f"{tag_for_keyword(keyword) or 0:08X}"


_HEADER_TAGS = frozenset(_tag(keyword) for keyword in (*HEADER_KEYWORDS, *FRAME_KEYWORDS))
# what pydicom raises for malformed JSON, and for what is nested too deeply
_MALFORMED = (AttributeError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


def texts_of(item: Item, keyword: str) -> tuple[str, ...]:
    """The values of an element as texts, empty ones left out; a person's name in its alphabetic form."""
    element = item.get(_tag(keyword))
    values = element.get("Value") if isinstance(element, Mapping) else None
    if not isinstance(values, list):
        return ()
    named = (value.get("Alphabetic") if isinstance(value, Mapping) else value for value in values)
    return tuple(text for value in named if value is not None and (text := _clean(str(value)).strip()))


def name_of(item: Item, keyword: str) -> str:
    """A person's name in all of its forms, as PS3.5 6.2.1.2 joins them; empty where there is none."""
    element = item.get(_tag(keyword))
    values = element.get("Value") if isinstance(element, Mapping) else None
    name = values[0] if isinstance(values, list) and values else None
    if not isinstance(name, Mapping):
        return text_of(item, keyword)
    forms = (name.get(form) for form in ("Alphabetic", "Ideographic", "Phonetic"))
    return "=".join(_clean(form).strip() if isinstance(form, str) else "" for form in forms).rstrip("=")


def text_of(item: Item, keyword: str) -> str:
    """The first value of an element as text; empty where there is none."""
    return next(iter(texts_of(item, keyword)), "")


def number_of(item: Item, keyword: str) -> int | None:
    """The first value of an element as a whole number, sent as a number or as text; None where it is none."""
    try:
        return int(float(text_of(item, keyword)))
    except (ValueError, OverflowError):
        return None


def date_of(text: str) -> date | None:
    """A DA value; None where it is none."""
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None


def read_study(item: Item) -> StudyEntry:
    """One match of a search for studies."""
    return StudyEntry(
        study_instance_uid=text_of(item, "StudyInstanceUID"),
        study_date=date_of(text_of(item, "StudyDate")),
        study_time=text_of(item, "StudyTime"),
        modalities=texts_of(item, "ModalitiesInStudy"),
        description=text_of(item, "StudyDescription"),
        num_series=number_of(item, "NumberOfStudyRelatedSeries"),
        num_instances=number_of(item, "NumberOfStudyRelatedInstances"),
        patient_id=text_of(item, "PatientID"),
        patient_name=name_of(item, "PatientName"),
        accession_number=text_of(item, "AccessionNumber"),
        study_id=text_of(item, "StudyID"),
    )


def read_series(item: Item, study_instance_uid: str) -> SeriesEntry:
    """One match of a search for the series of a study."""
    return SeriesEntry(
        study_instance_uid=study_instance_uid,
        series_instance_uid=text_of(item, "SeriesInstanceUID"),
        modality=text_of(item, "Modality"),
        series_number=number_of(item, "SeriesNumber"),
        description=text_of(item, "SeriesDescription"),
        num_instances=number_of(item, "NumberOfSeriesRelatedInstances"),
    )


def read_header(item: Item) -> pydicom.Dataset:
    """The elements of one instance's metadata that the choice of a series looks at."""
    header = pydicom.Dataset()
    for tag, element in item.items():
        if tag.upper() not in _HEADER_TAGS or not isinstance(element, Mapping):
            continue
        plain = {key: value for key, value in element.items() if key in ("vr", "Value")}
        try:
            json.dumps(plain, ensure_ascii=False).encode()  # fails for half of a surrogate pair, which is no text
            header.update(pydicom.Dataset.from_json({tag: plain}))
        except _MALFORMED:
            continue
    return header


def _clean(text: str) -> str:
    """A text that can be written; JSON can hold half of a surrogate pair, which cannot."""
    return text.encode(errors="replace").decode()
