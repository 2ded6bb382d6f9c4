"""What can heal is tried again for a length of time, counted from when the job stopped coming further."""

import socket
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from service_fixtures import claim_next, study, until, worker

from lung_nodules.service.jobs import ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, JobState, Reason, Step
from lung_nodules.service.settings import WorkersSettings

REASON = Reason(code="archive-unreachable", sentence="It is away.")


@given(st.integers(0, 10**7), st.floats(0, 10**6))
def test_a_pause_ends_in_time_and_is_never_longer_than_it_may_be(num_failures, failing_for_s):
    workers = WorkersSettings()
    pause_s = workers.retry_after_s(num_failures, failing_for_s)
    if failing_for_s >= workers.heal_within_s:
        assert pause_s is None
    else:
        assert 0 < pause_s <= workers.longest_retry_s
        assert failing_for_s + pause_s <= workers.heal_within_s * (1 + 1e-9)


def test_a_night_without_an_archive_is_outlived():
    workers = WorkersSettings()
    num_failures, night_s = 0, 0.0
    while night_s < 12 * 3600:
        night_s += workers.retry_after_s(num_failures, night_s)
        num_failures += 1
    assert num_failures < 80
    assert workers.retry_after_s(num_failures, night_s) == workers.longest_retry_s


@pytest.mark.service
def test_failures_are_counted_until_the_job_comes_further(settings, run):
    async def fail(desk, *steps):
        attempt = await claim_next(desk)
        for step in steps:
            await ledger.enter_step(desk.pool, attempt, step)
        failures = await ledger.read_failures(desk.pool, attempt)
        await ledger.put_back(desk.pool, attempt, timedelta(), REASON, counts_as="failures")
        return failures

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1", "a"))
            assert await fail(desk, Step.fetch) == (0, 0.0)
            since = (await desk.get(job.id)).failing_since
            number, failing_for_s = await fail(desk, Step.fetch)
            assert number == 1
            assert failing_for_s > 0
            assert (await desk.get(job.id)).failing_since == since
            assert (await fail(desk, Step.fetch, Step.analyse)) == (0, 0.0)  # further than before
            assert (await fail(desk, Step.fetch, Step.analyse))[0] == 1  # and no further
            assert (await fail(desk, Step.fetch))[0] == 2  # less far
            attempt = await claim_next(desk)
            await ledger.finish(desk.pool, attempt, JobState.done)
            assert (await desk.get(job.id)).failing_since is None

    run(scenario())


async def read_to_its_end(settings):
    """What becomes of a study of an archive."""
    async with open_desk(settings) as desk:
        job = await desk.submit(study("1.2.3"))
        with worker(settings):

            async def ended():
                found = await desk.get(job.id)
                return found if found.state in ENDED else None

            return await until(ended)


def archive_at(port, **more):
    return {"pacs": {"kind": "dicomweb", "url": f"http://127.0.0.1:{port}/dicom-web", **more}}


@pytest.mark.service
def test_what_does_not_heal_in_its_time_is_failed_with_its_reason(make, run):
    with socket.socket() as nobody:  # bound, and nobody listens
        nobody.bind(("127.0.0.1", 0))
        archives = archive_at(nobody.getsockname()[1], retries={"max_tries": 1})
        workers = {"heal_within_s": 4, "longest_retry_s": 0.4}
        job = run(read_to_its_end(make(archives=archives, workers=workers)))
    assert (job.state, job.reason.code) == (JobState.failed, "archive-unreachable")
    assert 4 <= (job.finished_at - job.failing_since).total_seconds() < 20
    assert job.attempts > 4


@pytest.mark.service
def test_an_archive_that_is_too_slow_is_no_crash_of_the_study(make, run):
    with socket.socket() as silent:  # takes connections, and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        archives = archive_at(silent.getsockname()[1], retries={"max_tries": 1})
        workers = {"heal_within_s": 6, "longest_retry_s": 0.4, "time_limit_s": 2, "max_crashes": 2}
        job = run(read_to_its_end(make(archives=archives, workers=workers)))
    assert (job.state, job.reason.code, job.crashes) == (JobState.failed, "time-limit", 0)
    assert job.reason.sentence == "The study was not fetched within 2 s."
    assert job.attempts > 2


@pytest.mark.service
def test_an_archive_that_this_worker_does_not_know_yet_is_asked_for_again(make, run):
    job = run(read_to_its_end(make(workers={"heal_within_s": 2, "longest_retry_s": 0.4})))
    assert (job.state, job.reason.code) == (JobState.failed, "archive-not-configured")
    assert job.attempts > 2
