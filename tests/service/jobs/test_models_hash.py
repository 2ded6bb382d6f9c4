"""A study is read with the models that its worker has, whatever the desk had when it was submitted."""

from datetime import timedelta

import pytest
from service_fixtures import claim_next, study, until, worker, write_study

from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, JobOrder, JobState, Source
from lung_nodules.service.jobs.models_hash import hash_models
from lung_nodules.service.jobs.results import ResultFolder

pytestmark = pytest.mark.service

OTHER = "fixed_analysis:OtherAnalysis"


def test_a_job_bears_the_hash_of_the_worker_that_read_it(make, settings, run, tmp_path):
    changed = settings.workers.model_copy(update={"analysis": OTHER})
    newer = settings.model_copy(update={"workers": changed})

    async def scenario():
        async with open_desk(settings) as desk:

            async def read(name):
                folder = write_study(tmp_path / name, study_uid="2.25.78")
                job = await desk.submit(JobOrder(source=Source(kind="folder", path=str(folder))))
                assert job.models_hash == hash_models(settings)

                async def ended():
                    found = await desk.get(job.id)
                    return found if found.state in ENDED else None

                return await until(ended)

            with worker(newer):
                read_by_newer = [await read("first"), await read("second")]
            with worker(settings):
                return *read_by_newer, await read("third")

    first, second, third = run(scenario())
    assert hash_models(newer) != hash_models(settings)
    assert (first.state, first.models_hash) == (JobState.done, hash_models(newer))
    assert (second.state, second.duplicate_of) == (JobState.duplicate, first.id)
    assert (third.state, third.models_hash) == (JobState.done, hash_models(settings))
    for job in (first, third):
        assert ResultFolder(settings.data_folder, job.id).origin().models_hash == job.models_hash


def test_learning_of_other_models_ends_a_job_that_is_done_with_them(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            done = await desk.submit(study("1.1", "a"))
            attempt = await claim_next(desk)
            assert await duplicates.learn_models(desk.pool, attempt, "newer") is None
            await ledger.finish(desk.pool, attempt, JobState.done)
            again = await desk.submit(study("1.1", "a"))
            assert again.id != done.id
            attempt = await claim_next(desk)
            assert await duplicates.learn_models(desk.pool, attempt, "newer") == done.id
            return done, await desk.get(done.id), await desk.get(again.id)

    submitted, done, again = run(scenario())
    assert submitted.models_hash != done.models_hash == "newer"
    assert (again.state, again.duplicate_of, again.models_hash) == (JobState.duplicate, done.id, "newer")
    assert (done.version, again.version) == (1, 1)


def test_a_duplicate_names_a_job_that_is_none_itself(settings, run):
    """A gives way to B, which waits for the same study; then B turns out to be a duplicate of C."""

    async def scenario():
        async with open_desk(settings) as desk:
            original = await desk.submit(study("1.1", "a", priority=-10))
            first = await desk.submit(study("1.1"))
            attempt = await claim_next(desk)
            second = await desk.submit(study("1.1"))
            await ledger.put_back(desk.pool, attempt, timedelta(), None, counts_as=None)
            assert (await desk.get(first.id)).duplicate_of == second.id
            assert await duplicates.learn_content(desk.pool, await claim_next(desk), "1.1", "a") == original.id
            assert {(await desk.get(each.id)).duplicate_of for each in (first, second)} == {original.id}

    run(scenario())
