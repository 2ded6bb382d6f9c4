"""Connections to the database, by the one driver that is used: psycopg 3."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.database.address import database_url, is_embedded
from lung_nodules.service.settings import ServiceSettings

Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]
_OPTIONS: dict[str, Any] = {"row_factory": dict_row, "autocommit": True, "keepalives_idle": 10}
TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)  # the database is away for a while


@asynccontextmanager
async def open_pool(settings: ServiceSettings, *, checked: bool = True) -> AsyncIterator[Pool]:
    """Open a pool.

    Args:
        settings: Of the service.
        checked: Connections are tried when they are lent, so that a restart of the server passes without an error; one
            more question each time. For who asks again anyway (`jobs.patience`) it is not needed.

    Raises:
        UsageRefusal: ``database-unreachable`` where no connection comes within `database.connect_timeout_s`.
    """
    pool = make_pool(database_url(settings), settings, checked=checked)
    try:
        await pool.open(wait=True, timeout=settings.database.connect_timeout_s)
    except PoolTimeout as error:
        await pool.close()
        advice = "`lung-nodules serve` starts the embedded one." if is_embedded(settings) else "See database.url_file."
        raise UsageRefusal("database-unreachable", "The service's database does not answer.", advice) from error
    try:
        yield pool
    finally:
        await pool.close()


async def connect(url: str) -> Connection:
    """One connection of its own, for what cannot be shared, such as listening."""
    return await psycopg.AsyncConnection[DictRow].connect(url, **_OPTIONS)


def make_pool(url: str, settings: ServiceSettings, *, checked: bool = True) -> Pool:
    """A pool that is not open yet; rows are dictionaries."""
    return AsyncConnectionPool(
        url,
        connection_class=psycopg.AsyncConnection[DictRow],
        kwargs=_OPTIONS,
        min_size=1,
        max_size=settings.database.pool_size,
        timeout=settings.database.connect_timeout_s,
        reconnect_timeout=3600.0,
        check=AsyncConnectionPool.check_connection if checked else None,
        open=False,
    )
