"""A content, or models, that come back: the job that has read them is the newest version then, and no other is."""

import asyncio
import shutil
from datetime import timedelta

import pytest
from service_fixtures import ListedChanges, claim_next, study, write_study

from lung_nodules.archive.opening import open_archive
from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, RETRIABLE, JobQuery, JobState, Step
from lung_nodules.service.jobs.watcher import Watcher

pytestmark = pytest.mark.service


def document(number):
    return {"study_instance_uid": "1.1", "sop_instance_uid": f"2.25.{number}"}


async def read(desk, content, number=0):
    """A job of the study that is done, and whose SR is stored."""
    job = await desk.submit(study("1.1", content))
    attempt = await claim_next(desk)
    assert attempt.job.id == job.id
    await ledger.note_stored(desk.pool, attempt, 1, document(number), ("pacs",))
    await ledger.finish(desk.pool, attempt, JobState.done)
    return job.id


async def count_notices(desk):
    async with desk.pool.connection() as connection:
        row = await (await connection.execute("SELECT count(*) AS notices FROM notices")).fetchone()
    return row["notices"]


async def next_change(pictures):
    """The next picture of a job, yet to come: those that show how it is now are taken."""
    await asyncio.wait_for(anext(pictures), 30)
    while True:
        following = asyncio.create_task(anext(pictures))
        if not (await asyncio.wait([following], timeout=1.0))[0]:
            return following


@pytest.mark.parametrize("what", ["content", "models"])
def test_what_comes_back_is_the_newest_and_is_told_to_nobody_twice(settings, run, what):
    async def scenario():
        async with open_desk(settings) as desk:

            def turn_to(letter):
                desk.models_hash = letter if what == "models" else desk.models_hash
                return letter if what == "content" else "a"

            first, second = await read(desk, turn_to("a")), await read(desk, turn_to("b"))
            given = await desk.submit(study("1.1", turn_to("a")))
            again = await desk.submit(study("1.1", turn_to("a")))
            return given, again, await desk.get(first), await desk.get(second), await count_notices(desk)

    given, again, first, second, num_notices = run(scenario())
    assert given == again == first  # an unchanged study keeps its number
    assert (first.state, first.version, first.replaces, first.replaced_by) == (JobState.done, 3, second.id, None)
    assert (second.version, second.replaces, second.replaced_by) == (2, first.id, first.id)
    assert num_notices == 2


def test_an_unchanged_study_keeps_its_number(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            first = await desk.get(await read(desk, "a"))
            assert await desk.submit(study("1.1", "a")) == first
            second = await desk.get(await read(desk, "b"))
            assert await desk.submit(study("1.1", "b")) == second
            third = await desk.get(await read(desk, "c"))
            await desk.delete(second.id)
            assert await desk.submit(study("1.1", "c")) == third

    run(scenario())


def test_what_turns_out_to_have_come_back_is_the_newest_with_its_duplicates(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            ids = [await read(desk, content) for content in "ab"]
            for _ in range(2):  # the second time nothing has changed
                ids.append((await desk.submit(study("1.1"))).id)
                assert await duplicates.learn_content(desk.pool, await claim_next(desk), "1.1", "a") == ids[0]
            async with desk.pool.connection() as connection:
                told = await (await connection.execute("SELECT version FROM notices ORDER BY number")).fetchall()
            before = [await desk.get(job_id) for job_id in ids]
            await desk.submit(study("1.1", "b"))
            await desk.submit(study("1.1", "a"))
            return before, told, [await desk.get(job_id) for job_id in ids]

    before, told, after = run(scenario())
    assert [job.version for job in before] == [3, 2, 3, 3]
    assert [row["version"] for row in told] == [1, 2, 3, 3]
    assert [job.replaced_by for job in before] == [None, before[0].id, None, None]
    assert [job.version for job in after] == [5, 4, 5, 5]


def test_a_job_that_reads_again_what_it_had_replaced_is_no_version(settings, run):
    """Late slices were there when it was queued, and were gone when it was read."""

    async def scenario():
        async with open_desk(settings) as desk:
            first = await read(desk, "a")
            await desk.submit(study("1.1", "b"))
            attempt = await claim_next(desk)
            assert await duplicates.learn_content(desk.pool, attempt, "1.1", "a") == first
            return await desk.get(first), await desk.get(attempt.job.id)

    first, second = run(scenario())
    assert (first.version, first.replaces, first.replaced_by) == (1, None, None)
    assert (second.state, second.version) == (JobState.duplicate, 1)


def test_duplicates_that_move_to_another_original_have_its_version(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            first, _ = await read(desk, "a"), await read(desk, "b")
            middle = (await desk.submit(study("1.1", "c"))).id
            attempt = await claim_next(desk)
            double = (await desk.submit(study("1.1"))).id
            other = await claim_next(desk)
            assert (attempt.job.id, other.job.id) == (middle, double)
            assert await duplicates.learn_content(desk.pool, other, "1.1", "c") == middle
            assert await duplicates.learn_content(desk.pool, attempt, "1.1", "a") == first
            return first, await desk.get(first), await desk.get(double)

    job_id, first, double = run(scenario())
    assert (double.duplicate_of, double.version) == (job_id, first.version)
    assert first.version > 2


@pytest.mark.parametrize("state", ["queued", "running", "refused", "set_aside", "cancelled", "failed"])
def test_what_comes_back_without_a_result_is_the_newest_once_it_is_read(settings, run, state):
    async def scenario():
        async with open_desk(settings) as desk:
            first = await desk.submit(study("1.1", "a", priority=-10))
            if state != "queued":
                attempt = await claim_next(desk)
                await ledger.enter_step(desk.pool, attempt, Step.store)
            if JobState(state) in ENDED:
                await ledger.finish(desk.pool, attempt, JobState(state))
            second = await read(desk, "b")
            given = await desk.submit(study("1.1", "a", priority=-10))
            assert (given.id, given.state, given.version, given.replaces) == (first.id, JobState(state), 3, second)
            assert (await desk.get(second)).replaced_by is None  # there is no other result
            if given.state in RETRIABLE:
                await desk.retry(first.id)
            if state != "running":
                attempt = await claim_next(desk)
            await ledger.finish(desk.pool, attempt, JobState.done)
            return await desk.get(first.id), await desk.get(second)

    first, second = run(scenario())
    assert (first.state, first.version, first.replaced_by) == (JobState.done, 3, None)
    assert second.replaced_by == first.id


def test_a_more_urgent_order_makes_what_comes_back_both_urgent_and_newest(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            await desk.submit(study("1.1", "a", priority=-10))
            await desk.submit(study("1.1", "b"))
            return await desk.submit(study("1.1", "a", priority=20))

    job = run(scenario())
    assert (job.version, job.priority) == (3, 20)


@pytest.mark.parametrize("state", [JobState.done, JobState.failed])
def test_a_version_that_ends_after_another_came_back_is_superseded(settings, run, state):
    async def scenario():
        async with open_desk(settings) as desk:
            first = await read(desk, "a")
            await desk.submit(study("1.1", "b"))
            attempt = await claim_next(desk)
            await desk.submit(study("1.1", "a"))
            await ledger.finish(desk.pool, attempt, state)
            return await desk.get(first), await desk.get(attempt.job.id)

    first, second = run(scenario())
    assert (first.version, first.replaces, first.replaced_by) == (3, None, None)
    assert second.replaced_by == (first.id if state is JobState.done else None)


def test_the_next_sr_supersedes_that_of_what_came_back(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            first = await read(desk, "a", 1)
            await read(desk, "b", 2)
            await desk.submit(study("1.1", "a"))
            third = await desk.submit(study("1.1", "c"))
            return first, third, await ledger.settle_earlier_document(desk.pool, await claim_next(desk), ("pacs",))

    first, third, earlier = run(scenario())
    assert (third.version, third.replaces) == (4, first)
    assert earlier == document(1)


@pytest.mark.parametrize("is_begun", [True, False])
def test_an_sr_that_is_not_begun_supersedes_that_of_the_other_version(settings, run, is_begun):
    async def scenario():
        async with open_desk(settings) as desk:
            await desk.submit(study("1.1", "a", priority=-10))
            if is_begun:
                attempt = await claim_next(desk)
                assert await ledger.settle_earlier_document(desk.pool, attempt, ("pacs",)) is None
            await read(desk, "b", 2)
            await desk.submit(study("1.1", "a", priority=-10))
            if is_begun:
                await ledger.put_back(desk.pool, attempt, timedelta(), None, counts_as=None)
            return await ledger.settle_earlier_document(desk.pool, await claim_next(desk), ("pacs",))

    assert run(scenario()) == (None if is_begun else document(2))


def test_who_follows_either_job_is_told(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            first, second = await read(desk, "a"), await read(desk, "b")
            followers = [await next_change(desk.follow(job_id)) for job_id in (first, second)]
            await desk.submit(study("1.1", "a"))
            return first, *await asyncio.wait_for(asyncio.gather(*followers), 30)

    first, of_first, of_second = run(scenario())
    assert (of_first.version, of_first.replaced_by) == (3, None)
    assert of_second.replaced_by == first


def test_a_feed_that_tells_again_and_again_renumbers_only_what_has_changed(make, run, tmp_path):
    folder = tmp_path / "archive"
    write_study(folder / "one", 3, "1.2.1")
    archives = {"pacs": {"kind": "folder", "path": str(folder)}}
    settings = make(archives=archives, watch={"archive": "pacs"})

    async def scenario():
        feed = ListedChanges()
        with open_archive(settings.archives["pacs"], "pacs") as archive:
            async with open_desk(settings) as desk:

                async def versions_when_told():
                    feed.uids += ["1.2.1", "1.2.1"]
                    while await Watcher(desk, "pacs", archive, feed).look():
                        pass
                    return [job.version for job in reversed((await desk.list(JobQuery())).jobs)]

                seen = [await versions_when_told()]
                await ledger.finish(desk.pool, await claim_next(desk), JobState.done)
                seen.append(await versions_when_told())
                shutil.copy(folder / "one" / "2.dcm", tmp_path)
                (folder / "one" / "2.dcm").unlink()
                seen.append(await versions_when_told())
                await ledger.finish(desk.pool, await claim_next(desk), JobState.done)
                shutil.copy(tmp_path / "2.dcm", folder / "one")
                seen += [await versions_when_told(), await versions_when_told()]
                return seen

    assert run(scenario()) == [[1], [1], [1, 2], [3, 2], [3, 2]]
