"""From a row of the table to the picture of a job, and what a study is called in the table."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from lung_nodules.service.jobs.model import Job, Source

COLUMNS = (
    "id, source, label, priority, state, step, progress, stage, version, content_hash, models_hash, attempts, crashes,"
    " failing_since, reason, submitted_by, created_at, started_at, finished_at, duplicate_of, replaces,"
    " cancel_requested, pruned, summary,"
    " (SELECT o.id FROM jobs o WHERE jobs.state = 'done' AND o.state = 'done' AND o.study_key = jobs.study_key"
    " AND o.version > jobs.version ORDER BY o.version DESC, o.number DESC LIMIT 1) AS replaced_by,"
    " CASE WHEN starts_with(study_key, 'study:') THEN substr(study_key, 7) END AS study_instance_uid,"
    " (SELECT jsonb_build_object('tries', n.tries, 'told_at', n.told_at, 'given_up_at', n.given_up_at) FROM notices n"
    " WHERE n.job_id = jobs.id AND n.ended_at = jobs.finished_at AND n.tries > 0 LIMIT 1) AS notice"
)

# Nothing has failed so far.
FORGIVEN = "failures = 0, failing_since = NULL, failing_step = NULL"

# The SR of the latest done version before this one that an archive of now (a parameter: their names) has; settled once
# for the content that the job has, so that who reads it again writes the same SR.
SETTLE_EARLIER_DOCUMENT = (
    "earlier_document = COALESCE(earlier_document, (SELECT o.document FROM jobs o WHERE o.study_key = jobs.study_key"
    " AND o.version < jobs.version AND o.state = 'done' AND o.document IS NOT NULL AND o.stored_in && %s::text[]"
    " ORDER BY o.version DESC, o.number DESC LIMIT 1), 'null'::jsonb)"
)


def read_job(row: Mapping[str, Any]) -> Job:
    """The picture of a row that holds at least `COLUMNS`."""
    return Job.model_validate({name: row[name] for name in Job.model_fields})


def study_key(source: Source) -> str:
    """What names a study in the table until its content is known: its UID in an archive, else the place of its files.

    Once the content is known it is the UID, wherever the study came from. Files that were sent are named by their
    place before, even where their UID is known: another folder may hold more of the study.
    """
    return f"study:{source.study_instance_uid}" if source.kind == "archive" else f"{source.kind}:{source.path}"


def label_of(key: str) -> str:
    """A short name that tells nothing of the patient: the beginning of a hash of the study's key."""
    return hashlib.sha256(key.encode()).hexdigest()[:8]
