"""The demo study: a service that has no job yet begins with one, so that there is something to look at."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import Job, JobOrder, JobQuery, Source
from lung_nodules.service.settings import ServiceSettings


def submit_demo(settings: ServiceSettings, folder: Path) -> Job:
    """Queue the study of a folder where there is no job; else give the newest one.

    Args:
        settings: Of the service, whose database runs.
        folder: DICOM files.

    Raises:
        UsageRefusal: ``database-unreachable`` or ``database-version``.
        ModelRefusal: A model is missing.
    """
    return asyncio.run(_submit(settings, folder.resolve()))


async def _submit(settings: ServiceSettings, folder: Path) -> Job:
    async with open_desk(settings) as desk:
        known = await desk.list(JobQuery(limit=1))
        if known.jobs:
            return known.jobs[0]
        return await desk.submit(JobOrder(source=Source(kind="folder", path=str(folder)), submitted_by="demo"))
