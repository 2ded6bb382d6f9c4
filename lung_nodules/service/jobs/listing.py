"""Pages of jobs and their counts."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.database.pool import Connection
from lung_nodules.service.jobs.model import JobPage, JobQuery, JobState
from lung_nodules.service.jobs.rows import COLUMNS, read_job


async def list_jobs(connection: Connection, query: JobQuery) -> JobPage:
    """The newest jobs first; a page begins where the one before has ended, whatever was submitted meanwhile.

    Raises:
        UsageRefusal: ``bad-cursor``.
    """
    conditions, values = ["true"], list[object]()
    if query.states:
        conditions.append("state = ANY(%s)")
        values.append([state.value for state in query.states])
    if query.submitted_by is not None:
        conditions.append("submitted_by = %s")
        values.append(query.submitted_by)
    if query.created_after is not None:
        conditions.append("created_at >= %s")
        values.append(query.created_after)
    if query.created_before is not None:
        conditions.append("created_at < %s")
        values.append(query.created_before)
    if query.text:
        conditions.append("(strpos(label, %s) > 0 OR strpos(id::text, %s) > 0 OR strpos(study_key, %s) > 0)")
        values.extend([query.text.strip().lower()] * 3)
    if query.cursor is not None:
        conditions.append("number < %s")
        values.append(_read_cursor(query.cursor))
    text = f"SELECT {COLUMNS}, number FROM jobs WHERE {' AND '.join(conditions)} ORDER BY number DESC LIMIT %s"  # noqa: S608  # of constants of ours; values are parameters
    rows = await (await connection.execute(text.encode(), [*values, query.limit + 1])).fetchall()
    page = rows[: query.limit]
    more = _write_cursor(page[-1]["number"]) if len(rows) > query.limit else None
    return JobPage(jobs=tuple(read_job(row) for row in page), next_cursor=more)


async def count_states(connection: Connection) -> Mapping[JobState, int]:
    """The number of jobs in each state, zeros included."""
    cursor = await connection.execute("SELECT state, sum(jobs) AS jobs FROM job_tallies GROUP BY state")
    rows = await cursor.fetchall()
    known = {row["state"]: int(row["jobs"]) for row in rows}
    return {state: known.get(state.value, 0) for state in JobState}


def _write_cursor(number: int) -> str:
    return base64.urlsafe_b64encode(str(number).encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> int:
    try:
        number = int(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii"))
    except (binascii.Error, ValueError) as error:
        raise UsageRefusal("bad-cursor", "The cursor is none that a page has given.") from error
    if not 0 <= number < 2**63:
        raise UsageRefusal("bad-cursor", "The cursor is none that a page has given.")
    return number
