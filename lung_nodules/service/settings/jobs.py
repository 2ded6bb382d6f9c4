"""Sections of the jobs: their database, queue and workers, what they keep, and whom they tell."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from lung_nodules.archive.addresses import check_url
from lung_nodules.settings import Section


class DatabaseSettings(Section):
    """Where the jobs are kept."""

    url_file: Path | None = Field(
        None, description="Holds a libpq URL (postgresql://user:password@host/name); None: the embedded server."
    )
    embedded: bool = Field(True, description="Start a PostgreSQL of our own where no URL is given.")
    pool_size: int = Field(8, ge=2, le=100, description="Connections of one process at most.")
    connect_timeout_s: float = Field(10.0, gt=0, le=300, description="Waited for a connection.")


class WorkersSettings(Section):
    """Processes that read studies."""

    count: int = Field(1, ge=0, le=64, description="Started by `serve` on this machine; one study at a time each.")
    max_losses: int = Field(5, ge=1, le=100, description="Workers that may be lost over a study; then it is set aside.")
    time_limit_s: float = Field(1800.0, gt=0, le=86400, description="For each step; over in the analysis: a crash.")
    max_crashes: int = Field(2, ge=1, le=10, description="After so many a study is set aside.")
    heal_within_s: float = Field(
        86_400.0,
        ge=0,
        le=2_592_000,
        description="Tried again for so long after the first failure of a step, or of telling the webhook.",
    )
    first_retry_s: float = Field(10.0, gt=0, le=3600, description="Before the first retry; doubled for each next one.")
    longest_retry_s: float = Field(900.0, gt=0, le=86400, description="A pause between two retries is never longer.")
    heartbeat_s: float = Field(5.0, gt=0, le=300, description="Between two signs of life of a worker.")
    lease_s: float = Field(30.0, gt=0, le=3600, description="Silence after which a worker is taken for lost.")
    poll_s: float = Field(5.0, gt=0, le=300, description="Looked for work as often even if no notification came.")
    grace_s: float = Field(20.0, ge=0, le=3600, description="For the study under way when a worker is told to stop.")
    progress_s: float = Field(0.5, ge=0, le=60, description="Least time between two writings of a job's progress.")
    studies_per_child: int = Field(50, ge=1, le=10_000, description="The analysing process is renewed after so many.")
    analysis: str = Field(
        "lung_nodules.service.jobs.analysis:LineAnalysis",
        pattern=r"^[\w.]+:\w+$",
        description="What analyses a study, as module:name; only tests and benchmarks put another in its place.",
    )

    @model_validator(mode="after")
    def _lease_outlives_heartbeats(self) -> WorkersSettings:
        if self.lease_s < 2 * self.heartbeat_s:
            raise ValueError("lease_s must be at least twice heartbeat_s")
        return self

    def retry_after_s(self, num_failures: int, failing_for_s: float) -> float | None:
        """The pause before what has failed is tried again; None when it has had its time.

        Args:
            num_failures: Before the latest one.
            failing_for_s: Since the first one.
        """
        left_s = self.heal_within_s - failing_for_s
        if left_s <= 0:
            return None
        doubled_s = self.first_retry_s * 2.0 ** min(num_failures, 30)
        return min(doubled_s, self.longest_retry_s, left_s)


class QueueSettings(Section):
    """How much may wait."""

    max_length: int = Field(
        1000, ge=1, le=10_000_000, description="Jobs that wait; beyond them submissions are refused."
    )
    retry_after_s: int = Field(60, ge=1, le=86400, description="What a refused client is told to wait.")


class CacheSettings(Section):
    """Fetched instances, kept for the next attempt or version."""

    max_gib: float = Field(20.0, gt=0, le=100_000, description="Above it what was used longest ago goes.")


class ResultsSettings(Section):
    """How long results stay in the data folder; the archive is their home."""

    max_age_days: float | None = Field(None, gt=0, le=36_500, description="Older ones are removed; None: kept.")
    max_gib: float | None = Field(None, gt=0, le=1_000_000, description="The oldest go first; None: no bound.")
    prune_every_s: float = Field(600.0, gt=0, le=86_400, description="Looked for results to remove so often.")


class RetentionSettings(Section):
    """How long rows stay in the database, counted from an end; results have limits of their own."""

    jobs_days: float | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Jobs that ended as duplicate, or as failed or cancelled before they had results; None: kept."
        " Others stay: by them a study is known to have been read. So do jobs with reviews.",
    )
    notices_days: float | None = Field(
        365.0, ge=1, le=36_500, description="Ends that the webhook was told, or that were given up; None: kept."
    )
    audit_days: float | None = Field(
        None, ge=1, le=36_500, description="Audit entries, in the database and in audit/; None: kept."
    )


class WatchSettings(Section):
    """Following an archive's feed of changes."""

    archive: str | None = Field(None, description="Name of an archive with a change feed; None: nothing is watched.")
    poll_s: float = Field(5.0, gt=0, le=3600, description="Between two looks at the feed.")
    from_beginning: bool = Field(True, description="At the first start: also what was in the archive before.")
    priority: int = Field(0, ge=-10, le=20, description="Of the jobs that are made.")


class WebhookSettings(Section):
    """Told by the workers when a job has ended, without patient data."""

    url: Annotated[str, Field(pattern=r"^https?://"), AfterValidator(check_url)] | None = Field(
        None, description="POSTed to; None: nobody is told."
    )
    secret_file: Path | None = Field(None, description="Holds the key of the HMAC-SHA-256 in X-Lung-Nodules-Signature.")
    timeout_s: float = Field(10.0, gt=0, le=300, description="For an answer; then it is told again.")
