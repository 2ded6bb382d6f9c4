"""Rows that outlive their use leave the database; those by which a study is known to have been read stay."""

import asyncio
from datetime import timedelta

import pytest
from service_fixtures import claim_next, study

from lung_nodules.service.database.schema import bring_up_to_date
from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobOrder, JobState, Reason, Source, Step
from lung_nodules.service.jobs.pruning import prune
from lung_nodules.service.reviews.model import ReviewOrder, Verdict
from lung_nodules.service.reviews.store import TABLES, ReviewStore
from lung_nodules.service.security.access import Role, User

pytestmark = pytest.mark.service

NO = Reason(code="no", sentence="No.")
KEPT = {"jobs_days": 30, "notices_days": 30}


async def ask(desk, query, *values):
    async with desk.pool.connection() as connection:
        cursor = await connection.execute(query, values)
        return await cursor.fetchall() if cursor.description else []


async def age(desk, days=60):
    """Let all jobs have ended so long ago, and nobody wait to be told."""
    await ask(desk, "UPDATE jobs SET finished_at = now() - %s WHERE finished_at IS NOT NULL", timedelta(days=days))
    await ask(desk, "UPDATE notices SET ended_at = now() - %s, told_at = now()", timedelta(days=days))


async def end(desk, order, state, step=Step.fetch):
    job = await desk.submit(order)
    attempt = await claim_next(desk)
    await ledger.enter_step(desk.pool, attempt, step)
    await ledger.finish(desk.pool, attempt, state, None if state is JobState.done else NO)
    return job


async def double(desk, uid, content):
    """A job that turns out to be another's double."""
    job = await desk.submit(study(uid))
    assert await duplicates.learn_content(desk.pool, await claim_next(desk), uid, content) is not None
    return job


async def left(desk):
    return {row["id"] for row in await ask(desk, "SELECT id FROM jobs")}


def test_old_jobs_without_results_go_and_what_was_read_stays(make, run):
    settings = make(retention=KEPT)

    async def scenario():
        async with open_desk(settings) as desk:
            upload = settings.data_folder / "spool" / "u"
            upload.mkdir(parents=True)
            read = await end(desk, study("1.1", "a"), JobState.done)
            stay = [
                read,
                await end(desk, study("1.2", "a"), JobState.refused),
                await end(desk, study("1.3", "a"), JobState.set_aside),
                await end(desk, study("1.4", "a"), JobState.failed, Step.store),
            ]
            await double(desk, "1.1", "a")
            await end(desk, study("1.5", "a"), JobState.failed, Step.analyse)
            await end(desk, JobOrder(source=Source(kind="upload", path="u")), JobState.failed)
            await desk.cancel((await desk.submit(study("1.6"))).id)
            await age(desk, days=29)
            await prune(desk.pool, settings)
            assert len(await left(desk)) == 8
            assert upload.is_dir() is False, "its own limit, uploads.keep_days, has passed"
            await age(desk)
            waiting = await desk.submit(study("1.7"))
            await prune(desk.pool, settings)
            assert await left(desk) == {job.id for job in (*stay, waiting)}
            await desk.cancel(waiting.id)
            await ask(desk, "UPDATE jobs SET pruned = true")
            await prune(desk.pool, settings)
            later = await desk.submit(study("1.1", "b"))
            assert (later.version, later.replaces) == (2, read.id)

    run(scenario())


def test_a_study_that_becomes_stable_again_is_not_read_again(make, run):
    settings = make(retention=KEPT)

    async def scenario():
        async with open_desk(settings) as desk:
            ended = [
                await end(desk, study(f"1.{number}", "a"), state, step)
                for number, (state, step) in enumerate(
                    [
                        (JobState.done, Step.store),
                        (JobState.refused, Step.analyse),
                        (JobState.set_aside, Step.analyse),
                        (JobState.failed, Step.store),
                    ]
                )
            ]
            await age(desk)
            await prune(desk.pool, settings)
            again = [await desk.submit(study(f"1.{number}", "a")) for number in range(len(ended))]
            assert [job.id for job in again] == [job.id for job in ended]

    run(scenario())


@pytest.mark.parametrize("use", ["a new duplicate", "an end that waits to be told", "tried again"])
def test_an_old_job_that_is_in_use_stays(make, run, use):
    settings = make(retention=KEPT, webhook={"url": "http://127.0.0.1:9/"})

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1", "a"))
            if use == "a new duplicate":
                await double_of_waiting(desk)
            await desk.cancel(job.id)
            await ask(desk, "UPDATE jobs SET finished_at = now() - interval '60 days' WHERE id = %s", job.id)
            if use == "tried again":
                await desk.retry(job.id)
            if use != "an end that waits to be told":
                await ask(desk, "UPDATE notices SET told_at = now()")
            await prune(desk.pool, settings)
            assert job.id in await left(desk)
            await age(desk)
            if use != "tried again":
                for _ in range(2):  # a duplicate first, then what it was one of
                    await prune(desk.pool, settings)
                assert await left(desk) == set()

    async def double_of_waiting(desk):
        await desk.submit(study("1.1", priority=20))
        assert await duplicates.learn_content(desk.pool, await claim_next(desk), "1.1", "a") is not None

    run(scenario())


def test_what_readers_said_stays_with_its_job(make, run):
    """Of a job whose results could not be stored, that was reviewed, tried again, and then failed before it had any."""
    settings = make(retention=KEPT)

    async def scenario():
        async with open_desk(settings) as desk:
            async with desk.pool.connection() as connection:
                await bring_up_to_date(connection, "reviews", TABLES)
            reviewed = await end(desk, study("1.1", "a"), JobState.failed, Step.store)
            reader = User("ann", Role.operator, "none")
            said = ReviewOrder(verdict=Verdict.rejected)
            await ReviewStore(desk.pool).add(reviewed.id, "1.2", "N1", said, reader)
            await desk.retry(reviewed.id)
            attempt = await claim_next(desk)
            await ledger.enter_step(desk.pool, attempt, Step.fetch)
            await ledger.finish(desk.pool, attempt, JobState.failed, NO)
            await end(desk, study("1.2", "a"), JobState.failed)
            await age(desk)
            await prune(desk.pool, settings)
            assert await left(desk) == {reviewed.id}
            (review,) = await ReviewStore(desk.pool).history(reviewed.id)
            assert review.verdict is Verdict.rejected

    run(scenario())


def test_ends_that_were_told_or_given_up_go_and_those_that_wait_stay(make, run):
    async def scenario(settings):
        async with open_desk(settings) as desk:
            for number in range(4):
                await end(desk, study(f"1.{number}", "a"), JobState.done)
            numbers = [row["number"] for row in await ask(desk, "SELECT number FROM notices ORDER BY number")]
            told, given_up, _, new = numbers
            await ask(desk, "UPDATE notices SET ended_at = now() - interval '400 days' WHERE number <> %s", new)
            await ask(desk, "UPDATE notices SET told_at = now() WHERE number IN (%s, %s)", told, new)
            await ask(desk, "UPDATE notices SET given_up_at = now() WHERE number = %s", given_up)
            await prune(desk.pool, settings)
            kept = [row["number"] for row in await ask(desk, "SELECT number FROM notices ORDER BY number")]
            assert len(await left(desk)) == 4
            return numbers, kept

    numbers, kept = run(scenario(make()))
    assert kept == numbers[2:]
    numbers, kept = run(scenario(make(retention={"notices_days": None})))
    assert kept == numbers


def test_counts_stay_true_while_jobs_change_and_tallies_are_put_together(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            async with asyncio.TaskGroup() as group:
                for number in range(8):
                    group.create_task(desk.submit(study(f"1.{number}")))
                    group.create_task(prune(desk.pool, settings))
            await desk.delete((await end(desk, study("2.1", priority=20), JobState.failed)).id)
            await end(desk, study("2.2", priority=20), JobState.done)
            await prune(desk.pool, settings)
            rows = await ask(desk, "SELECT state, jobs FROM job_tallies WHERE jobs <> 0 ORDER BY state")
            assert [(row["state"], row["jobs"]) for row in rows] == [("done", 1), ("queued", 8)]
            counted = await desk.counts()
            assert {state: number for state, number in counted.items() if number} == {"done": 1, "queued": 8}

    run(scenario())


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("SELECT id FROM jobs WHERE source->>'kind' = 'upload' AND source->>'path' = 'u'", "jobs_by_upload"),
        ("SELECT count(*) FROM notices WHERE told_at IS NULL", "notices_untold"),
        ("DELETE FROM notices WHERE ended_at < now()", "notices_by_end"),
    ],
)
def test_what_is_asked_often_has_an_index(settings, run, query, index):
    async def scenario():
        async with open_desk(settings) as desk, desk.pool.connection() as connection:
            await connection.execute("SET enable_seqscan = off")
            plan = await (await connection.execute(f"EXPLAIN {query}".encode())).fetchall()
            await connection.execute("RESET enable_seqscan")
            assert index in str(plan)

    run(scenario())
