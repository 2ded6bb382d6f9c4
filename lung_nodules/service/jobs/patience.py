"""Outliving a restart of the database: what is asked of it is asked again when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import procrastinate
from procrastinate import connector as connectors
from procrastinate.exceptions import ConnectorException

from lung_nodules.service.database.pool import TRANSIENT

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
_PAUSE_S = 0.5


async def patiently(ask: Callable[[], Awaitable[Result]]) -> Result:
    """Ask until the database answers.

    Every write of a worker names its lease, so one that was carried out although the answer was lost does nothing the
    second time.
    """
    while True:
        try:
            return await ask()
        except TRANSIENT:
            logger.info("the database is away; waiting")
            await asyncio.sleep(_PAUSE_S)


class PatientConnector(procrastinate.PsycopgConnector):
    """Procrastinate's connection to PostgreSQL, for workers that do not end when the database is away.

    As it comes, the first heartbeat that fails stops the worker, which then waits for its job and ends. Only what may
    be done twice is repeated here (signs of life, ends of tickets, listening); the taking of a ticket is not: where its
    answer is lost, the ticket is void and a sweep issues another.
    """

    async def execute_query_async(self, query: Any, **arguments: Any) -> None:
        """As in the library, until it succeeds."""
        while True:
            try:
                await super().execute_query_async(query, **arguments)
            except ConnectorException as error:
                await _pause_if_away(error)
            else:
                return

    async def listen_notify(self, on_notification: connectors.Notify, channels: Iterable[str]) -> None:
        """As in the library, again and again."""
        names = tuple(channels)
        while True:
            try:
                await super().listen_notify(on_notification, names)
            except ConnectorException as error:
                await _pause_if_away(error)


async def _pause_if_away(error: ConnectorException) -> None:
    if not isinstance(error.__cause__, TRANSIENT):
        raise error
    await asyncio.sleep(_PAUSE_S)
