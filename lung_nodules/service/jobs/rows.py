"""From a row of the table to the picture of a job, and what a study is called in the table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from lung_nodules.service.jobs.model import Job, Source

COLUMNS = (
    "id, source, label, priority, state, step, progress, stage, version, content_hash, models_hash, attempts, crashes,"
    " reason, submitted_by, created_at, started_at, finished_at, duplicate_of, replaces, cancel_requested, pruned,"
    " summary"
)
_NAMES = tuple(COLUMNS.replace(" ", "").split(","))


def read_job(row: Mapping[str, Any]) -> Job:
    """The picture of a row that holds at least `COLUMNS`."""
    return Job.model_validate({name: row[name] for name in _NAMES})


def study_key(source: Source) -> str:
    """What names a study in the table until its content is known: its UID in an archive, else the place of its files.

    Once the content is known it is the UID, wherever the study came from. Files that were sent are named by their
    place before, even where their UID is known: another folder may hold more of the study.
    """
    return f"study:{source.study_instance_uid}" if source.kind == "archive" else f"{source.kind}:{source.path}"


def label_of(key: str) -> str:
    """A short name that tells nothing of the patient: the beginning of a hash of the study's key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]
