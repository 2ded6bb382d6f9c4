"""What leaves the disk and what stays, on a real database: pruned results, attempts that are over, old uploads."""

import asyncio
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from lung_nodules.service.database.schema import bring_up_to_date
from lung_nodules.service.jobs import ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobConflict, JobOrder, JobState, Reason, Source, Step
from lung_nodules.service.jobs.places import staging_folder, work_folder
from lung_nodules.service.jobs.pruning import prune
from lung_nodules.service.jobs.remains import remove_remains
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.reviews.store import TABLES

pytestmark = pytest.mark.service

NO = Reason(code="no", sentence="No.")


def of_archive(uid, content):
    return JobOrder(source=Source(kind="archive", archive="pacs", study_instance_uid=uid), content_hash=content)


def of_upload(path):
    return JobOrder(source=Source(kind="upload", path=path))


async def claim(desk, job):
    row = await ask(desk, "SELECT ticket FROM jobs WHERE id = %s", job.id)
    return await ledger.claim(desk.pool, job.id, row["ticket"])


async def end(desk, job, state, step=Step.fetch):
    attempt = await claim(desk, job)
    await ledger.enter_step(desk.pool, attempt, step)
    await ledger.finish(desk.pool, attempt, state, None if state is JobState.done else NO)


async def ask(desk, query, *values):
    async with desk.pool.connection() as connection:
        cursor = await connection.execute(query, values)
        return await cursor.fetchone() if cursor.description else None


async def age(desk, job, days):
    change = "UPDATE jobs SET finished_at = now() - %s * interval '1 day' WHERE id = %s"
    await ask(desk, change, days, job.id)


def put_results(settings, job):
    folder = ResultFolder(settings.data_folder, job.id).folder
    folder.mkdir(parents=True)
    (folder / "report.json").write_text("{}")
    return folder


def put_upload(settings, path):
    folder = settings.data_folder / "spool" / path
    folder.mkdir(parents=True)
    (folder / "000000.dcm").write_bytes(b"x")
    return folder


def test_only_attempts_under_way_keep_their_folders(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            running = await claim(desk, await desk.submit(of_archive("1.1", "a")))
            results = put_results(settings, running.job)
            kept = [
                work_folder(settings.data_folder, running.lease),
                staging_folder(settings.data_folder, running.lease),
            ]
            kept.append(kept[1].with_name(f"{kept[1].name}.publishing"))
            gone = [make(settings.data_folder, uuid4()) for make in (work_folder, staging_folder)]
            gone.append(results.with_name(f".{running.job.id}.0123abcd"))
            for folder in (*kept, *gone):
                (folder / "deep").mkdir(parents=True)
            await remove_remains(desk.pool, settings)
            assert all(folder.is_dir() for folder in (*kept, results))
            assert not any(folder.exists() for folder in gone)

    run(scenario())


@asynccontextmanager
async def changed_meanwhile(desk, settings, change, job):
    """Prune in the middle of a transaction that changes a job, and go on when both have ended."""
    async with desk.pool.connection() as connection:
        async with connection.transaction():
            await connection.execute(f"UPDATE jobs SET {change} WHERE id = %s".encode(), (job.id,))
            pruning = asyncio.create_task(prune(desk.pool, settings))
            await asyncio.sleep(0.5)
            assert not pruning.done()
        yield await pruning


@pytest.mark.parametrize("was_pruned", [False, True])
def test_a_job_that_is_tried_again_meanwhile_keeps_its_files(make, run, was_pruned):
    settings = make(results={"max_age_days": 1})

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(of_archive("1.1", "a"))
            await end(desk, job, JobState.failed, Step.store)
            await age(desk, job, 2)
            results = put_results(settings, job)
            await ask(desk, "UPDATE jobs SET pruned = %s", was_pruned)
            retried = "state = 'queued', finished_at = NULL, pruned = false"
            async with changed_meanwhile(desk, settings, retried, job) as num_pruned:
                assert num_pruned == 0
                assert results.is_dir()
                assert not (await desk.get(job.id)).pruned

    run(scenario())


def test_what_a_kill_left_of_pruned_results_goes_with_the_next_pruning(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            job, other = [await desk.submit(of_archive("1.1", content)) for content in "ab"]
            for each in (job, other):
                await end(desk, each, JobState.done)
            results, kept = put_results(settings, job), put_results(settings, other)
            await ask(desk, "UPDATE jobs SET pruned = true WHERE id = %s", job.id)
            await prune(desk.pool, settings)
            assert not results.exists()
            assert kept.is_dir()

    run(scenario())


def test_the_oldest_results_make_room_for_newer_ones(make, run):
    settings = make(results={"max_gib": 0.0025})

    async def scenario():
        async with open_desk(settings) as desk:
            folders = []
            for days, content in ((1, "a"), (3, "b"), (2, "c")):
                job = await desk.submit(of_archive("1.1", content))
                await end(desk, job, JobState.done)
                await age(desk, job, days)
                folders.append(put_results(settings, job))
                (folders[-1] / "segmentation.dcm").write_bytes(bytes(2**20))
            assert await prune(desk.pool, settings) == 1
            assert [folder.exists() for folder in folders] == [True, False, True]

    run(scenario())


@pytest.mark.parametrize("use", ["duplicate", "review"])
def test_results_stay_while_a_duplicate_or_a_review_of_them_is_new(make, run, use):
    settings = make(results={"max_age_days": 1})

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(of_archive("1.1", "a"))
            await end(desk, job, JobState.done)
            await age(desk, job, 3)
            results = put_results(settings, job)
            used = await {"duplicate": double, "review": review}[use](desk, job)
            assert await prune(desk.pool, settings) == 0
            assert results.is_dir()
            await ask(desk, used)
            assert await prune(desk.pool, settings) == (2 if use == "duplicate" else 1)
            assert not results.exists()
            assert (await ask(desk, "SELECT bool_and(pruned) AS all FROM jobs"))["all"]

    run(scenario())


async def double(desk, job):
    double = await desk.submit(JobOrder(source=Source(kind="folder", path="/somewhere")))
    await end(desk, double, JobState.done)
    await ask(desk, "UPDATE jobs SET state = 'duplicate', duplicate_of = %s WHERE id = %s", job.id, double.id)
    return "UPDATE jobs SET finished_at = now() - interval '2 days'"


async def review(desk, job):
    async with desk.pool.connection() as connection:
        await bring_up_to_date(connection, "reviews", TABLES)
    said = "INSERT INTO finding_reviews (job_id, finding_id, verdict, comment, characteristics, reviewed_by)"
    await ask(desk, f"{said} VALUES (%s, 'N1', 'accepted', '', '{{}}', 'reader')".encode(), job.id)
    return (
        "ALTER TABLE finding_reviews DISABLE TRIGGER finding_reviews_stay;"
        " UPDATE finding_reviews SET reviewed_at = now() - interval '2 days'"
    )


def test_an_upload_goes_once_it_is_read_or_was_kept_for_long_enough(make, run):
    settings = make(uploads={"keep_days": 3})

    async def scenario():
        async with open_desk(settings) as desk:
            jobs, uploads = {}, {}
            for name in ("read", "young", "old", "waiting", "listener/complete/sent"):
                uploads[name] = put_upload(settings, name)
                jobs[name] = await desk.submit(of_upload(name))
            await end(desk, jobs["read"], JobState.done)
            for name, days in (("young", 2), ("old", 4), ("listener/complete/sent", 4)):
                await end(desk, jobs[name], JobState.refused)
                await age(desk, jobs[name], days)
            assert await prune(desk.pool, settings) == 2
            assert {name for name, folder in uploads.items() if folder.exists()} == {"young", "waiting"}
            assert (await desk.get(jobs["old"].id)).pruned
            with pytest.raises(JobConflict, match="upload-gone"):
                await desk.retry(jobs["old"].id)
            assert (await desk.retry(jobs["young"].id)).state is JobState.queued

    run(scenario())


def test_an_upload_that_another_job_is_to_read_stays(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            upload = put_upload(settings, "sent")
            await end(desk, await desk.submit(of_upload("sent")), JobState.done)
            second = await desk.submit(of_upload("sent"))
            await prune(desk.pool, settings)
            assert upload.is_dir()
            await end(desk, second, JobState.done)
            await prune(desk.pool, settings)
            assert not upload.exists()

    run(scenario())


def test_results_that_were_not_stored_outlive_their_upload(make, run):
    settings = make(uploads={"keep_days": 3})

    async def scenario():
        async with open_desk(settings) as desk:
            upload, job = put_upload(settings, "sent"), await desk.submit(of_upload("sent"))
            await end(desk, job, JobState.failed, Step.store)
            await age(desk, job, 4)
            results = put_results(settings, job)
            await prune(desk.pool, settings)
            assert (upload.exists(), results.is_dir()) == (False, True)
            assert (await desk.retry(job.id)).state is JobState.queued

    run(scenario())
