"""A job is one study: files that hold CT of several are refused before any of it is read."""

import pytest
from service_fixtures import read_journal, until, worker, write_study

from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, JobOrder, JobState, Source, Step
from lung_nodules.service.jobs.results import ResultFolder

pytestmark = pytest.mark.service


def test_an_upload_of_several_studies_is_refused_and_none_is_read(settings, run, tmp_path):
    upload, journal = settings.data_folder / "spool" / "u1", tmp_path / "journal"
    write_study(upload, study_uid="2.25.1", journal=str(journal))
    write_study(upload / "more", num_slices=5, study_uid="2.25.2")

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(JobOrder(source=Source(kind="upload", path="u1")))

            async def ended():
                found = await desk.get(job.id)
                return found if found.state in ENDED else None

            with worker(settings):
                return await until(ended)

    job = run(scenario())
    assert (job.state, job.reason.code, job.step) == (JobState.refused, "several-studies", Step.fetch)
    assert job.reason.sentence == "The files hold CT of 2 studies."
    assert (job.content_hash, job.attempts, read_journal(journal)) == (None, 1, [])
    assert not ResultFolder(settings.data_folder, job.id).exists()
