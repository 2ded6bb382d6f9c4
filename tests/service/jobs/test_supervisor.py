"""`lung-nodules serve` as a process: it starts again what dies, and leaves nothing when it is killed itself."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import fixed_analysis
import pytest
from service_fixtures import FAST, TESTS, short_folder, until, write_study

from lung_nodules.service.database.embedded import EmbeddedServer
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobOrder, JobState, Source
from lung_nodules.service.settings import read_service_settings

pytestmark = pytest.mark.service


def processes_of(data_folder: Path) -> list[int]:
    """Processes that name the data folder in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(data_folder) in words:
                found.append(int(entry.name))
    return found


@contextmanager
def serving(folder: Path):
    """The service without the API, and its settings."""
    values = {"data_folder": str(folder / "data"), "workers": {**FAST, "count": 1, "analysis": fixed_analysis.NAME}}
    config = folder / "service.yaml"
    config.write_text(json.dumps(values))
    order = [sys.executable, "-m", "lung_nodules", "serve", "--config", str(config), "--only", "database"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    process = subprocess.Popen([*order, "--only", "workers"], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield process, read_service_settings(config)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def desk_when_there(settings):
    """Open a desk as soon as the service is up."""
    for _ in range(300):
        opened = open_desk(settings)
        try:
            return opened, await opened.__aenter__()
        except Exception:
            await asyncio.sleep(0.2)
    raise AssertionError("the service did not come up")


def test_what_dies_is_started_again_and_studies_go_on(run):
    async def scenario(folder, settings):
        opened, desk = await desk_when_there(settings)
        try:

            async def done(job):
                return (await desk.get(job.id)).state is JobState.done

            async def submit(name):
                study = write_study(folder / name)
                return await desk.submit(JobOrder(source=Source(kind="folder", path=str(study))))

            first = await submit("first")
            await until(lambda: done(first))
            (worker,) = [pid for pid in processes_of(folder) if "worker" in command_of(pid)]
            os.kill(worker, signal.SIGKILL)
            second = await submit("second")
            await until(lambda: done(second))
            (other,) = [pid for pid in processes_of(folder) if "worker" in command_of(pid)]
            assert other != worker
        finally:
            await opened.__aexit__(None, None, None)

    with short_folder() as folder, serving(folder) as (_, settings):
        run(scenario(folder, settings))


def command_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")


def test_a_killed_supervisor_leaves_no_process_and_its_jobs_go_on_later(run):
    async def submit(folder, settings):
        opened, desk = await desk_when_there(settings)
        study = write_study(folder / "study", delay_s=3)
        job = await desk.submit(JobOrder(source=Source(kind="folder", path=str(study))))

        async def runs():
            return (await desk.get(job.id)).state is JobState.running

        await until(runs)
        await opened.__aexit__(None, None, None)
        return job

    async def done_later(folder, settings, job):
        write_study(folder / "study")
        opened, desk = await desk_when_there(settings)

        async def done():
            return (await desk.get(job.id)).state is JobState.done

        await until(done)
        await opened.__aexit__(None, None, None)

    with short_folder() as folder:
        with serving(folder) as (process, settings):
            job = run(submit(folder, settings))
            process.kill()
            process.wait()
            deadline = time.monotonic() + 20
            while processes_of(folder):
                assert time.monotonic() < deadline, [command_of(pid) for pid in processes_of(folder)]
                time.sleep(0.1)
        with serving(folder) as (_, settings):
            run(done_later(folder, settings, job))


def test_a_second_supervisor_is_refused(tmp_path):
    with short_folder() as folder, serving(folder) as (_, settings):
        asyncio.run(close_at_once(settings))
        order = [sys.executable, "-m", "lung_nodules", "serve", "--config", str(folder / "service.yaml")]
        parts = ["--only", "database", "--only", "workers"]
        second = subprocess.run([*order, *parts], capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 2
    assert "Another service uses the data folder" in second.stderr


async def close_at_once(settings):
    opened, _ = await desk_when_there(settings)
    await opened.__aexit__(None, None, None)


def test_a_database_that_was_killed_in_the_middle_of_its_making_is_made(tmp_path):
    with short_folder() as folder:
        half_made = folder / "postgres" / "making-1"
        half_made.mkdir(parents=True)
        (half_made / "PG_VERSION").write_text("18")
        server = EmbeddedServer(folder)
        server.start()
        try:
            assert server.is_running()
            assert not half_made.exists()
            assert folder.joinpath("postgres").stat().st_mode & 0o077 == 0
        finally:
            server.stop()
