"""What an attempt learns about its study that may show that another job has it already.

There is one job for a study's content and the models that it is read with; the tables see to that. A job that turns out
to be another's double ends as `duplicate` and names the other one, which is no duplicate itself and is then the newest
version of the study.
"""

from __future__ import annotations

from uuid import UUID

from psycopg import errors

from lung_nodules.service.database.pool import Connection, Pool
from lung_nodules.service.jobs.lease import Attempt, write
from lung_nodules.service.jobs.rows import label_of, study_key
from lung_nodules.service.jobs.versions import NUMBER_VERSION, lock_study, make_newest


async def learn_models(pool: Pool, attempt: Attempt, models_hash: str) -> UUID | None:
    """Note what the study is read with, whatever was there when it was submitted; returns as `learn_content`.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    uid, source = attempt.job.study_instance_uid, attempt.job.source
    key = study_key(source) if uid is None else f"study:{uid}"
    return await _learn(pool, attempt, key, {"models_hash": models_hash})


async def learn_content(pool: Pool, attempt: Attempt, study_instance_uid: str, content_hash: str) -> UUID | None:
    """Note what a job's study holds, and end the job where another one has it.

    Returns:
        That other job, in which case the attempt is over; None to go on.

    Raises:
        LeaseLost: The attempt no longer counts.
    """
    key = f"study:{study_instance_uid}"
    learned = {"study_key": key, "label": label_of(key), "content_hash": content_hash}
    return await _learn(pool, attempt, key, learned)


async def _learn(pool: Pool, attempt: Attempt, key: str, learned: dict[str, str]) -> UUID | None:
    change = ", ".join(f"{name} = %s" for name in learned)
    async with pool.connection() as connection, connection.transaction():
        await lock_study(connection, key)
        row = await write(connection, attempt, "beat_at = now()")
        identity = {**row, **learned}
        if identity == row:
            return None
        while True:
            try:
                async with connection.transaction():
                    await write(connection, attempt, change, *learned.values())
                    if identity["content_hash"] != row["content_hash"]:
                        await write(connection, attempt, NUMBER_VERSION)
                    return None
            except errors.UniqueViolation:
                other = await _find_other(connection, attempt, identity)
                if other is not None:  # else it has just ended otherwise
                    await make_newest(connection, other, but=attempt.job.id)
                    await _end(connection, attempt.job.id, attempt.lease, other, change, *learned.values())
                    return other


async def give_way(connection: Connection, job_id: UUID, lease: UUID) -> bool:
    """End a running job whose place in the queue was taken by one for the same study; False where none has it now."""
    cursor = await connection.execute(
        "SELECT o.id FROM jobs o JOIN jobs j ON o.study_key = j.study_key AND o.models_hash = j.models_hash"
        " WHERE j.id = %s AND o.id <> j.id AND o.content_hash IS NULL AND o.state = 'queued'"
        " FOR KEY SHARE OF o",
        (job_id,),
    )
    row = await cursor.fetchone()
    if row is not None:
        await _end(connection, job_id, lease, row["id"], "reason = NULL")
    return row is not None


async def _find_other(connection: Connection, attempt: Attempt, identity: dict[str, object]) -> UUID | None:
    """The job that has the study; nobody deletes it before this one points at it."""
    cursor = await connection.execute(
        "SELECT id FROM jobs WHERE study_key = %s AND content_hash = %s AND models_hash = %s AND id <> %s"
        " AND NOT pruned AND state IN ('queued', 'running', 'done', 'refused', 'set_aside') FOR KEY SHARE",
        (identity["study_key"], identity["content_hash"], identity["models_hash"], attempt.job.id),
    )
    row = await cursor.fetchone()
    return row["id"] if row else None


async def _end(connection: Connection, job_id: UUID, lease: UUID, original: UUID, change: str, *values: object) -> None:
    """End as a duplicate, of the original's version; what was a duplicate of this one is one of the original."""
    over = (
        "state = 'duplicate', lease = NULL, finished_at = now(), stage = '', duplicate_of = %s, replaces = NULL,"
        " version = (SELECT o.version FROM jobs o WHERE o.id = %s)"
    )
    query = f"UPDATE jobs SET {change}, {over} WHERE id = %s AND lease = %s"  # noqa: S608  # of constants of ours; values are parameters
    await connection.execute(query.encode(), (*values, original, original, job_id, lease))
    follow = (
        "UPDATE jobs SET duplicate_of = %s, version = (SELECT o.version FROM jobs o WHERE o.id = %s)"
        " WHERE duplicate_of = %s"
    )
    await connection.execute(follow, (original, original, job_id))
