"""The audit log: who saw or did what, when, on which job and on which studies.

Every call that needs a role leaves an entry, the refused ones too, before its answer leaves the house: where no entry
can be written, nobody sees anything. The entries lie in PostgreSQL, where an administrator reads them through the API,
and as JSON lines in `audit/<day>.jsonl` below the data folder, for a SIEM to collect. An entry names users, jobs and
studies by their UIDs, never patients; whose a study is, the archive knows.

The store is our own because nothing kept writes an audit log of an ASGI application into PostgreSQL without an
object-relational mapper beside it; what is told follows DICOM PS3.15 A.5 (who, what, when, which object, outcome).
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, LiteralString
from uuid import UUID

import anyio.to_thread
from psycopg import sql
from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict, Field

from lung_nodules.service.database.pool import Pool
from lung_nodules.service.texts import Line

REPEAT_S = 60.0
NOBODY = "-"  # who could not be identified; no token has such a subject
_MAX_REMEMBERED = 10_000
TABLES: tuple[LiteralString, ...] = (
    """
    CREATE TABLE audit_entries (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at timestamptz NOT NULL,
        actor text NOT NULL,
        role text NOT NULL,
        auth_mode text NOT NULL,
        action text NOT NULL,
        outcome text NOT NULL,
        status smallint NOT NULL,
        code text NOT NULL,
        job_id uuid,
        object text NOT NULL,
        address text NOT NULL,
        request_id text NOT NULL
    );
    CREATE INDEX audit_entries_by_job ON audit_entries (job_id, id) WHERE job_id IS NOT NULL;
    CREATE INDEX audit_entries_by_actor ON audit_entries (actor, id);
    CREATE FUNCTION audit_entries_stay() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'audit entries are only ever added'; END $$;
    CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
        FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay();
    """,
    """
    ALTER TABLE audit_entries ADD COLUMN studies text[] NOT NULL DEFAULT '{}';
    CREATE INDEX audit_entries_by_study ON audit_entries USING gin (studies);
    CREATE INDEX audit_entries_by_time ON audit_entries (at);
    DROP TRIGGER audit_entries_stay ON audit_entries;
    CREATE TRIGGER audit_entries_stay BEFORE UPDATE OR TRUNCATE ON audit_entries
        FOR EACH STATEMENT EXECUTE FUNCTION audit_entries_stay();
    -- An entry leaves when it is older than the session that removes it says that entries are kept.
    CREATE FUNCTION audit_entries_expire() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        kept interval := NULLIF(current_setting('lung_nodules.audit_kept', true), '')::interval;
    BEGIN
        IF kept IS NULL OR OLD.at >= now() - kept THEN
            RAISE EXCEPTION 'audit entries are only ever added';
        END IF;
        RETURN OLD;
    END $$;
    CREATE TRIGGER audit_entries_expire BEFORE DELETE ON audit_entries
        FOR EACH ROW EXECUTE FUNCTION audit_entries_expire();
    """,
)


@dataclass(frozen=True)
class AuditedObject:
    """A job or studies that one call was about; a call that was about several gets an entry for each.

    Attributes:
        job_id: The job.
        studies: Study Instance UIDs, of the job or of what an archive has shown.
    """

    job_id: UUID | None = None
    studies: tuple[str, ...] = ()


class AuditEntry(BaseModel):
    """One thing that somebody saw, did or was refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: datetime
    actor: str = Field(description="The token's subject; `-` where nobody could be identified.")
    role: str = Field(description="viewer, operator, admin, or `-`.")
    auth_mode: str
    action: str = Field(description="Name of the operation, as in the OpenAPI document.")
    outcome: Literal["done", "refused", "failed"]
    status: int
    code: str = Field("", description="Reason of a problem.")
    job_id: UUID | None = None
    studies: tuple[str, ...] = Field((), description="Study Instance UIDs of what was shown or changed.")
    object: str = Field("", description="Finding, file or slice that was asked for; an archive's name.")
    address: str = Field("-", description="Address of the client, or of the proxy that is trusted.")
    request_id: str = Field("", description="As in the access log and in the header X-Request-ID.")


class StoredEntry(AuditEntry):
    """An entry with its number in the table."""

    id: int


class AuditQuery(BaseModel):
    """Which entries, newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actor: Line | None = Field(None, max_length=200)
    action: Line | None = Field(None, max_length=100)
    job_id: UUID | None = None
    study_instance_uid: str | None = Field(None, max_length=64, pattern=r"^[0-9]+(\.[0-9]+)*$")
    after: datetime | None = None
    before: datetime | None = None
    cursor: int | None = Field(None, ge=1, le=2**62, description="`next_cursor` of the page before.")
    limit: int = Field(100, ge=1, le=1000)


class AuditPage(BaseModel):
    """Some entries, and where the next ones begin."""

    entries: tuple[StoredEntry, ...]
    next_cursor: int | None = None


class AuditLog:
    """Writes and reads entries.

    Args:
        pool: Of connections to the service's database, in which `TABLES` are.
        folder: Where the JSON lines go; made when missing, for its owner alone.
    """

    def __init__(self, pool: Pool, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._pool = pool
        self._folder = folder
        self._recent: OrderedDict[tuple[object, ...], datetime] = OrderedDict()

    async def record(self, entries: Sequence[AuditEntry], *, once_a_minute: bool = False) -> None:
        """Write what happened at once, in the file first; all of it or nothing is in the database.

        Args:
            entries: What happened.
            once_a_minute: Leave one out where the same user did the same to the same job within the last minute, or
                somebody unknown tried the same from the same address, whatever the job.

        Raises:
            OSError: The file cannot be written.
            psycopg.OperationalError: The database cannot.
        """
        fresh = [entry for entry in entries if not (once_a_minute and self._is_repeated(entry))]
        if not fresh:
            return
        await anyio.to_thread.run_sync(self._append, fresh)
        async with self._pool.connection() as connection, connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(_INSERT, [_row_of(entry) for entry in fresh])
        if once_a_minute:
            for entry in fresh:
                self._remember(entry)

    async def read(self, query: AuditQuery) -> AuditPage:
        """Give entries, newest first, page by page."""
        async with self._pool.connection() as connection, connection.cursor(row_factory=class_row(StoredEntry)) as rows:
            await rows.execute(_SELECT, {**query.model_dump(), "limit": query.limit + 1})
            entries = await rows.fetchall()
        shown = tuple(entries[: query.limit])
        return AuditPage(entries=shown, next_cursor=shown[-1].id if len(entries) > query.limit else None)

    def _is_repeated(self, entry: AuditEntry) -> bool:
        before = self._recent.get(_key(entry))
        return before is not None and (entry.at - before).total_seconds() < REPEAT_S

    def _remember(self, entry: AuditEntry) -> None:
        self._recent[_key(entry)] = entry.at
        self._recent.move_to_end(_key(entry))
        while len(self._recent) > _MAX_REMEMBERED:
            self._recent.popitem(last=False)

    def _append(self, entries: Sequence[AuditEntry]) -> None:
        """Add lines, all or none of them.

        Processes that share the file append one at a time, so that whoever takes back a part takes nobody else's lines.

        Raises:
            OSError: The file cannot be opened or written, or takes a part only.
        """
        path = self._folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
        lines = b"".join(json.dumps(entry.model_dump(mode="json")).encode("ascii") + b"\n" for entry in entries)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with suppress(OSError):  # some network filesystems cannot lock
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            num_bytes = os.fstat(descriptor).st_size
            if os.write(descriptor, lines) < len(lines):
                os.ftruncate(descriptor, num_bytes)
                raise OSError(errno.ENOSPC, "the audit file has taken a part of an entry only")
        finally:
            os.close(descriptor)


_INSERT = sql.SQL("INSERT INTO audit_entries ({}) VALUES ({})").format(
    sql.SQL(", ").join(map(sql.Identifier, AuditEntry.model_fields)),
    sql.SQL(", ").join(map(sql.Placeholder, AuditEntry.model_fields)),
)
_SELECT: LiteralString = """
    SELECT * FROM audit_entries
    WHERE (%(actor)s::text IS NULL OR actor = %(actor)s)
      AND (%(action)s::text IS NULL OR action = %(action)s)
      AND (%(job_id)s::uuid IS NULL OR job_id = %(job_id)s)
      AND (%(study_instance_uid)s::text IS NULL OR studies @> ARRAY[%(study_instance_uid)s::text])
      AND (%(after)s::timestamptz IS NULL OR at >= %(after)s)
      AND (%(before)s::timestamptz IS NULL OR at < %(before)s)
      AND (%(cursor)s::bigint IS NULL OR id < %(cursor)s)
    ORDER BY id DESC
    LIMIT %(limit)s
"""


def _row_of(entry: AuditEntry) -> dict[str, Any]:
    return {**entry.model_dump(), "studies": list(entry.studies)}


def _key(entry: AuditEntry) -> tuple[object, ...]:
    whom = (entry.actor, entry.job_id) if entry.actor != NOBODY else (entry.actor, entry.address)
    return *whom, entry.action, entry.outcome, entry.code
