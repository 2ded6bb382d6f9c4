"""Each end of a job is told at least once, on a real PostgreSQL and to a real receiver."""

import asyncio
import json
import signal

import pytest
from service_fixtures import WorkerProcess, claim_next, study, until, worker, write_study
from webhook_receiver import receiver

from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobOrder, JobState, Reason, Source
from lung_nodules.service.jobs.notices import count_untold, tell_ends
from lung_nodules.service.jobs.sweeping import sweep
from lung_nodules.service.settings.jobs import WebhookSettings

pytestmark = pytest.mark.service


def bodies(received):
    return [json.loads(body) for _, body in received]


async def rows_of(desk):
    async with desk.pool.connection() as connection:
        return await (await connection.execute("SELECT * FROM notices ORDER BY number")).fetchall()


async def make_due(desk, age="0 seconds"):
    async with desk.pool.connection() as connection:
        await connection.execute("UPDATE notices SET next_at = now(), ended_at = ended_at - %s::interval", (age,))
        await connection.execute("UPDATE jobs SET finished_at = finished_at - %s::interval", (age,))


def test_every_way_to_end_is_told_once_whoever_ends_it(make, run):
    async def scenario(settings):
        async with open_desk(settings) as desk:
            done = await desk.submit(study("2.25.4711.1", "a"))
            await ledger.finish(desk.pool, await claim_next(desk), JobState.done)
            double = await desk.submit(study("2.25.4711.1"))
            await duplicates.learn_content(desk.pool, await claim_next(desk), "2.25.4711.1", "a")
            cancelled = await desk.submit(study("2.25.4711.2"))
            await desk.cancel(cancelled.id)
            lost = await desk.submit(study("2.25.4711.3"))
            await claim_next(desk)
            async with desk.pool.connection() as connection:
                await connection.execute("UPDATE jobs SET beat_at = now() - interval '1 hour' WHERE state = 'running'")
            await sweep(desk.pool, settings.workers)
            refused = await desk.submit(study("2.25.4711.4"))
            reason = Reason(code="no-lungs", sentence="There are none.")
            await ledger.finish(desk.pool, await claim_next(desk), JobState.refused, reason)
            assert await tell_ends(desk.pool, settings) == 5
            assert await tell_ends(desk.pool, settings) == 0
            assert await count_untold(desk.pool) == {"waiting": 0, "given_up": 0}
            notice = (await desk.get(done.id)).notice
            assert (notice.tries, notice.told_at is not None, notice.given_up_at) == (1, True, None)
            return [(str(job.id), job.source.study_instance_uid) for job in (done, double, cancelled, lost, refused)]

    with receiver(204) as (url, received):
        jobs = run(scenario(make(webhook={"url": url}, workers={"max_losses": 1})))
    told = {body["job_id"]: body for body in bodies(received)}
    states = ["done", "duplicate", "cancelled", "set_aside", "refused"]
    assert [told[job_id]["state"] for job_id, _ in jobs] == states
    assert told[jobs[1][0]]["duplicate_of"] == jobs[0][0]
    assert [told[job_id]["reason_code"] for job_id, _ in jobs] == [None, None, None, "worker-lost", "no-lungs"]
    assert not any(uid in body.decode() for _, body in received for _, uid in jobs)
    assert len({headers["Idempotency-Key"] for headers, _ in received}) == 5


def test_what_is_not_taken_is_told_again_with_the_same_key_and_given_up_at_last(make, run):
    async def scenario(settings, received):
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1"))
            await desk.cancel(job.id)
            assert await tell_ends(desk.pool, settings) == 0
            assert await tell_ends(desk.pool, settings) == 0  # not before its time
            assert len(received) == 1
            (row,) = await rows_of(desk)
            assert 9 < (row["next_at"] - row["ended_at"]).total_seconds() < 12
            await make_due(desk)
            await tell_ends(desk.pool, settings)
            notice = (await desk.get(job.id)).notice
            assert (notice.tries, notice.told_at, notice.given_up_at) == (2, None, None)
            assert await count_untold(desk.pool) == {"waiting": 1, "given_up": 0}
            await make_due(desk, "25 hours")
            await tell_ends(desk.pool, settings)
            await make_due(desk)
            await tell_ends(desk.pool, settings)
            assert (await desk.get(job.id)).notice.given_up_at is not None
            assert await count_untold(desk.pool) == {"waiting": 0, "given_up": 1}

    with receiver(500) as (url, received):
        run(scenario(make(webhook={"url": url}, workers={"first_retry_s": 10}), received))
    assert len(received) == 3
    assert len({headers["Idempotency-Key"] for headers, _ in received}) == 1


def test_a_second_end_has_a_key_of_its_own(make, run):
    async def scenario(settings):
        async with open_desk(settings) as desk:
            job = await desk.submit(study("1.1"))
            await desk.cancel(job.id)
            await tell_ends(desk.pool, settings)
            assert (await desk.retry(job.id)).notice is None
            await desk.cancel(job.id)
            await tell_ends(desk.pool, settings)

    with receiver(204) as (url, received):
        run(scenario(make(webhook={"url": url})))
    assert len({headers["Idempotency-Key"] for headers, _ in received}) == 2


def test_many_tellers_tell_each_end_once(make, run):
    async def scenario(settings):
        async with open_desk(settings) as desk:
            for number in range(20):
                await desk.cancel((await desk.submit(study(f"1.{number}"))).id)
            assert sum(await asyncio.gather(*(tell_ends(desk.pool, settings) for _ in range(4)))) == 20

    with receiver(204) as (url, received):
        run(scenario(make(webhook={"url": url})))
    assert len({body["job_id"] for body in bodies(received)}) == len(received) == 20


def test_a_worker_without_a_url_leaves_ends_to_the_others_for_as_long_as_they_may_be_told(make, run):
    async def scenario(settings):
        silent = settings.model_copy(update={"webhook": WebhookSettings()})
        async with open_desk(settings) as desk:
            await desk.cancel((await desk.submit(study("1.1"))).id)
            assert await tell_ends(desk.pool, silent) == 0
            assert await tell_ends(desk.pool, settings) == 1
            job = await desk.submit(study("1.2"))
            await desk.cancel(job.id)
            for hours, num_left in ((23, 1), (2, 0)):
                async with desk.pool.connection() as connection:
                    query = "UPDATE notices SET next_at = next_at - %s * interval '1 hour' WHERE told_at IS NULL"
                    await connection.execute(query, (hours,))
                assert await tell_ends(desk.pool, silent) == 0
                assert (await count_untold(desk.pool))["waiting"] == num_left
            assert (await desk.get(job.id)).notice is None
            assert len(await rows_of(desk)) == 1  # the one that was told

    with receiver(204) as (url, _):
        run(scenario(make(webhook={"url": url})))


def test_the_job_is_done_before_it_is_told_and_a_killed_worker_forgets_nothing(make, run, tmp_path):
    """A receiver that is not there yet, a worker that is killed meanwhile, and another one that tells."""

    async def scenario(settings, received):
        async with open_desk(settings) as desk:
            source = Source(kind="folder", path=str(write_study(tmp_path / "study")))
            job = await desk.submit(JobOrder(source=source))
            first = WorkerProcess(settings)

            async def done():
                return (await desk.get(job.id)).state is JobState.done

            await until(done)
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            with receiver(204, port=port) as (_, late), worker(settings):

                async def told():
                    return late

                await until(told)

                async def noted():
                    return (await desk.get(job.id)).notice.told_at

                await until(noted)
            return job, late

    with receiver(204) as (url, received):
        port = int(url.split(":")[2].split("/")[0])
    job, late = run(scenario(make(webhook={"url": url, "timeout_s": 1}), received))
    assert {body["job_id"] for body in bodies(late)} == {str(job.id)}
    assert {body["state"] for body in bodies(late)} == {"done"}


def test_a_worker_goes_on_telling_after_what_nobody_expected(make, run):
    async def scenario(settings, received):
        async with open_desk(settings) as desk, desk.pool.connection() as connection:
            await connection.execute("ALTER TABLE notices RENAME TO notices_away")
            with worker(settings) as process:

                async def failed():
                    return b"telling of ends failed: UndefinedTable" in process.log.read_bytes()

                await until(failed)
                await connection.execute("ALTER TABLE notices_away RENAME TO notices")
                job = await desk.submit(study("1.1"))
                await desk.cancel(job.id)

                async def told():
                    return received

                await until(told)
                return str(job.id)

    with receiver(204) as (url, received):
        job_id = run(scenario(make(webhook={"url": url}), received))
    assert [(body["job_id"], body["state"]) for body in bodies(received)] == [(job_id, "cancelled")]
