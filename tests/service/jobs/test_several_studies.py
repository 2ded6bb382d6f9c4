"""A job is one study: files that hold CT of several, or of one that no UID names, are refused before any is read."""

import pytest
from pydicom.config import disable_value_validation
from service_fixtures import read_journal, until, worker, write_study

from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, JobOrder, JobState, Source, Step
from lung_nodules.service.jobs.results import ResultFolder

pytestmark = pytest.mark.service


def read_upload(settings, run):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(JobOrder(source=Source(kind="upload", path="u1")))

            async def ended():
                found = await desk.get(job.id)
                return found if found.state in ENDED else None

            with worker(settings):
                return await until(ended)

    return run(scenario())


def test_an_upload_of_several_studies_is_refused_and_none_is_read(settings, run, tmp_path):
    upload, journal = settings.data_folder / "spool" / "u1", tmp_path / "journal"
    write_study(upload, study_uid="2.25.1", journal=str(journal))
    write_study(upload / "more", num_slices=5, study_uid="2.25.2")
    job = read_upload(settings, run)
    assert (job.state, job.reason.code, job.step) == (JobState.refused, "several-studies", Step.fetch)
    assert job.reason.sentence == "The files hold CT of 2 studies."
    assert (job.content_hash, job.attempts, read_journal(journal)) == (None, 1, [])
    assert not ResultFolder(settings.data_folder, job.id).exists()


@pytest.mark.parametrize("uid", ["1.2\x003", "1." * 5000 + "1", "no uid"])
def test_an_upload_whose_study_no_uid_names_is_refused(settings, run, tmp_path, uid):
    with disable_value_validation():
        write_study(settings.data_folder / "spool" / "u1", study_uid=uid, journal=str(tmp_path / "journal"))
    job = read_upload(settings, run)
    assert (job.state, job.reason.code, job.step) == (JobState.refused, "invalid-uid", Step.fetch)
    assert (job.study_instance_uid, job.attempts, read_journal(tmp_path / "journal")) == (None, 1, [])
