"""Workers with models or settings of their own that nobody could read a study with: they end, and the studies wait."""

import asyncio
import shutil

import pytest
from service_fixtures import order, until, worker, write_study
from tiny_models import write_tiny_models

from lung_nodules.networks.record import WEIGHTS_FILE
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobState
from lung_nodules.service.jobs.models_hash import LINE_ANALYSIS, hash_models

pytestmark = pytest.mark.service


@pytest.fixture
def reading(make, tmp_path):
    """Settings of workers that read with the line, with models and a settings file of the test's own."""
    write_tiny_models(tmp_path / "models")
    line_config = tmp_path / "app.yaml"
    line_config.write_text("lung_nodules: {}\n")
    pauses = {"analysis": LINE_ANALYSIS, "first_retry_s": 600, "longest_retry_s": 600}
    return make(workers=pauses, models_folder=tmp_path / "models", line_config=line_config)


def lose_models(settings):
    shutil.rmtree(settings.models_folder)


def alter_weights(settings):
    with (settings.models_folder / "detection" / WEIGHTS_FILE).open("ab") as file:
        file.write(b"0")


def spoil_settings(settings):
    settings.line_config.write_text("lung_nodules: {no_such: 1}\n")


FAULTS = [(lose_models, 4, "model-missing"), (alter_weights, 4, "model-altered"), (spoil_settings, 2, "bad-settings")]


@pytest.mark.parametrize(("spoil", "exit_code", "reason"), FAULTS)
def test_an_unfit_worker_does_not_start_and_no_job_is_touched(reading, run, tmp_path, spoil, exit_code, reason):
    async def scenario():
        async with open_desk(reading) as desk:
            job = await desk.submit(order(write_study(tmp_path / "study")))
            spoil(reading)
            with worker(reading) as process:
                assert await asyncio.to_thread(process.process.wait, 60) == exit_code
            assert await desk.get(job.id) == job
            return process.log.read_text()

    said = run(scenario())
    assert len(said.splitlines()) == 1
    assert f"[{reason}]" in said


@pytest.mark.parametrize(("spoil", "exit_code", "reason"), FAULTS)
def test_a_worker_that_becomes_unfit_ends_and_its_study_waits(reading, run, tmp_path, spoil, exit_code, reason):
    async def scenario():
        async with open_desk(reading) as desk:

            async def waits():
                async with desk.pool.connection() as connection:
                    cursor = await connection.execute("SELECT 1 FROM procrastinate_workers")
                    return await cursor.fetchone()

            with worker(reading) as process:
                await until(waits)
                assert hash_models(reading) == desk.models_hash
                spoil(reading)
                jobs = [await desk.submit(order(write_study(tmp_path / name))) for name in ("first", "second", "third")]
                assert await asyncio.to_thread(process.process.wait, 60) == exit_code
            return [await desk.get(job.id) for job in jobs], process.log.read_text()

    jobs, said = run(scenario())
    assert {job.state for job in jobs} == {JobState.queued}
    touched = [job for job in jobs if job.attempts]
    assert 1 <= len(touched) <= 2  # one more may be taken while the worker ends
    assert {(job.reason.code, job.failing_since is None) for job in touched} == {(reason, False)}
    assert said.count(f"[{reason}]") == 1
    assert "Traceback" not in said
