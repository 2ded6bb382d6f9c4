"""Versions of a study, and jobs that turn out to be duplicates: on a real PostgreSQL, without workers."""

import asyncio
from datetime import timedelta

import pytest
from service_fixtures import claim_next, study

from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import (
    JobState,
)

pytestmark = pytest.mark.service


def test_late_slices_make_a_version_that_replaces(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            await desk.submit(study("1.1", "a"))
            first = await claim_next(desk)
            await ledger.finish(desk.pool, first, JobState.done)
            second = await desk.submit(study("1.1", "b"))
            assert (second.version, second.replaces) == (2, first.job.id)
            third = await desk.submit(study("1.1"))  # its content shows when it is fetched
            attempt = await claim_next(desk)
            assert attempt.job.id == second.id
            attempt = await claim_next(desk)
            assert attempt.job.id == third.id
            assert await duplicates.learn_content(desk.pool, attempt, "1.1", "c") is None
            third = await desk.get(third.id)
            assert (third.version, third.replaces) == (3, first.job.id)  # the second has no result yet

    run(scenario())


def test_an_attempt_that_learns_nothing_new_keeps_its_version(settings, run):
    """More of the study has arrived between two attempts at what was there before."""

    async def scenario():
        async with open_desk(settings) as desk:
            first = await desk.submit(study("1.1"))
            attempt = await claim_next(desk)
            assert await duplicates.learn_content(desk.pool, attempt, "1.1", "a") is None
            await ledger.put_back(desk.pool, attempt, timedelta(), None, counts_as=None)
            assert (await desk.submit(study("1.1", "b", priority=-10))).version == 2
            assert await duplicates.learn_content(desk.pool, await claim_next(desk), "1.1", "a") is None
            first = await desk.get(first.id)
            assert (first.version, first.replaces) == (1, None)

    run(scenario())


def test_a_study_whose_content_is_known_ends_as_a_duplicate(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            known = await desk.submit(study("1.1", "a"))
            unknown = await desk.submit(study("1.1", None, priority=20))
            attempt = await claim_next(desk)
            assert attempt.job.id == unknown.id
            assert await duplicates.learn_content(desk.pool, attempt, "1.1", "a") == known.id
            ended = await desk.get(unknown.id)
            assert (ended.state, ended.duplicate_of) == (JobState.duplicate, known.id)
            with pytest.raises(ledger.LeaseLost):
                await ledger.beat(desk.pool, attempt)

    run(scenario())


def test_nothing_becomes_a_duplicate_of_a_job_that_is_being_deleted(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            known = await desk.submit(study("1.1", "a"))
            await desk.submit(study("1.1", None, priority=20))
            attempt = await claim_next(desk)
            async with desk.pool.connection() as connection, connection.transaction():
                await connection.execute("SELECT FROM jobs WHERE id = %s FOR UPDATE", (known.id,))
                learning = asyncio.create_task(duplicates.learn_content(desk.pool, attempt, "1.1", "a"))
                await asyncio.wait([learning], timeout=0.5)
                await connection.execute("DELETE FROM jobs WHERE id = %s", (known.id,))
            assert await learning is None
            assert (await desk.get(attempt.job.id)).content_hash == "a"

    run(scenario())
