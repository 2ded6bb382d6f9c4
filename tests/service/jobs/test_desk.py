"""Steering, listing and following jobs: the desk on a real PostgreSQL, without workers, whose work the ledger does."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from service_fixtures import claim_next, study

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.jobs import ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import (
    JobConflict,
    JobNotFound,
    JobOrder,
    JobQuery,
    JobState,
    Reason,
    Source,
)
from lung_nodules.service.jobs.results import ResultFolder

pytestmark = pytest.mark.service


@pytest.mark.parametrize("is_ordered_again", [False, True])
def test_a_job_that_pauses_goes_on_pausing_when_it_is_made_more_urgent(settings, run, is_ordered_again):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1"))
            reason = Reason(code="x", sentence="X.")
            await ledger.put_back(
                desk.pool, await claim_next(desk), timedelta(minutes=10), reason, counts_as="failures"
            )
            if is_ordered_again:
                raised = await desk.submit(study("1.1", priority=20))
            else:
                raised = await desk.set_priority(job.id, 20)
            assert (raised.id, raised.priority) == (job.id, 20)
            async with desk.pool.connection() as connection:
                query = "SELECT priority, scheduled_at - now() AS pause FROM procrastinate_jobs WHERE status = 'todo'"
                rows = await (await connection.execute(query)).fetchall()
            assert [row["priority"] for row in rows] == [20]
            assert 590 < rows[0]["pause"].total_seconds() <= 600

    run(scenario())


def test_what_cannot_be_done_to_a_job_is_a_conflict(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            for act in (desk.cancel, desk.retry, desk.delete, lambda each: desk.set_priority(each, 1)):
                with pytest.raises(JobNotFound):
                    await act(uuid4())
            job = await desk.submit(study("1.1", "a"))
            for act, code in ((desk.retry, "job-not-retriable"), (desk.delete, "job-not-ended")):
                with pytest.raises(JobConflict) as caught:
                    await act(job.id)
                assert caught.value.code == code
            attempt = await claim_next(desk)
            with pytest.raises(JobConflict, match="job-not-queued"):
                await desk.set_priority(job.id, 1)
            await ledger.finish(desk.pool, attempt, JobState.failed, Reason(code="x", sentence="X."))
            twin = await desk.submit(study("1.1", "a"))
            assert twin.id != job.id
            with pytest.raises(JobConflict, match="job-superseded"):
                await desk.retry(job.id)
            await desk.cancel(twin.id)
            with pytest.raises(JobConflict, match="job-ended"):
                await desk.cancel(twin.id)
            again = await desk.retry(job.id)
            assert (again.state, again.reason) == (JobState.queued, None)

    run(scenario())


def test_deleting_takes_the_files_too(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            upload = settings.data_folder / "spool" / "u1"
            upload.mkdir(parents=True)
            job = await desk.submit(JobOrder(source=Source(kind="upload", path="u1")))
            results = ResultFolder(settings.data_folder, job.id)
            results.folder.mkdir(parents=True)
            await desk.cancel(job.id)
            await desk.delete(job.id)
            assert await desk.get(job.id) is None
            assert not upload.exists()
            assert not results.folder.exists()

    run(scenario())


def test_deleting_leaves_an_upload_that_another_job_is_to_read(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            upload = settings.data_folder / "spool" / "u1"
            upload.mkdir(parents=True)
            sent = JobOrder(source=Source(kind="upload", path="u1"))
            first = await desk.submit(sent)
            await desk.cancel(first.id)
            second = await desk.submit(sent)
            await desk.delete(first.id)
            assert upload.is_dir()
            await desk.cancel(second.id)
            await desk.delete(second.id)
            assert not upload.exists()

    run(scenario())


def test_pages_are_whole_and_in_order_while_jobs_arrive(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            jobs = [await desk.submit(study(f"1.{number}", by=f"user{number % 2}")) for number in range(11)]
            seen, cursor = [], None
            while True:
                page = await desk.list(JobQuery(limit=4, cursor=cursor))
                seen += [job.id for job in page.jobs]
                await desk.submit(study(f"2.{len(seen)}"))
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert seen == [job.id for job in reversed(jobs)]
            mine = await desk.list(JobQuery(submitted_by="user1"))
            assert {job.submitted_by for job in mine.jobs} == {"user1"}
            assert len(mine.jobs) == 5
            found = await desk.list(JobQuery(text=jobs[3].label))
            assert [job.id for job in found.jobs] == [jobs[3].id]
            assert (await desk.list(JobQuery(text="'; DROP TABLE jobs; --"))).jobs == ()
            assert (await desk.list(JobQuery(states=(JobState.done,)))).jobs == ()
            with pytest.raises(UsageRefusal, match="cursor"):
                await desk.list(JobQuery(cursor="!"))

    run(scenario())


def test_counts_and_the_age_of_the_queue(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            assert await desk.oldest_waiting_s() == 0
            await desk.submit(study("1.1"))
            await desk.submit(study("1.2"))
            await claim_next(desk)
            counts = await desk.counts()
            assert {state: number for state, number in counts.items() if number} == {"queued": 1, "running": 1}
            assert set(counts) == set(JobState)
            assert 0 < await desk.oldest_waiting_s() < 60
            assert await desk.is_ready()

    run(scenario())


def test_following_all_gives_each_change_once_it_is_there(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            seen = []

            async def follow():
                async for job in desk.follow():
                    seen.append((job.id, job.state))

            task = asyncio.create_task(follow())
            await asyncio.sleep(0.5)
            job = await desk.submit(study("1.1"))
            attempt = await claim_next(desk)
            await asyncio.sleep(0.3)
            await ledger.finish(desk.pool, attempt, JobState.done)
            await asyncio.sleep(0.3)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            assert [state for job_id, state in seen if job_id == job.id][-1] is JobState.done
            assert JobState.running in [state for _, state in seen]

    run(scenario())


def test_following_ends_when_the_job_is_deleted(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1"))
            states = []

            async def follow():
                async for each in desk.follow(job.id):
                    states.append(each.state)

            task = asyncio.create_task(follow())
            await asyncio.sleep(0.5)
            await desk.cancel(job.id)
            await desk.delete(job.id)
            await asyncio.wait_for(task, 5)
            assert states[0] is JobState.queued

    run(scenario())
