"""kill -9 at random moments, of workers, their children and the database: nothing is lost, nothing is doubled."""

import asyncio
import os
import random
import signal
from collections import Counter

import psycopg
import pytest
from service_fixtures import FAST, WorkerProcess, make_settings, short_folder, until, write_study

from lung_nodules.service.database.embedded import EmbeddedServer
from lung_nodules.service.jobs.desk import JobDesk, open_desk
from lung_nodules.service.jobs.model import ENDED, JobOrder, JobState, Source
from lung_nodules.service.jobs.remains import remove_remains
from lung_nodules.service.jobs.results import ResultFolder

pytestmark = [pytest.mark.service, pytest.mark.slow]

NUM_JOBS = 30
WORKERS = {**FAST, "max_crashes": 10, "max_losses": 50, "heartbeat_s": 0.3, "lease_s": 1.5}


async def all_ended(desk: JobDesk) -> bool:
    counts = await desk.counts()
    return sum(counts[state] for state in ENDED) == NUM_JOBS


async def submit_all(desk: JobDesk, folder) -> list:
    jobs = []
    for number in range(NUM_JOBS):
        study = write_study(folder / f"study-{number}", delay_s=0.3)
        jobs.append(await desk.submit(JobOrder(source=Source(kind="folder", path=str(study)))))
    return jobs


async def judge(desk: JobDesk, jobs: list) -> None:
    """Each job is done, once, with results of its own study."""
    found = [await desk.get(job.id) for job in jobs]
    assert Counter(job.state for job in found) == {JobState.done: NUM_JOBS}
    assert all(job.duplicate_of is None and job.version == 1 for job in found)
    assert len({job.content_hash for job in found}) == NUM_JOBS
    for job in found:
        results = ResultFolder(desk.settings.data_folder, job.id)
        assert job.source.path.endswith(results.report()["study"])
        assert results.origin().content_hash == job.content_hash
    await remove_remains(desk.pool, desk.settings)
    assert {path.name for path in (desk.settings.data_folder / "results").iterdir()} == {str(job.id) for job in jobs}


def test_workers_and_their_children_are_killed(server, run, tmp_path):
    settings = make_settings(server, tmp_path, workers=WORKERS)
    moments = random.Random(3)

    async def scenario():
        async with open_desk(settings) as desk:
            jobs = await submit_all(desk, tmp_path)
            workers = [WorkerProcess(settings) for _ in range(2)]
            try:
                await asyncio.sleep(4)
                for _ in range(12):
                    await asyncio.sleep(moments.uniform(0.2, 1.2))
                    chosen = moments.randrange(2)
                    children = workers[chosen].children()
                    if children and moments.random() < 0.4:
                        os.kill(children[0], signal.SIGKILL)
                    else:
                        workers[chosen].kill()
                        await asyncio.sleep(0.3)
                        workers[chosen] = WorkerProcess(settings)
                await until(lambda: all_ended(desk), 120)
                assert (await desk.counts())[JobState.running] == 0
                await judge(desk, jobs)
            finally:
                for each in workers:
                    each.kill()

    run(scenario())


def test_the_database_is_killed(run):
    """Workers go on by themselves, and so do followers."""
    with short_folder() as folder:
        server = EmbeddedServer(folder / "server")
        server.start()
        settings = make_settings(server, folder, workers=WORKERS)
        moments = random.Random(4)

        async def scenario():
            async with open_desk(settings) as desk:
                jobs = await submit_all(desk, folder)
                followed = asyncio.create_task(follow_to_end(desk, jobs[-1].id))
                workers = [WorkerProcess(settings) for _ in range(2)]
                try:
                    await asyncio.sleep(4)
                    for _ in range(3):
                        await asyncio.sleep(moments.uniform(0.5, 2.0))
                        server.process.kill()
                        server.process.wait()
                        await asyncio.sleep(0.5)
                        await asyncio.to_thread(server.start)
                    await until(lambda: ended_patiently(desk), 120)
                    assert [each.process.poll() for each in workers] == [None, None]
                    await judge(desk, jobs)
                    assert (await asyncio.wait_for(followed, 10)).state is JobState.done
                finally:
                    for each in workers:
                        each.kill()

        try:
            run(scenario())
        finally:
            server.stop()


async def ended_patiently(desk: JobDesk) -> bool:
    try:
        return await all_ended(desk)
    except psycopg.OperationalError:
        return False


async def follow_to_end(desk: JobDesk, job_id):
    async for job in desk.follow(job_id):
        if job.state in ENDED:
            return job
    return None


def test_a_machine_that_never_comes_back_loses_nothing(server, run, tmp_path):
    settings = make_settings(server, tmp_path, workers=WORKERS)

    async def scenario():
        async with open_desk(settings) as desk:
            study = write_study(tmp_path / "study", delay_s=3)
            job = await desk.submit(JobOrder(source=Source(kind="folder", path=str(study))))
            gone = WorkerProcess(settings)

            async def runs():
                return (await desk.get(job.id)).state is JobState.running

            await until(runs)
            gone.kill()
            write_study(study)
            other = WorkerProcess(settings)
            try:

                async def done():
                    return (await desk.get(job.id)).state is JobState.done

                await until(done, 30)
            finally:
                other.kill()
            return await desk.get(job.id)

    job = run(scenario())
    assert (job.attempts, job.crashes) == (2, 0)


def test_a_worker_that_is_told_to_stop_ends_even_without_a_database(run):
    with short_folder() as folder:
        server = EmbeddedServer(folder / "server")
        server.start()
        settings = make_settings(server, folder, workers=WORKERS)
        started = None

        async def begin():
            async with open_desk(settings) as desk:
                study = write_study(folder / "study", delay_s=60)
                job = await desk.submit(JobOrder(source=Source(kind="folder", path=str(study))))

                async def runs():
                    return (await desk.get(job.id)).state is JobState.running

                await until(runs)

        try:
            started = WorkerProcess(settings)
            run(begin())
            server.stop()
            assert started.terminate(30) == 1
        finally:
            server.stop()
            if started is not None:
                started.kill()
