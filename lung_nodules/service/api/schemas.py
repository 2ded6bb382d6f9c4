"""What the API takes and gives beside jobs, with an example each."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lung_nodules.service.jobs.model import Job, JobPage, JobState, Priority
from lung_nodules.service.security.access import Role
from lung_nodules.service.texts import Line

EXAMPLE_STUDY = "1.2.826.0.1.3680043.8.498.1"
EXAMPLE_JOB_ID = "0b8f2f6e-5a0c-4c9e-9b7e-6d1f4b1c2a3d"
EXAMPLE_JOB = {
    "id": EXAMPLE_JOB_ID,
    "source": {"kind": "archive", "archive": "pacs", "study_instance_uid": EXAMPLE_STUDY, "path": None},
    "study_instance_uid": EXAMPLE_STUDY,
    "label": "4f2a91c0",
    "priority": 0,
    "state": "done",
    "step": None,
    "progress": 1.0,
    "stage": "",
    "version": 1,
    "content_hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "models_hash": "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    "attempts": 1,
    "crashes": 0,
    "failing_since": None,
    "reason": None,
    "submitted_by": "anna",
    "created_at": "2026-11-25T15:00:00Z",
    "started_at": "2026-11-25T15:00:01Z",
    "finished_at": "2026-11-25T15:00:31Z",
    "duplicate_of": None,
    "replaces": None,
    "replaced_by": None,
    "cancel_requested": False,
    "summary": {"num_findings": 2, "highest_suspicion": 0.71, "result": "suspicious", "quality": "pass"},
    "notice": {"tries": 1, "told_at": "2026-11-25T15:00:33Z", "given_up_at": None},
}

StudyUid = Annotated[str, Field(max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$", examples=[EXAMPLE_STUDY])]
ArchiveName = Annotated[str, Field(max_length=64, pattern=r"^[\w.-]+$", examples=["pacs"])]
PriorityValue = Annotated[
    int, Field(ge=Priority.background, le=Priority.stat, description="-10 background, 0 routine, 10 urgent, 20 stat.")
]
# What an identifier may be in a query: no wildcard, no control character, no backslash (PS3.5 6.2, LO).
Identifier = Annotated[str, Field(max_length=64, pattern=r"^[^*?\\\x00-\x1f\x7f]*$")]

Words = Annotated[str, Field(max_length=64, pattern=r"^[^\\\x00-\x1f\x7f]*$")]


class _In(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StudyOrder(_In):
    """A study in an archive, to be read."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"study_instance_uid": EXAMPLE_STUDY, "archive": "pacs", "priority": 0}]}
    )

    study_instance_uid: StudyUid
    archive: ArchiveName | None = Field(None, description="Name of a configured archive; may be left out where one is.")
    priority: PriorityValue = Priority.routine


class PriorityOrder(_In):
    """How soon a job is to go."""

    priority: PriorityValue = Field(examples=[20])


class UploadAsked(_In):
    """How soon what is sent is to be read."""

    priority: PriorityValue = Priority.routine


class JobsAsked(_In):
    """Which jobs to list."""

    state: list[JobState] = Field([], max_length=len(JobState), description="Any of these; may be repeated.")
    q: Line = Field("", max_length=64, description="Within the label, the job's id or the Study Instance UID.")
    mine: bool = Field(False, description="Those that the caller has submitted.")
    after: AwareDatetime | None = Field(None, description="Submitted at this time or later.")
    before: AwareDatetime | None = Field(None, description="Submitted earlier.")
    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the page before.")


class FileEntry(BaseModel):
    """A file of a result."""

    name: str = Field(examples=["report.json"])
    media_type: str = Field(examples=["application/json"])
    bytes: int = Field(examples=[18234])


class ArchiveEntry(BaseModel):
    """An archive that studies may be read from; its address stays in the settings."""

    name: str = Field(examples=["pacs"])
    kind: str = Field(examples=["dicomweb"])
    is_destination: bool = Field(description="Results are pushed to it.")
    is_watched: bool = Field(description="Its new studies are read by themselves.")


class StudiesAsked(_In):
    """Which studies to look for; what is left out does not narrow."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"patient_name": "Doe*", "first_date": "2026-01-01", "limit": 20}]}
    )

    study_instance_uid: StudyUid | None = None
    patient_id: Identifier = Field("", description="Exact.")
    patient_name: Words = Field("", description="As DICOM writes it: Family^Given. * and ? are wildcards.")
    accession_number: Identifier = Field("", description="Exact.")
    first_date: date | None = Field(None, description="Studies of this day or later.")
    last_date: date | None = Field(None, description="Studies of this day or earlier.")
    modality: Annotated[str, Field(max_length=16, pattern=r"^[A-Z0-9_ ]*$")] = "CT"
    description: Words = Field("", description="* and ? are wildcards.")
    limit: int = Field(50, ge=1, le=500)
    cursor: str | None = Field(None, max_length=400, description="`next_cursor` of the page before.")


class StudyFound(BaseModel):
    """A study as an archive lists it."""

    study_instance_uid: str = Field(examples=[EXAMPLE_STUDY])
    study_date: date | None = None
    study_time: str = ""
    modalities: tuple[str, ...] = Field((), examples=[["CT"]])
    description: str = ""
    num_series: int | None = None
    num_instances: int | None = None
    patient_id: str = ""
    patient_name: str = Field("", description="In all of its forms, joined by =.")
    accession_number: str = ""


class StudiesPage(BaseModel):
    """Some studies of an archive, newest first, and where the next ones begin."""

    studies: tuple[StudyFound, ...]
    next_cursor: str | None = None
    is_cut: bool = Field(False, description="So many match that not all were sorted: narrow the query.")


class WhoseAsked(_In):
    """Whose studies to tell."""

    job_id: list[UUID] = Field(min_length=1, max_length=100, description="May be repeated.")


class StudyOfJob(BaseModel):
    """Whose study a job has read, as its report says."""

    job_id: UUID = Field(examples=[EXAMPLE_JOB_ID])
    study_instance_uid: str = Field(examples=[EXAMPLE_STUDY])
    patient_id: str | None
    accession_number: str | None
    study_date: date | None


class Me(BaseModel):
    """Who the caller is to the service."""

    name: str = Field(examples=["anna"])
    role: Role
    auth_mode: Literal["none", "static", "oidc"]


class SignInWay(BaseModel):
    """How one signs in; nothing of it is secret."""

    mode: Literal["none", "static", "oidc"]
    issuer: str | None = Field(
        None,
        description="Whose discovery document tells the rest.",
        examples=["https://idp.example.org/realms/radiology"],
    )
    client_id: str | None = Field(None, description="Of the page, a public client; None: a token has to be pasted.")
    scope: str = Field("", examples=["openid"])


class PageSettings(BaseModel):
    """What the page needs to know of the settings."""

    viewer_url: str | None = Field(description="Link to a viewer; {study_instance_uid} stands for the study.")
    version: str
    not_a_device: str


def shown(job: Job) -> Job:
    """A job without the place of its files on our disk."""
    if job.source.path is None:
        return job
    return job.model_copy(update={"source": job.source.model_copy(update={"path": None})})


def shown_page(page: JobPage) -> JobPage:
    """A page of jobs, likewise."""
    return page.model_copy(update={"jobs": tuple(shown(job) for job in page.jobs)})
