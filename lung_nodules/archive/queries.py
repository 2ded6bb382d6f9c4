"""What a query means, the same for every archive; servers that ignore a key are corrected by it."""

from __future__ import annotations

from fnmatch import fnmatchcase

from lung_nodules.archive.naming import check_uid
from lung_nodules.archive.protocol import StudyEntry, StudyQuery
from lung_nodules.archive.refusals import ArchiveRefusal

# What is asked for of each study and series, beside their UIDs.
STUDY_FIELDS = (
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "StudyID",
    "AccessionNumber",
    "PatientID",
    "PatientName",
    "ModalitiesInStudy",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
)
SERIES_FIELDS = ("Modality", "SeriesNumber", "SeriesDescription", "NumberOfSeriesRelatedInstances")


def check_query(query: StudyQuery) -> None:
    """Refuse what would be asked otherwise than meant.

    Raises:
        ArchiveRefusal: ``bad-uid``, or ``bad-query`` for a wildcard where a value is exact, or a character that
            separates values.
    """
    if query.study_instance_uid:
        check_uid(query.study_instance_uid)
    exact = (query.patient_id, query.accession_number, query.modality)
    if any(set("*?\\\r\n") & set(value) for value in exact) or "\\" in query.description + query.patient_name:
        raise ArchiveRefusal("bad-query", "Patient ID, Accession Number and Modality are exact: no wildcards in them.")
    if query.first_date and query.last_date and query.last_date < query.first_date:
        raise ArchiveRefusal("bad-query", "The last day of the query lies before its first.")


def date_range(query: StudyQuery) -> str:
    """The days as range matching words them (PS3.4 C.2.2.2.5); empty where there are none."""
    if query.first_date is None and query.last_date is None:
        return ""
    first, last = (f"{day:%Y%m%d}" if day else "" for day in (query.first_date, query.last_date))
    return first if first == last else f"{first}-{last}"


def does_match(entry: StudyEntry, query: StudyQuery) -> bool:
    """Whether a study is meant by a query.

    Whose study it is has to be told by the archive; a date, a modality or a description that is not told matches.
    """
    pairs = (
        (entry.study_instance_uid, query.study_instance_uid),
        (entry.patient_id, query.patient_id),
        (entry.accession_number, query.accession_number),
    )
    if any(asked and told != asked for told, asked in pairs):
        return False
    if query.patient_name and not any(_is_like(form, query.patient_name) for form in _forms_of(entry.patient_name)):
        return False
    if query.modality and entry.modalities and query.modality not in entry.modalities:
        return False
    if query.description and entry.description and not _is_like(entry.description, query.description):
        return False
    return _is_within(entry, query)


def _forms_of(name: str) -> tuple[str, ...]:
    """A name as it is told, and each of its alphabetic, ideographic and phonetic forms (PS3.5 6.2.1)."""
    return (name, *name.split("=")) if name else ()


def _is_like(text: str, pattern: str) -> bool:
    """Wildcard matching; archives differ in whether case counts, so here it does not."""
    return fnmatchcase(text.casefold(), pattern.replace("[", "[[]").casefold())


def _is_within(entry: StudyEntry, query: StudyQuery) -> bool:
    if entry.study_date is None:
        return True
    is_late_enough = query.first_date is None or entry.study_date >= query.first_date
    return is_late_enough and (query.last_date is None or entry.study_date <= query.last_date)
