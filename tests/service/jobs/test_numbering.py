"""Versions of one study that are numbered at the same time: on several connections to a real PostgreSQL."""

import asyncio

import pytest
from service_fixtures import claim_next, study

from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobOrder, JobQuery, JobState, Source
from lung_nodules.service.jobs.orders import find_same, insert
from lung_nodules.service.jobs.versions import lock_study

pytestmark = pytest.mark.service


def upload(number):
    """An order for a study whose content is known only when it is read."""
    return JobOrder(source=Source(kind="upload", path=f"sent-{number}"))


async def is_waiting(task):
    await asyncio.wait([task], timeout=0.5)
    return not task.done()


@pytest.mark.parametrize("how", ["submitted", "learned"])
def test_a_version_waits_for_the_number_of_another(settings, run, how):
    async def scenario():
        async with open_desk(settings) as desk:
            await desk.submit(upload(1))
            attempt = await claim_next(desk)
            async with desk.pool.connection() as connection, connection.transaction():
                assert await find_same(connection, study("1.1", "a"), desk.models_hash) is None
                first = await insert(connection, study("1.1", "a"), desk.models_hash)
                if how == "submitted":
                    second = asyncio.create_task(desk.submit(study("1.1", "b")))
                else:
                    second = asyncio.create_task(duplicates.learn_content(desk.pool, attempt, "1.1", "b"))
                assert await is_waiting(second)
                assert (await desk.submit(study("1.2", "b"))).version == 1  # of another study
            learned = await second
            return first, learned if how == "submitted" else await desk.get(attempt.job.id)

    first, second = run(scenario())
    assert (first.version, second.version) == (1, 2)


def test_two_that_learn_their_content_together_have_two_numbers(settings, run, monkeypatch):
    write, is_numbered, may_go_on = duplicates.write, asyncio.Event(), asyncio.Event()

    async def write_and_wait(connection, attempt, change, *values):
        row = await write(connection, attempt, change, *values)
        if change.startswith("version"):
            is_numbered.set()
            await may_go_on.wait()
        return row

    monkeypatch.setattr(duplicates, "write", write_and_wait)

    async def scenario():
        async with open_desk(settings) as desk:
            ids = [(await desk.submit(upload(number))).id for number in range(2)]
            attempts = [await claim_next(desk) for _ in ids]
            first = asyncio.create_task(duplicates.learn_content(desk.pool, attempts[0], "1.1", "a"))
            await is_numbered.wait()
            second = asyncio.create_task(duplicates.learn_content(desk.pool, attempts[1], "1.1", "b"))
            assert await is_waiting(second)
            may_go_on.set()
            assert await asyncio.gather(first, second) == [None, None]
            for attempt in attempts:
                await ledger.finish(desk.pool, attempt, JobState.done)
            return [await desk.get(job_id) for job_id in ids]

    first, second = run(scenario())
    assert (first.version, first.replaced_by) == (1, second.id)
    assert (second.version, second.replaced_by) == (2, None)


def test_who_learns_its_content_holds_up_nobody_who_numbers(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1", "a"))
            attempt = await claim_next(desk)
            async with desk.pool.connection() as connection, connection.transaction():
                await lock_study(connection, "study:1.1")
                learning = asyncio.create_task(duplicates.learn_content(desk.pool, attempt, "1.1", "b"))
                assert await is_waiting(learning)
                assert (await find_same(connection, study("1.1", "a"), desk.models_hash)).id == job.id
            assert await learning is None

    run(scenario())


def test_many_at_once_neither_wait_in_a_circle_nor_share_a_number(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            for number in range(8):
                await desk.submit(upload(number))
            attempts = [await claim_next(desk) for _ in range(8)]
            for content in "ab":  # done before
                await desk.submit(study("1.1", content))
                await ledger.finish(desk.pool, await claim_next(desk), JobState.done)
            await asyncio.gather(
                *(
                    duplicates.learn_content(desk.pool, attempt, "1.1", content)
                    for attempt, content in zip(attempts, "abcdabcd", strict=True)
                ),
                *(desk.submit(study("1.1", content)) for content in "abcdefabcdef"),
            )
            return (await desk.list(JobQuery(limit=100))).jobs

    versions = {job.content_hash: job.version for job in run(scenario()) if job.state is not JobState.duplicate}
    assert sorted(versions) == list("abcdef")
    assert len(set(versions.values())) == 6
