"""The worker: takes one ticket after another, on any machine that reaches the database and the data folder."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from uuid import UUID

import procrastinate
from procrastinate.exceptions import ConnectorException

from lung_nodules.service.database.address import database_url
from lung_nodules.service.database.pool import TRANSIENT, Pool, open_pool
from lung_nodules.service.database.schema import prepare_database
from lung_nodules.service.jobs.attempt import Reader, WorkerUnfit
from lung_nodules.service.jobs.models_hash import check_models
from lung_nodules.service.jobs.notices import tell_ends
from lung_nodules.service.jobs.patience import PatientConnector
from lung_nodules.service.jobs.pruning import prune
from lung_nodules.service.jobs.sweeping import sweep
from lung_nodules.service.jobs.tickets import QUEUE, TASK, make_queue
from lung_nodules.service.settings import ServiceSettings, WorkersSettings
from lung_nodules.service.starting import check_data_folder

logger = logging.getLogger(__name__)

_RESTART_S = 1.0
_LAST_S = 5.0  # beyond the grace, to write down how it ended


def run_worker(settings: ServiceSettings) -> None:
    """Work until SIGTERM or SIGINT; the study under way then has `workers.grace_s` to end, or is queued again.

    Raises:
        ModelRefusal: A model is missing, altered or does not fit; also where that is found out at a study, which is
            then queued again.
        UsageRefusal: ``bad-settings``, ``data-folder-unusable``, ``database-unreachable`` or ``database-version``.
    """
    check_models(settings)
    check_data_folder(settings.data_folder)
    asyncio.run(_run(settings))


async def _run(settings: ServiceSettings) -> None:
    unfit: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with open_pool(settings, checked=False) as pool:
        async with pool.connection() as connection:
            await prepare_database(connection)
        reader = Reader(settings, pool)
        workers, results = settings.workers, settings.results
        others = [
            asyncio.create_task(_repeat(name, care, pause_s))
            for name, care, pause_s in (
                ("sweeping", lambda: _sweep(pool, workers), workers.lease_s / 2),
                ("making room", lambda: prune(pool, settings), results.prune_every_s),
                ("telling of ends", lambda: tell_ends(pool, settings), workers.poll_s),
            )
        ]
        try:
            work = _take_tickets(settings, reader, unfit)
            ended = await _until_signal(work, unfit, settings.workers.grace_s + _LAST_S)
            if not ended:  # the database is away: nobody can take the study back, and its lease will end
                await reader.close()
                os._exit(1)
        finally:
            for task in others:
                task.cancel()
            await reader.close()
        if unfit.done():
            unfit.result()


async def _until_signal(work: Coroutine[None, None, None], unfit: asyncio.Future[None], longest_end_s: float) -> bool:
    """Work until told to stop, or unfit; whether it has ended by then, or within the time that it has for that."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    task, told = asyncio.create_task(work), asyncio.create_task(stop.wait())
    await asyncio.wait((task, told, unfit), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if not task.done():
        task.cancel()
        await asyncio.wait((task,), timeout=longest_end_s)
    with suppress(asyncio.CancelledError):
        if task.done():
            await task
    return task.done()


async def _take_tickets(settings: ServiceSettings, reader: Reader, unfit: asyncio.Future[None]) -> None:
    """Run the queue's worker, and start it again when it ends because the database was away."""
    while True:
        try:
            await _take_tickets_once(settings, reader, unfit)
        except (*TRANSIENT, ConnectorException) as error:
            logger.info("the queue is away (%s)", type(error).__name__)
        await asyncio.sleep(_RESTART_S)


async def _take_tickets_once(settings: ServiceSettings, reader: Reader, unfit: asyncio.Future[None]) -> None:
    workers = settings.workers
    app = make_queue(PatientConnector(conninfo=database_url(settings), min_size=1, max_size=4))

    @app.task(name=TASK, queue=QUEUE, pass_context=True)
    async def read_study(context: procrastinate.JobContext, job_id: str) -> None:
        try:
            await reader.read(UUID(job_id), context.job.id)
        except WorkerUnfit as refusal:
            if not unfit.done():
                unfit.set_exception(refusal)

    async with app.open_async():
        await app.run_worker_async(
            queues=[QUEUE],
            concurrency=1,
            fetch_job_polling_interval=workers.poll_s,
            abort_job_polling_interval=workers.poll_s,
            update_heartbeat_interval=workers.heartbeat_s,
            stalled_worker_timeout=workers.lease_s,
            shutdown_graceful_timeout=workers.grace_s,
            delete_jobs="always",
            install_signal_handlers=False,
        )


async def _repeat(name: str, care: Callable[[], Awaitable[object]], pause_s: float) -> None:
    """Care for what others left behind, whatever fails: a worker that reads and no longer cares would look well."""
    while True:
        try:
            await care()
        except TRANSIENT:
            logger.info("the database is away; %s waits", name)
        except Exception as error:
            logger.error("%s failed: %s", name, type(error).__name__)  # noqa: TRY400  # a text may hold what was read
        await asyncio.sleep(pause_s)


async def _sweep(pool: Pool, workers: WorkersSettings) -> None:
    """Put right what others left behind, twice a lease."""
    swept = await sweep(pool, workers)
    if swept.num_lost or swept.num_without_ticket:
        logger.warning("%d lost workers' jobs, %d without a ticket", swept.num_lost, swept.num_without_ticket)
