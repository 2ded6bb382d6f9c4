"""What a job is: one study on its way through the service, as the API shows it.

A job is a row in the database; these are its frozen pictures. Steps are what a worker does with it, each of which can
be done again without harm; states are what a user sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lung_nodules.errors import Refusal


class JobState(StrEnum):
    """Where a job stands."""

    queued = "queued"
    running = "running"
    done = "done"
    refused = "refused"  # the input cannot be read: the line's coded reason
    failed = "failed"  # what could heal did not in its time, or a defect of ours
    set_aside = "set_aside"  # it has crashed the analysis too often
    cancelled = "cancelled"
    duplicate = "duplicate"  # nothing was read: another job has, or will have, the result


RETRIABLE = frozenset({JobState.refused, JobState.failed, JobState.set_aside, JobState.cancelled})
ENDED = RETRIABLE | {JobState.done, JobState.duplicate}

# What may follow what; `queued` after `running` is a retry, or a worker that was lost.
FOLLOWS: Mapping[JobState, frozenset[JobState]] = {
    JobState.queued: frozenset({JobState.running, JobState.cancelled}),
    JobState.running: frozenset(JobState),
    JobState.done: frozenset(),
    JobState.refused: frozenset({JobState.queued}),
    JobState.failed: frozenset({JobState.queued}),
    JobState.set_aside: frozenset({JobState.queued}),
    JobState.cancelled: frozenset({JobState.queued}),
    JobState.duplicate: frozenset(),
}


class Step(StrEnum):
    """What a worker does with a job, in this order; each can be repeated without harm."""

    fetch = "fetch"
    analyse = "analyse"
    store = "store"


class Priority(IntEnum):
    """Higher goes first; equal ones in the order of their submission."""

    background = -10
    routine = 0
    urgent = 10
    stat = 20


class Frozen(BaseModel):
    """A picture: frozen, and unknown names are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Frozen):
    """Where the instances of a study are."""

    kind: Literal["archive", "upload", "folder"]
    archive: str | None = Field(None, description="Name of a configured archive.")
    study_instance_uid: str | None = Field(None, max_length=64, pattern=r"^[0-9.]+$")
    path: str | None = Field(None, description="Folder; of an upload relative to the spool.")

    @model_validator(mode="after")
    def _names_its_place(self) -> Source:
        if self.kind == "archive" and not (self.archive and self.study_instance_uid):
            raise ValueError("an archive source needs archive and study_instance_uid")
        if self.kind != "archive" and not self.path:
            raise ValueError("an upload or folder source needs path")
        return self


class Reason(Frozen):
    """Why a job ended as it did, or waits again: never with patient data."""

    code: str
    sentence: str
    advice: str = ""


class JobSummary(Frozen):
    """The report in one line of the work list."""

    num_findings: int
    highest_suspicion: float | None = Field(None, description="0 to 1, of the readers' suspicion; None: no finding.")
    result: str = Field("", description="Of the study as a whole, as the report words it.")
    quality: str = Field("", description="pass, warn or fail.")
    num_stored: int | None = Field(None, description="Objects that a destination has confirmed; None: no destination.")


class Notice(Frozen):
    """How it stands with telling the webhook that a job has ended."""

    tries: int
    told_at: datetime | None = Field(None, description="When it was taken.")
    given_up_at: datetime | None = Field(None, description="When there was no trying any more.")


class Job(Frozen):
    """One study on its way."""

    id: UUID
    source: Source
    study_instance_uid: str | None = Field(None, description="Of what was sent only when its headers were read.")
    label: str = Field(description="Short name without patient data.")
    priority: int
    state: JobState
    step: Step | None = None
    progress: float = Field(0.0, ge=0, le=1)
    stage: str = Field("", description="Stage of the line under way.")
    version: int = Field(1, ge=1, description="Of the study: grows with other content or models, or old ones again.")
    content_hash: str | None = None
    models_hash: str | None = Field(None, description="What it is read with; settled when the reading begins.")
    attempts: int = 0
    crashes: int = 0
    failing_since: datetime | None = Field(None, description="Since then it is tried again without coming further.")
    reason: Reason | None = None
    submitted_by: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duplicate_of: UUID | None = Field(None, description="Of a `duplicate`: the job that has the study; see its state.")
    replaces: UUID | None = Field(None, description="The job of the version before, done when this one was numbered.")
    replaced_by: UUID | None = Field(None, description="Of a `done` job: that of the latest done version after it.")
    cancel_requested: bool = False
    pruned: bool = Field(False, description="Its files were removed to make room.")
    summary: JobSummary | None = None
    notice: Notice | None = Field(None, description="None: the webhook was not called yet, or there is none.")


class JobOrder(Frozen):
    """What is submitted."""

    source: Source
    priority: int = Priority.routine
    submitted_by: str = "service"
    content_hash: str | None = Field(None, description="Where the submitter knows it: SHA-256 of the SOP instances.")


class JobQuery(Frozen):
    """Which jobs, newest first."""

    states: tuple[JobState, ...] = ()
    text: str = Field("", max_length=64, description="Within the label, the job's id or the Study Instance UID.")
    submitted_by: str | None = None
    created_after: datetime | None = None  # or then
    created_before: datetime | None = None
    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before.")


class JobPage(Frozen):
    """Some jobs, and where the next ones begin."""

    jobs: tuple[Job, ...]
    next_cursor: str | None = None


class QueueFull(Refusal):
    """So much waits that no more is taken; HTTP 503 with Retry-After.

    Args:
        retry_after_s: When to come again.
    """

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("queue-full", "So many studies wait that no more are taken now.", "Submit it again later.")
        self.retry_after_s = retry_after_s


class JobConflict(Refusal):
    """The job is not in a state in which that can be done; HTTP 409."""


class JobNotFound(Refusal):
    """There is no such job; HTTP 404."""

    def __init__(self) -> None:
        super().__init__("job-not-found", "There is no such job.")
