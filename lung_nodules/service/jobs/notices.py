"""The ends of jobs, told to the webhook at least once.

A row of `notices` is written by the statement that ends a job, whoever that is (database/tables_2.sql), so that none is
forgotten. Workers tell what is due: a try is booked before it is made, so that no two make it together, and one whose
worker was killed is made again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lung_nodules.errors import Refusal
from lung_nodules.service.database.pool import Pool
from lung_nodules.service.jobs.patience import patiently
from lung_nodules.service.jobs.webhook import JobEnd, send_webhook
from lung_nodules.service.settings import ServiceSettings

logger = logging.getLogger(__name__)

_OPEN = "told_at IS NULL AND given_up_at IS NULL"
_BOOK = (
    "UPDATE notices n SET tries = tries + 1, next_at = now() + %s FROM jobs j WHERE j.id = n.job_id AND n.number ="  # noqa: S608  # of constants of ours; values are parameters
    f" (SELECT number FROM notices WHERE {_OPEN} AND next_at <= now() ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
    " RETURNING n.*, j.label, j.replaces, j.duplicate_of, extract(epoch FROM now() - n.ended_at)::float8 AS age_s"
)


async def tell_ends(pool: Pool, settings: ServiceSettings) -> int:
    """Tell the ends that are due, one after another.

    Without a URL they are left to the workers that have one, and forgotten when none has told them in their time.

    Returns:
        How many were taken.
    """
    if settings.webhook.url is None:
        await _forget_overdue(pool, timedelta(seconds=settings.workers.heal_within_s))
        return 0
    num_told = 0
    while (row := await _book(pool, settings)) is not None:
        num_told += await _tell(pool, settings, row)
    return num_told


async def count_untold(pool: Pool) -> Mapping[str, int]:
    """The number of ends that nobody was told: those that are `waiting` to be, and those `given_up`."""
    query = (
        "SELECT count(*) FILTER (WHERE given_up_at IS NULL) AS waiting, count(given_up_at) AS given_up"
        " FROM notices WHERE told_at IS NULL"
    )
    async with pool.connection() as connection:
        row = await (await connection.execute(query)).fetchone()
    assert row is not None
    return {state: int(number) for state, number in row.items()}


async def _forget_overdue(pool: Pool, within: timedelta) -> None:
    """By when a try was due, so that a worker with a URL may still make and note its last one."""
    query = f"DELETE FROM notices WHERE {_OPEN} AND next_at < now() - %s"  # noqa: S608  # of constants of ours; values are parameters
    async with pool.connection() as connection:
        await connection.execute(query.encode(), (within,))


async def _book(pool: Pool, settings: ServiceSettings) -> dict[str, Any] | None:
    """Take the notice that is due longest, and put its next try behind this one."""
    longest = timedelta(seconds=settings.webhook.timeout_s + settings.workers.lease_s)
    async with pool.connection() as connection:
        return await (await connection.execute(_BOOK.encode(), (longest,))).fetchone()


async def _tell(pool: Pool, settings: ServiceSettings, row: dict[str, Any]) -> bool:
    end = JobEnd.model_validate({name: row[name] for name in JobEnd.model_fields})
    try:
        await asyncio.to_thread(send_webhook, settings.webhook, end)
    except Refusal as refusal:
        delay_s = settings.workers.retry_after_s(row["tries"] - 1, row["age_s"])
        if delay_s is None:
            logger.warning("job %s: nobody could be told that it ended (%s)", end.job_id, refusal.code)
            await _note(pool, row, "given_up_at = now()")
        else:
            logger.info("job %s: its end is told again in %.0f s (%s)", end.job_id, delay_s, refusal.sentence)
            await _note(pool, row, "next_at = now() + %s", timedelta(seconds=delay_s))
        return False
    await _note(pool, row, "told_at = now()")
    return True


async def _note(pool: Pool, row: dict[str, Any], change: str, *values: object) -> None:
    query = f"UPDATE notices SET {change} WHERE number = %s"  # noqa: S608  # of constants of ours; values are parameters

    async def note() -> None:
        async with pool.connection() as connection:
            await connection.execute(query.encode(), (*values, row["number"]))

    await patiently(note)
