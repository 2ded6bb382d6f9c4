"""Each step has its own time: what an archive takes is not taken from the analysis."""

import asyncio

import pytest
from service_fixtures import TESTS, write_study

from lung_nodules.service.jobs import attempt
from lung_nodules.service.jobs.attempt import Reader
from lung_nodules.service.jobs.child_link import ChildLink
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobOrder, JobState, Source

pytestmark = pytest.mark.service

LIMIT_S = 12.0
SHARE_S = 7.0  # of one step


class SlowArchive(ChildLink):
    """Hands a study over late."""

    delay_s = 0.0

    async def ask(self, step, *arguments, **more):
        if step == "fetch":
            await asyncio.sleep(self.delay_s)
        return await super().ask(step, *arguments, **more)


async def read(desk, reader, folder):
    """Have a reader read a study; the job then."""
    job = await desk.submit(JobOrder(source=Source(kind="folder", path=str(folder))))
    async with desk.pool.connection() as connection:
        cursor = await connection.execute("SELECT ticket FROM jobs WHERE id = %s", (job.id,))
        row = await cursor.fetchone()
    await reader.read(job.id, row["ticket"])
    return await desk.get(job.id)


def test_a_slow_archive_takes_no_time_from_the_analysis(make, run, tmp_path, monkeypatch):
    monkeypatch.setattr(attempt, "ChildLink", SlowArchive)
    monkeypatch.setenv("PYTHONPATH", str(TESTS))
    settings = make(workers={"time_limit_s": LIMIT_S})

    async def scenario():
        async with open_desk(settings) as desk:
            reader = Reader(settings, desk.pool)
            try:
                await read(desk, reader, write_study(tmp_path / "first"))  # the child is there afterwards
                monkeypatch.setattr(SlowArchive, "delay_s", SHARE_S)
                return await read(desk, reader, write_study(tmp_path / "slow", delay_s=SHARE_S))
            finally:
                await reader.close()

    job = run(scenario())
    assert (job.state, job.crashes) == (JobState.done, 0)
    assert (job.finished_at - job.started_at).total_seconds() > LIMIT_S
