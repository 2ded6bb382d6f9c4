"""Studies of a batch that lie in an archive: found by a query, fetched one by one when their turn comes."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

from lung_nodules.archive.config import choose_archive
from lung_nodules.archive.fetching import content_of, fetch_study
from lung_nodules.archive.opening import open_archive
from lung_nodules.archive.protocol import Archive, StudyQuery
from lung_nodules.batch.plan import BatchStudy, Plan, name_of
from lung_nodules.errors import InputRefusal, UsageRefusal
from lung_nodules.execution import read_line_settings
from lung_nodules.publication import writing

_FIELDS = {
    "study": "study_instance_uid",
    "patient": "patient_id",
    "accession": "accession_number",
    "modality": "modality",
    "description": "description",
}
MAX_NUM_STUDIES = 1_000_000


def with_archive(plan: Plan, wanted: str, config_file: Path | None) -> Plan:
    """The plan with the archive that is meant; see `choose_archive`."""
    name, settings = choose_archive(wanted, config_file)
    return replace(plan, archive=settings, archive_name=name)


def parse_query(text: str) -> StudyQuery:
    """Read ``modality=CT date=20240101-20241231 description='*chest*'``; without a modality, CT is meant.

    Raises:
        UsageRefusal: ``bad-query``.
    """
    try:
        given = _words(text)
        dates = _dates(given.pop("date", "-"))
    except ValueError as error:
        raise UsageRefusal(
            "bad-query",
            "The query cannot be read.",
            f"It is made of {', '.join(f'{key}=...' for key in _FIELDS)} and date=YYYYMMDD-YYYYMMDD.",
        ) from error
    return _query_of(given, dates)


def find_studies(text: str, plan: Plan) -> list[BatchStudy]:
    """The studies that match a query, each once.

    Raises:
        UsageRefusal: ``bad-query``, or ``no-studies``.
        ArchiveRefusal: The archive cannot be asked.
    """
    query = parse_query(text)
    with _open(plan) as archive:
        found = {entry.study_instance_uid for entry in archive.find_studies(query)}
    if not found:
        raise UsageRefusal("no-studies", "No study in the archive matches the query.")
    return [BatchStudy(name_of(uid), f"{plan.archive_name} {name_of(uid)[:8]}", uid) for uid in sorted(found)]


def content_of_archived(study: BatchStudy, plan: Plan) -> str:
    """What the archive holds of a study's CT, without fetching it.

    Raises:
        ArchiveRefusal, InputRefusal: See `content_of`.
    """
    assert study.study_instance_uid is not None
    with _open(plan) as archive:
        return content_of(archive, study.study_instance_uid)


@contextmanager
def fetched(study: BatchStudy, plan: Plan) -> Iterator[Path]:
    """A folder that holds what the line reads of a study; what an interrupted start had fetched is not fetched again.

    Raises:
        ArchiveRefusal, InputRefusal: See `fetch_study`.
        OutputRefusal: ``output-not-written``.
    """
    assert study.study_instance_uid is not None
    folder = plan.output_folder / "fetched" / study.name
    try:
        with _open(plan) as archive, writing("The study", folder):
            fetch_study(archive, study.study_instance_uid, None, folder, read_line_settings(plan.config_file))
    except InputRefusal:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    yield folder
    shutil.rmtree(folder)


def _open(plan: Plan) -> Archive:
    assert plan.archive is not None
    return open_archive(plan.archive, plan.archive_name)


def _words(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for word in shlex.split(text):
        key, _, value = word.partition("=")
        if key not in {*_FIELDS, "date"} or not value or key in given:
            raise ValueError(key)
        given[key] = value
    return given


def _dates(text: str) -> tuple[date | None, date | None]:
    first, dash, last = text.partition("-")
    if not dash:
        last = first
    return _date(first), _date(last)


def _date(text: str) -> date | None:
    if text and not (len(text) == 8 and text.isdecimal()):
        raise ValueError(text)
    return date(int(text[:4]), int(text[4:6]), int(text[6:])) if text else None


def _query_of(given: Mapping[str, str], dates: tuple[date | None, date | None]) -> StudyQuery:
    fields = {_FIELDS[key]: value for key, value in given.items()}
    modality = {} if "study" in given else {"modality": given.get("modality", "CT")}
    return StudyQuery(
        **{**fields, **modality}, first_date=dates[0], last_date=dates[1], max_num_studies=MAX_NUM_STUDIES
    )
