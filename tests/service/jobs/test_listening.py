"""From a scanner that sends by C-STORE to a job that is done, with the listener and a worker as processes."""

import os
import socket
import subprocess
import sys

import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage
from real_orthanc import free_port
from service_fixtures import TESTS, until, worker, write_study

from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, JobQuery, JobState

pytestmark = pytest.mark.service


@pytest.fixture
def listening(make, tmp_path):
    """Settings of a service whose listener runs."""
    settings = make(listener={"port": free_port(), "quiet_s": 1.0})
    config = tmp_path / "listener.yaml"
    config.write_text(settings.model_dump_json())
    order = [sys.executable, "-m", "lung_nodules", "serve", "--config", str(config), "--only", "listener"]
    process = subprocess.Popen(order, env={**os.environ, "PYTHONPATH": str(TESTS)})
    try:
        yield settings
    finally:
        process.terminate()
        assert process.wait(30) == 0


async def send(settings, files):
    """Statuses; the listener may take a moment to begin."""

    entity = AE(ae_title="SCANNER")
    entity.add_requested_context(CTImageStorage)

    async def is_there():
        try:
            socket.create_connection(("127.0.0.1", settings.listener.port)).close()
        except OSError:
            return False
        return True

    await until(is_there)
    line = entity.associate("127.0.0.1", settings.listener.port, ae_title="LUNGNODULES")
    try:
        return [line.send_c_store(path).Status for path in files]
    finally:
        line.release()


def test_what_is_sent_is_read_once_and_late_slices_make_a_new_version(listening, run, tmp_path):
    files = sorted(write_study(tmp_path / "study", 5, "1.2.77").glob("*.dcm"))

    async def scenario():
        async with open_desk(listening) as desk:

            async def ended(num_jobs):
                jobs = (await desk.list(JobQuery())).jobs
                return jobs if len(jobs) == num_jobs and all(job.state in ENDED for job in jobs) else None

            with worker(listening):
                assert await send(listening, files[:4]) == [0] * 4
                await until(lambda: ended(1))
                assert await send(listening, files) == [0] * 5
                return await until(lambda: ended(2))

    second, first = run(scenario())
    assert (first.state, first.version, second.state, second.version) == (JobState.done, 1, JobState.done, 2)
    assert {first.submitted_by, second.submitted_by} == {"listener"}
    spool = listening.data_folder / "spool" / "listener"
    assert list((spool / "complete").iterdir()) == []
    assert len(list((spool / "studies").rglob("*.dcm"))) == 5
