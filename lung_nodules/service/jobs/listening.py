"""Studies that are sent straight to us by C-STORE: each is queued when it is quiet."""

from __future__ import annotations

import asyncio
import logging
import signal

from lung_nodules.archive.listener import StoreListener
from lung_nodules.archive.spool import ReceivedStudy
from lung_nodules.errors import UsageRefusal
from lung_nodules.service.jobs.desk import JobDesk, open_desk
from lung_nodules.service.jobs.model import JobOrder, Source
from lung_nodules.service.jobs.patience import patiently
from lung_nodules.service.settings import ServiceSettings

logger = logging.getLogger(__name__)

SUBMITTER = "listener"
FOLDER = "listener"  # below the spool


def run_listener(settings: ServiceSettings) -> None:
    """Listen until SIGTERM or SIGINT.

    Raises:
        UsageRefusal: ``nothing-to-listen-to``, ``database-unreachable``.
        ArchiveRefusal: The port cannot be opened.
    """
    asyncio.run(_run(settings))


async def _run(settings: ServiceSettings) -> None:
    if settings.listener is None:
        raise UsageRefusal("nothing-to-listen-to", "The settings have no section listener.")
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_desk(settings) as desk:

        def submit(study: ReceivedStudy) -> None:
            """In the listener's thread; where it raises, the listener comes again with the study."""
            asyncio.run_coroutine_threadsafe(_submit(desk, study), loop).result()

        listener = StoreListener(settings.listener, settings.data_folder / "spool" / FOLDER, submit)
        await asyncio.to_thread(listener.__enter__)
        logger.info("listening on port %d", listener.port)
        try:
            await stop.wait()
        finally:
            await asyncio.to_thread(listener.__exit__, None, None, None)


async def _submit(desk: JobDesk, study: ReceivedStudy) -> None:
    """Its content is left open: what came may be more than the CT, and the worker reads it anyhow."""
    path = study.folder.resolve().relative_to((desk.settings.data_folder / "spool").resolve())
    source = Source(kind="upload", path=str(path), study_instance_uid=study.study_instance_uid)
    await patiently(lambda: desk.submit(JobOrder(source=source, submitted_by=SUBMITTER)))
