"""Tables are made once, and those that an earlier release has filled are brought up to date."""

import asyncio
from importlib.resources import files
from uuid import uuid4

import pytest

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.database.pool import open_pool
from lung_nodules.service.database.schema import bring_up_to_date, prepare_database
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobState, Step

pytestmark = pytest.mark.service

FIRST = files("lung_nodules.service.database").joinpath("tables_1.sql").read_text(encoding="utf-8")


def test_jobs_of_the_first_tables_keep_what_they_say(settings, run):
    done, double, chained, told = (uuid4() for _ in range(4))

    async def fill():
        async with open_pool(settings) as pool, pool.connection() as connection:
            await bring_up_to_date(connection, "jobs", [FIRST])
            for job_id, step, duplicate_of in (
                (done, "notify", None),
                (double, "fetch", done),
                (chained, "fetch", double),
                (told, "store", None),
            ):
                await connection.execute(
                    "INSERT INTO jobs (id, source, study_key, label, state, submitted_by, step, duplicate_of)"
                    " VALUES (%s, '{\"kind\": \"folder\", \"path\": \"x\"}', 'x', 'x', 'done', 'x', %s, %s)",
                    (job_id, step, duplicate_of),
                )
            await prepare_database(connection)

    async def look():
        await fill()
        async with open_desk(settings) as desk:
            return [await desk.get(job_id) for job_id in (done, double, chained, told)]

    found = run(look())
    assert [job.state for job in found] == [JobState.done, JobState.duplicate, JobState.duplicate, JobState.done]
    assert [job.duplicate_of for job in found] == [None, done, done, None]
    assert found[0].step is Step.store
    assert all(job.notice is None for job in found)


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
