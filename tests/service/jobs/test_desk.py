"""The desk on a real PostgreSQL, without workers: what a worker would do is done by the ledger."""

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from service_fixtures import claim_next, study

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.database.schema import bring_up_to_date, prepare_database
from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import (
    JobConflict,
    JobNotFound,
    JobOrder,
    JobQuery,
    JobState,
    JobSummary,
    QueueFull,
    Reason,
    Source,
    Step,
)
from lung_nodules.service.jobs.pruning import prune
from lung_nodules.service.jobs.results import ResultFolder

pytestmark = pytest.mark.service

SUMMARY = JobSummary(num_findings=0, highest_suspicion=None)


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


def test_late_slices_make_a_version_that_replaces(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            await desk.submit(study("1.1", "a"))
            first = await claim_next(desk)
            await ledger.finish(desk.pool, first, JobState.done)
            second = await desk.submit(study("1.1", "b"))
            assert (second.version, second.replaces) == (2, first.job.id)
            assert (await desk.submit(study("1.1", "a"))).id == first.job.id
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


def test_tables_are_made_once_and_a_newer_release_is_not_touched(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            await asyncio.gather(*(prepare(desk) for _ in range(4)))
            async with desk.pool.connection() as connection:
                scripts = ["CREATE TABLE extra (a int)", "ALTER TABLE extra ADD b int; INSERT INTO extra VALUES (1, 2)"]
                await bring_up_to_date(connection, "extra", scripts[:1])
                await bring_up_to_date(connection, "extra", scripts)
                await bring_up_to_date(connection, "extra", scripts)
                rows = await (await connection.execute("SELECT * FROM extra")).fetchall()
                assert rows == [{"a": 1, "b": 2}]
                with pytest.raises(UsageRefusal, match="database-version"):
                    await bring_up_to_date(connection, "extra", scripts[:1])

    async def prepare(desk):
        async with desk.pool.connection() as connection:
            await prepare_database(connection)

    run(scenario())
