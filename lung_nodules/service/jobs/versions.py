"""The versions of a study: each content, and each set of models, has a number; the newest is what was asked for last.

Who numbers holds the study's lock until the transaction ends, and takes it before any row of the study, so that no two
versions get one number and nobody waits in a circle.
"""

from __future__ import annotations

from uuid import UUID

from lung_nodules.service.database.pool import Connection
from lung_nodules.service.jobs.model import Job
from lung_nodules.service.jobs.rows import COLUMNS, read_job

_LOCKS = 8  # seed that keeps these locks apart from others that are named by a text

_OF_OTHER_VERSIONS = (
    "o.study_key = jobs.study_key AND o.id <> jobs.id AND o.duplicate_of IS NULL"
    " AND o.content_hash IS NOT NULL AND jobs.content_hash IS NOT NULL"
    " AND (o.content_hash, o.models_hash) IS DISTINCT FROM (jobs.content_hash, jobs.models_hash)"
)
_NUMBER = (
    f"version = 1 + COALESCE((SELECT max(o.version) FROM jobs o WHERE {_OF_OTHER_VERSIONS}), 0),"  # noqa: S608  # of constants of ours
    f" replaces = (SELECT o.id FROM jobs o WHERE {_OF_OTHER_VERSIONS} AND o.state = 'done'"
    " ORDER BY o.version DESC, o.number DESC LIMIT 1)"
)

# The version of a job among those of its study, and the one that it replaces; right only when its content is known, and
# under the study's lock.
NUMBER_VERSION = f"{_NUMBER}, earlier_document = NULL"

_RENUMBER = (
    f"UPDATE jobs SET {_NUMBER} WHERE id = %s AND EXISTS (SELECT FROM jobs o WHERE {_OF_OTHER_VERSIONS}"  # noqa: S608  # of constants of ours
    f" AND o.version >= jobs.version AND o.id IS DISTINCT FROM %s) RETURNING {COLUMNS}"
)


async def lock_study(connection: Connection, key: str) -> None:
    """Let nobody else number versions of a study until the transaction ends.

    Args:
        connection: In a transaction that has locked no row of the study yet.
        key: Of the study, as in the table.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", (key, _LOCKS))


async def make_newest(connection: Connection, job_id: UUID, but: UUID | None = None) -> Job | None:
    """Number a job anew, after all other versions, because its study holds its content once more.

    Its duplicates go with it. What its SR names as predecessor stays: that may be stored.

    Args:
        connection: Holds the study's lock.
        job_id: The job; its content is known, else nothing happens.
        but: A job that is about to end as a duplicate, and is no version.

    Returns:
        The job as it is then; None where it is the newest already, and nothing was changed.
    """
    row = await (await connection.execute(_RENUMBER.encode(), (job_id, but))).fetchone()
    if row is None:
        return None
    await connection.execute("UPDATE jobs SET version = %s WHERE duplicate_of = %s", (row["version"], job_id))
    return read_job(row)
