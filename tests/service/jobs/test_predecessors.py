"""Which SR that of a new version supersedes: settled in the database, on a real PostgreSQL, without workers."""

from datetime import timedelta

import pytest
from service_fixtures import claim_next, study

from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobState

pytestmark = pytest.mark.service

PACS = ("pacs",)


def document(number):
    return {
        "study_instance_uid": "1.1",
        "series_instance_uid": f"2.25.{number}",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.88.34",
        "sop_instance_uid": f"2.25.{number}.1",
        "predecessor": None,
    }


async def begin(desk, content, destinations=PACS):
    """An attempt at the study with some content, and the SR that its own is to supersede."""
    await desk.submit(study("1.1", content))
    attempt = await claim_next(desk)
    return attempt, await ledger.settle_earlier_document(desk.pool, attempt, destinations)


async def end(desk, attempt, made, destinations=PACS):
    await ledger.note_stored(desk.pool, attempt, 1, made, destinations)
    await ledger.finish(desk.pool, attempt, JobState.done)
    return attempt.job.id


async def give_back(desk, attempt):
    """As after a kill -9: the job is queued, and claimed again."""
    await ledger.put_back(desk.pool, attempt, timedelta(), None, counts_as=None)
    return await claim_next(desk)


def test_each_version_supersedes_the_one_before_it(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            ids, named = [], []
            for number, content in enumerate("abc", start=1):
                attempt, earlier = await begin(desk, content)
                ids.append(await end(desk, attempt, document(number)))
                named.append(earlier)
            return ids, named, [await desk.get(each) for each in ids]

    (first, second, third), named, jobs = run(scenario())
    assert named == [None, document(1), document(2)]
    assert [job.version for job in jobs] == [1, 2, 3]
    assert [job.replaces for job in jobs] == [None, first, second]
    assert [job.replaced_by for job in jobs] == [third, third, None]


def test_other_models_make_a_version(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            attempt, _ = await begin(desk, "a")
            first = await end(desk, attempt, document(1))
            desk.models_hash = "other models"
            attempt, earlier = await begin(desk, "a")
            return first, earlier, await desk.get(await end(desk, attempt, document(2))), await desk.get(first)

    first, earlier, newer, older = run(scenario())
    assert earlier == document(1)
    assert (newer.version, newer.replaces, newer.replaced_by) == (2, first, None)
    assert (older.version, older.replaced_by) == (1, newer.id)


def test_an_attempt_that_is_repeated_supersedes_the_same(settings, run):
    """Whatever has become of the version before in the meantime."""

    async def scenario():
        async with open_desk(settings) as desk:
            attempt, _ = await begin(desk, "a")
            first = await end(desk, attempt, document(1))
            attempt, named = await begin(desk, "b")
            await desk.delete(first)
            attempt = await give_back(desk, attempt)
            return named, await ledger.settle_earlier_document(desk.pool, attempt, PACS)

    assert run(scenario()) == (document(1), document(1))


def test_an_attempt_that_is_repeated_supersedes_nothing_where_the_first_did_not(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            late, _ = await begin(desk, "a")
            attempt, named = await begin(desk, "b")
            await end(desk, late, document(1))
            attempt = await give_back(desk, attempt)
            return named, await ledger.settle_earlier_document(desk.pool, attempt, PACS)

    assert run(scenario()) == (None, None)


def test_what_has_arrived_between_two_attempts_is_settled_anew(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            late, _ = await begin(desk, "a")
            attempt, named = await begin(desk, "b")
            await end(desk, late, document(1))
            attempt = await give_back(desk, attempt)
            assert await duplicates.learn_content(desk.pool, attempt, "1.1", "c") is None
            return named, await ledger.settle_earlier_document(desk.pool, attempt, PACS)

    assert run(scenario()) == (None, document(1))


@pytest.mark.parametrize("why", ["deleted", "failed", "not stored", "stored elsewhere", "no SR", "no destination"])
def test_nothing_is_superseded_that_is_not_known_to_be_there(settings, run, why):
    async def scenario():
        async with open_desk(settings) as desk:
            attempt, _ = await begin(desk, "a")
            if why == "failed":
                await ledger.note_stored(desk.pool, attempt, 1, document(1), PACS)
            if why in ("failed", "not stored"):
                await ledger.finish(desk.pool, attempt, JobState.failed if why == "failed" else JobState.done)
            else:
                made = None if why == "no SR" else document(1)
                await end(desk, attempt, made, ("another",) if why == "stored elsewhere" else PACS)
            if why == "deleted":
                await desk.delete(attempt.job.id)
            _, earlier = await begin(desk, "b", () if why == "no destination" else PACS)
            return earlier

    assert run(scenario()) is None


def test_what_one_of_the_archives_has_is_superseded(settings, run):
    """Another version lies between, in an archive that results no longer go to."""

    async def scenario():
        async with open_desk(settings) as desk:
            attempt, _ = await begin(desk, "a")
            await end(desk, attempt, document(1), ("pacs", "old"))
            attempt, _ = await begin(desk, "b", ("old",))
            await end(desk, attempt, document(2), ("old",))
            return (await begin(desk, "c", ("pacs", "new")))[1]

    assert run(scenario()) == document(1)


def test_an_older_version_that_is_read_late_supersedes_nothing(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            older = await desk.submit(study("1.1", "a", priority=-10))
            attempt, _ = await begin(desk, "b")
            newer = await end(desk, attempt, document(2))
            attempt = await claim_next(desk)
            assert attempt.job.id == older.id
            earlier = await ledger.settle_earlier_document(desk.pool, attempt, PACS)
            await end(desk, attempt, document(1))
            return earlier, await desk.get(older.id), newer

    earlier, older, newer = run(scenario())
    assert earlier is None
    assert (older.version, older.replaced_by) == (1, newer)


def test_who_follows_the_older_job_is_told(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            attempt, _ = await begin(desk, "a")
            first = await end(desk, attempt, document(1))
            attempt, _ = await begin(desk, "b")
            pictures = desk.follow(first)
            seen = [(await anext(pictures)).replaced_by]
            second = await end(desk, attempt, document(2))
            seen.append((await anext(pictures)).replaced_by)
            await desk.delete(second)
            seen.append((await anext(pictures)).replaced_by)
            return seen, second

    seen, second = run(scenario())
    assert seen == [None, second, None]


def test_a_duplicate_is_of_its_originals_version_and_replaces_nothing(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            for content in "ab":
                attempt, _ = await begin(desk, content)
                await end(desk, attempt, document(1))
            await desk.submit(study("1.1"))
            attempt = await claim_next(desk)
            assert await duplicates.learn_content(desk.pool, attempt, "1.1", "a") is not None
            return await desk.get(attempt.job.id)

    job = run(scenario())
    assert (job.state, job.version, job.replaces, job.replaced_by) == (JobState.duplicate, 3, None, None)
