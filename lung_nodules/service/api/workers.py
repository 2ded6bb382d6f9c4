"""Workers that are alive, by the signs of life that the queue keeps."""

from __future__ import annotations

from lung_nodules.service.database.pool import TRANSIENT, Pool
from lung_nodules.service.settings import WorkersSettings

_QUERY = """
    SELECT count(*) AS alive FROM procrastinate_workers
    WHERE last_heartbeat > now() - make_interval(secs => %s)
"""


async def count_workers(pool: Pool, settings: WorkersSettings) -> int:
    """Give how many workers, on any machine, have shown a sign of life within the lease; 0 without a database."""
    try:
        async with pool.connection(timeout=2.0) as connection:
            row = await (await connection.execute(_QUERY, (settings.lease_s,))).fetchone()
    except TRANSIENT:
        return 0
    return int(row["alive"]) if row else 0
