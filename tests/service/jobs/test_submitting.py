"""Which job an order gives, and when it is refused: on a real PostgreSQL, without workers."""

import asyncio

import pytest
from service_fixtures import claim_next, study

from lung_nodules.service.jobs import ledger, orders
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import (
    Job,
    JobConflict,
    JobOrder,
    JobState,
    QueueFull,
    Reason,
    Source,
    Step,
)
from lung_nodules.service.jobs.pruning import prune
from lung_nodules.service.jobs.results import ResultFolder

pytestmark = pytest.mark.service


def test_submitting_is_idempotent_by_study_content_and_models(settings, make, run):
    async def scenario():
        async with open_desk(settings) as desk:
            unknown = await desk.submit(study("1.1"))
            assert (await desk.submit(study("1.1"))).id == unknown.id
            known = await desk.submit(study("1.2", "a"))
            assert (await desk.submit(study("1.2", "a"))).id == known.id
            grown = await desk.submit(study("1.2", "b"))
            assert grown.id != known.id
            desk.models_hash = "other models"
            assert (await desk.submit(study("1.2", "a"))).id not in (known.id, grown.id)

    run(scenario())


def test_many_at_once_submit_one(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            orders = [study("1.1", "a", priority) for priority in range(20)]
            jobs = await asyncio.gather(*(desk.submit(order) for order in orders))
            assert len({job.id for job in jobs}) == 1
            assert await desk.queue_length() == 1
            assert (await desk.get(jobs[0].id)).priority == 19

    run(scenario())


def test_a_full_queue_refuses_and_says_when_to_come_again(make, run):
    settings = make(queue={"max_length": 2, "retry_after_s": 7})

    async def scenario():
        async with open_desk(settings) as desk:
            first = await desk.submit(study("1.1"))
            await desk.submit(study("1.2"))
            with pytest.raises(QueueFull) as caught:
                await desk.submit(study("1.3"))
            assert caught.value.retry_after_s == 7
            assert (await desk.submit(study("1.1"))).id == first.id  # what waits already takes no room
            await desk.cancel(first.id)
            await desk.submit(study("1.3"))
            with pytest.raises(QueueFull):
                await desk.retry(first.id)

    run(scenario())


def test_many_at_once_do_not_overfill_the_queue(make, run):
    """New studies and retries, some of them of studies that come anew at the same time."""
    settings = make(queue={"max_length": 3})

    async def scenario():
        async with open_desk(settings) as desk:
            cancelled = []
            for number in range(20):
                job = await desk.submit(study(f"1.1.{number}", "a", by="anna"))
                cancelled.append((await desk.cancel(job.id)).id)
            steps = [desk.submit(study(f"1.{1 + number % 2}.{number}", "a", by="bert")) for number in range(40)]
            steps += [desk.retry(job_id) for job_id in cancelled]
            outcomes = await asyncio.gather(*steps, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} <= {Job, QueueFull, JobConflict}
            assert len({outcome.id for outcome in outcomes if isinstance(outcome, Job)}) == 3
            assert await desk.queue_length() == 3

    run(scenario())


@pytest.mark.parametrize("is_taken", [True, False])
def test_whether_a_job_has_an_upload_is_told_when_its_submission_has_ended(settings, run, is_taken):
    """As after a lost connection: the server may still be at the commit that nobody waits for any more."""
    order = JobOrder(source=Source(kind="upload", path="u"))

    async def scenario():
        async with open_desk(settings) as desk, desk.pool.connection() as asking:
            async with desk.pool.connection() as connection, connection.transaction(force_rollback=not is_taken):
                assert await orders.find_same(connection, order, desk.models_hash) is None
                await orders.insert(connection, order, desk.models_hash)
                told = asyncio.create_task(orders.has_job(asking, "u"))
                await asyncio.sleep(0.3)
                assert not told.done()
            assert await told is is_taken

    run(scenario())


@pytest.mark.parametrize(("step", "is_same"), [(Step.fetch, False), (Step.analyse, False), (Step.store, True)])
def test_what_failed_while_it_was_stored_is_tried_again_and_not_read_anew(settings, run, step, is_same):
    """Part of its results may be in the archive, where they make the study stable once more."""

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1", "a"))
            attempt = await claim_next(desk)
            await ledger.enter_step(desk.pool, attempt, step)
            await ledger.finish(desk.pool, attempt, JobState.failed, Reason(code="push-rejected", sentence="No."))
            again = await desk.submit(study("1.1", "a"))
            assert (again.id == job.id) == is_same
            assert (again.state is JobState.failed) == is_same

    run(scenario())


def test_pruned_results_are_gone_and_the_study_may_be_read_again(make, run):
    settings = make(results={"max_age_days": 1})

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1", "a"))
            await ledger.finish(desk.pool, await claim_next(desk), JobState.done)
            results = ResultFolder(settings.data_folder, job.id)
            results.folder.mkdir(parents=True)
            assert await prune(desk.pool, settings) == 0
            async with desk.pool.connection() as connection:
                await connection.execute("UPDATE jobs SET finished_at = now() - interval '2 days'")
            assert await prune(desk.pool, settings) == 1
            assert not results.folder.exists()
            pruned = await desk.get(job.id)
            assert (pruned.state, pruned.pruned) == (JobState.done, True)
            assert (await desk.submit(study("1.1", "a"))).id != job.id

    run(scenario())
