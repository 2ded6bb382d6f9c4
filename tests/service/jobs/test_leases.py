"""What an attempt may write, and that one which lost its lease writes nothing: on a real PostgreSQL."""

import asyncio
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from service_fixtures import claim_next, study

from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import (
    JobState,
    JobSummary,
    Reason,
    Step,
)

pytestmark = pytest.mark.service

SUMMARY = JobSummary(num_findings=0, highest_suspicion=None)


def test_a_late_success_is_ignored(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1"))
            lost = await claim_next(desk)
            await ledger.put_back(desk.pool, lost, timedelta(), None, counts_as="losses")
            other = await claim_next(desk)
            for write in (
                ledger.beat(desk.pool, lost),
                ledger.tell_progress(desk.pool, lost, Step.store, 0.9, ""),
                ledger.finish(desk.pool, lost, JobState.done),
                ledger.put_back(desk.pool, lost, timedelta(), None, counts_as="crashes"),
                duplicates.learn_content(desk.pool, lost, "1.1", "a"),
            ):
                with pytest.raises(ledger.LeaseLost):
                    await write
            now = await desk.get(job.id)
            assert (now.state, now.progress, now.attempts) == (JobState.running, 0.0, 2)
            await ledger.finish(desk.pool, other, JobState.done)
            assert (await desk.get(job.id)).state is JobState.done

    run(scenario())


def test_results_of_a_late_attempt_get_no_place(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            await desk.submit(study("1.1"))
            lost = await claim_next(desk)
            put = []

            def put_in_place():
                time.sleep(0.5)
                put.append(True)

            async def take_for_lost():
                await asyncio.sleep(0.2)
                await ledger.put_back(desk.pool, lost, timedelta(), None, counts_as="losses")
                return list(put)

            cancelled = asyncio.create_task(ledger.accept_results(desk.pool, lost, SUMMARY, put_in_place))
            await asyncio.sleep(0.2)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert put.pop()
            accepting = ledger.accept_results(desk.pool, lost, SUMMARY, put_in_place)
            _, put_before_lost = await asyncio.gather(accepting, take_for_lost())
            assert put_before_lost == [True]
            with pytest.raises(ledger.LeaseLost):
                await ledger.accept_results(desk.pool, lost, SUMMARY, put_in_place)
            assert put == [True]

    run(scenario())


def test_a_ticket_of_the_past_begins_nothing(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1"))
            async with desk.pool.connection() as connection:
                row = await (await connection.execute("SELECT ticket FROM jobs")).fetchone()
            await desk.set_priority(job.id, 10)
            assert await ledger.claim(desk.pool, job.id, row["ticket"]) is None
            assert await ledger.claim(desk.pool, uuid4(), row["ticket"]) is None
            assert await ledger.claim(desk.pool, job.id, None) is None

    run(scenario())


@pytest.mark.parametrize("counts_as", ["crashes", "failures", None])
def test_what_is_cancelled_while_its_attempt_goes_wrong_ends_at_once(settings, run, counts_as):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1"))
            attempt = await claim_next(desk)
            await desk.cancel(job.id)
            reason = Reason(code="x", sentence="X.")
            await ledger.put_back(desk.pool, attempt, timedelta(hours=1), reason, counts_as=counts_as)
            now = await desk.get(job.id)
            assert (now.state, now.reason, now.crashes) == (JobState.cancelled, None, int(counts_as == "crashes"))
            assert now.finished_at is not None
            assert (await desk.retry(job.id)).cancel_requested is False

    run(scenario())
