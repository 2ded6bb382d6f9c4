"""Tickets: the queue's side of a job.

The queue is Procrastinate (docs/decisions/queue.md). It says who reads what next: priorities, waiting times, wake-up by
notification, many workers that never get the same ticket. What a job *is* stands in our own table. A ticket is good for
one attempt: each retry, recovery and change of priority issues a new one, in the transaction that changes the job, and
an attempt begins only with the ticket that the job names. So a ticket that is lost, late or doubled does no harm.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import procrastinate

from lung_nodules.service.database.pool import Connection

QUEUE = "studies"
TASK = "lung_nodules.read_study"


def make_queue(connector: procrastinate.PsycopgConnector | None = None) -> procrastinate.App:
    """The queue as a library object; without a connector it can only issue tickets on connections of ours."""
    return procrastinate.App(connector=connector or procrastinate.PsycopgConnector())


_issuing = make_queue()


async def issue_ticket(connection: Connection, job_id: UUID, priority: int, delay: timedelta = timedelta()) -> int:
    """Put a ticket for a job into the queue, within the connection's transaction, and name it in the job.

    Args:
        connection: Within the transaction that changes the job.
        job_id: The job.
        priority: Higher goes first.
        delay: Before that nobody gets it.

    Returns:
        The ticket's number.
    """
    when = {"schedule_in": {"seconds": delay.total_seconds()}} if delay else {}
    task = _issuing.configure_task(TASK, queue=QUEUE, priority=priority, connection=connection, **when)  # type: ignore[arg-type]
    ticket = await task.defer_async(job_id=str(job_id))
    await connection.execute("UPDATE jobs SET ticket = %s, waiting_since = now() WHERE id = %s", (ticket, job_id))
    return ticket


async def reissue_ticket(connection: Connection, job_id: UUID, ticket: int | None, priority: int) -> None:
    """Issue a ticket of another priority in the place of one; what is left of its delay stays."""
    left = "SELECT scheduled_at - now() AS delay FROM procrastinate_jobs WHERE id = %s AND scheduled_at > now()"
    row = await (await connection.execute(left, (ticket,))).fetchone()
    await void_ticket(connection, ticket)
    await issue_ticket(connection, job_id, priority, row["delay"] if row else timedelta())


async def void_ticket(connection: Connection, ticket: int | None) -> None:
    """Take a ticket out of the queue if nobody has it yet."""
    await connection.execute("SELECT procrastinate_cancel_job_v1(%s, false, true)", (ticket,))


async def abort_ticket(connection: Connection, ticket: int | None) -> None:
    """Tell the worker that has a ticket to stop; the queue notifies it."""
    await connection.execute("SELECT procrastinate_cancel_job_v1(%s, true, false)", (ticket,))
