"""Workers as processes: studies that end them, and workers that are stopped, frozen or come back too late."""

import os
import signal

import pytest
from service_fixtures import ended, order, read_journal, until, worker, write_study

from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobState

pytestmark = pytest.mark.service


@pytest.mark.parametrize("crash", ["segv", "exit", "kill"])
def test_a_poisoned_study_is_set_aside_and_the_worker_goes_on(settings, run, tmp_path, crash):
    async def scenario():
        async with open_desk(settings) as desk:
            poisoned = await desk.submit(order(write_study(tmp_path / "poisoned", crash=crash)))
            with worker(settings) as process:
                poisoned = await ended(desk, poisoned)
                healthy = await ended(desk, await desk.submit(order(write_study(tmp_path / "healthy"))))
                assert process.process.poll() is None
            return poisoned, healthy

    poisoned, healthy = run(scenario())
    assert (poisoned.state, poisoned.crashes, poisoned.attempts) == (JobState.set_aside, 2, 2)
    assert poisoned.reason.code == "analysis-crashed"
    expected = {"segv": "SIGSEGV", "exit": "code 7", "kill": "SIGKILL"}[crash]
    assert expected in poisoned.reason.sentence
    assert healthy.state is JobState.done


def test_one_crash_is_forgiven(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(order(write_study(tmp_path / "study", crash="segv", num_crashes=1)))
            with worker(settings):
                return await ended(desk, job)

    job = run(scenario())
    assert (job.state, job.crashes, job.attempts) == (JobState.done, 1, 2)


def test_a_study_whose_analysis_takes_too_long_is_ended_and_set_aside(make, run, tmp_path):
    settings = make(workers={"time_limit_s": 6})  # enough to start the child and fetch

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(order(write_study(tmp_path / "long", delay_s=100)))
            with worker(settings):
                return await ended(desk, job)

    job = run(scenario())
    assert (job.state, job.reason.code, job.crashes) == (JobState.set_aside, "time-limit", 2)


def test_a_worker_that_is_told_to_stop_gives_its_study_back(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            journal = tmp_path / "journal"
            study = write_study(tmp_path / "long", delay_s=100, journal=str(journal))
            job = await desk.submit(order(study))

            async def begun():
                return read_journal(journal)

            with worker(settings) as process:
                await until(begun)
                assert process.terminate() == 0
            given_back = await desk.get(job.id)
            write_study(study)
            with worker(settings):
                return given_back, await ended(desk, job)

    given_back, done = run(scenario())
    assert (given_back.state, given_back.crashes) == (JobState.queued, 0)
    assert (done.state, done.attempts) == (JobState.done, 2)


def test_a_frozen_worker_comes_back_too_late_and_is_ignored(settings, run, tmp_path):
    """SIGSTOP for longer than the lease, another worker reads the study meanwhile, then SIGCONT."""

    async def scenario():
        async with open_desk(settings) as desk:
            journal = tmp_path / "journal"
            job = await desk.submit(order(write_study(tmp_path / "study", delay_s=1.0, journal=str(journal))))

            async def begun():
                return read_journal(journal)

            with worker(settings) as frozen:
                await until(begun)
                os.kill(frozen.process.pid, signal.SIGSTOP)
                with worker(settings):
                    first_end = await ended(desk, job)
                    os.kill(frozen.process.pid, signal.SIGCONT)
                    later = await ended(desk, await desk.submit(order(write_study(tmp_path / "later"))))
            return first_end, await desk.get(job.id), later

    first_end, after, later = run(scenario())
    assert first_end.state is JobState.done
    assert first_end.attempts == 2
    assert after == first_end
    assert later.state is JobState.done
