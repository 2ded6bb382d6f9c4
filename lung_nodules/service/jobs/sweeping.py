"""Putting right what lost workers, and a queue that lost a ticket, have left.

Any worker may sweep at any time; rows that another one is sweeping are passed over. Time is the database's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from lung_nodules.service.database.pool import Connection, Pool
from lung_nodules.service.jobs.ledger import put_back_within
from lung_nodules.service.jobs.model import Reason
from lung_nodules.service.jobs.tickets import issue_ticket
from lung_nodules.service.settings import WorkersSettings

LOST = Reason(code="worker-lost", sentence="The worker that read the study fell silent; the study is read again.")
LOST_TOO_OFTEN = Reason(
    code="worker-lost",
    sentence="Too many workers were lost while they read this study.",
    advice="Look at the workers' memory; then try the job again.",
)
_PAUSE = timedelta(seconds=1)


@dataclass(frozen=True)
class Swept:
    """What one sweep has found."""

    num_lost: int  # attempts whose worker fell silent
    num_without_ticket: int  # jobs that waited and that nobody would have got
    num_dead_tickets: int


async def sweep(pool: Pool, workers: WorkersSettings) -> Swept:
    """Queue again what lost workers held, give a ticket to what waits without one, remove tickets of the past."""
    async with pool.connection() as connection:
        lost = await _recover_lost(connection, workers)
        without = await _issue_missing(connection, workers)
        dead = await _remove_dead(connection, workers)
    return Swept(lost, without, dead)


async def _recover_lost(connection: Connection, workers: WorkersSettings) -> int:
    query = (
        "SELECT id, lease, losses, cancel_requested FROM jobs WHERE state = 'running'"
        " AND beat_at < now() - %s * interval '1 second' FOR UPDATE SKIP LOCKED"
    )
    async with connection.transaction():
        rows = await (await connection.execute(query, (workers.lease_s,))).fetchall()
        for row in rows:
            if row["cancel_requested"]:
                await _end(connection, row, "cancelled", None)
            elif row["losses"] + 1 >= workers.max_losses:
                await _end(connection, row, "set_aside", LOST_TOO_OFTEN)
            else:
                await put_back_within(connection, row["id"], row["lease"], _PAUSE, LOST, "losses")
    return len(rows)


async def _end(connection: Connection, row: dict[str, object], state: str, reason: Reason | None) -> None:
    from psycopg.types.json import Jsonb

    await connection.execute(
        "UPDATE jobs SET state = %s, lease = NULL, finished_at = now(), losses = losses + 1, stage = '', reason = %s"
        " WHERE id = %s AND lease = %s",
        (state, Jsonb(reason.model_dump()) if reason else None, row["id"], row["lease"]),
    )


async def _issue_missing(connection: Connection, workers: WorkersSettings) -> int:
    """A ticket that a worker took and never used is as good as none: the job has not begun within a lease."""
    query = (
        "SELECT j.id, j.priority FROM jobs j LEFT JOIN procrastinate_jobs p ON p.id = j.ticket"
        " WHERE j.state = 'queued' AND p.status IS DISTINCT FROM 'todo' AND j.waiting_since < now() - %(lease)s"
        " AND NOT (p.status IS NOT DISTINCT FROM 'doing' AND EXISTS (SELECT FROM procrastinate_events e"
        " WHERE e.job_id = p.id AND e.type = 'started' AND e.at > now() - %(lease)s)) FOR UPDATE OF j SKIP LOCKED"
    )
    async with connection.transaction():
        rows = await (await connection.execute(query, {"lease": timedelta(seconds=workers.lease_s)})).fetchall()
        for row in rows:
            await issue_ticket(connection, row["id"], row["priority"])
    return len(rows)


async def _remove_dead(connection: Connection, workers: WorkersSettings) -> int:
    """Tickets that no job names any more, whether or not their worker lives; and the ended ones, if any."""
    cursor = await connection.execute(
        "DELETE FROM procrastinate_jobs p WHERE NOT EXISTS (SELECT FROM jobs j WHERE j.ticket = p.id"
        " AND j.state IN ('queued', 'running')) AND NOT EXISTS (SELECT FROM procrastinate_events e"
        " WHERE e.job_id = p.id AND e.at > now() - %s)",
        (timedelta(seconds=workers.lease_s),),
    )
    return cursor.rowcount
