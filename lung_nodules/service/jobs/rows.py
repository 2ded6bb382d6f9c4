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
    """What names a study in the table: its UID wherever it is, or the place of files whose headers are not read yet."""
    return f"study:{source.study_instance_uid}" if source.study_instance_uid else f"{source.kind}:{source.path}"


def label_of(key: str) -> str:
    """A short name that tells nothing of the patient: the beginning of a hash of the study's key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]
