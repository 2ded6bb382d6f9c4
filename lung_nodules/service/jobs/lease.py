"""The right to write about a job: held by one attempt at a time, and named in each of its writes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from lung_nodules.service.database.pool import Connection
from lung_nodules.service.jobs.model import Job


class LeaseLost(Exception):  # noqa: N818  # no error: another attempt is under way, or the job is gone
    """This attempt no longer counts."""


@dataclass(frozen=True)
class Attempt:
    """One attempt at a job."""

    job: Job  # as it was when the attempt began
    lease: UUID


async def write(connection: Connection, attempt: Attempt, change: str, *values: object) -> dict[str, Any]:
    """Change the job's row, if it is still this attempt's.

    Returns:
        The row after the change, and the database's `now`.

    Raises:
        LeaseLost: The attempt no longer counts; nothing was changed.
    """
    query = f"UPDATE jobs SET {change} WHERE id = %s AND lease = %s RETURNING *, now() AS now"  # noqa: S608  # of constants of ours; values are parameters
    cursor = await connection.execute(query.encode(), (*values, attempt.job.id, attempt.lease))
    row = await cursor.fetchone()
    if row is None:
        raise LeaseLost
    return row
