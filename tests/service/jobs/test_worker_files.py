"""Workers as processes: which files go with an attempt, a job or an upload."""

import os
import signal

import pytest
from ct_files import CTSeries
from service_fixtures import ended, order, read_journal, until, worker, write_study

from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobOrder, JobState, Source
from lung_nodules.stages.survey import SURVEY_FILE

pytestmark = pytest.mark.service


def left(settings, name):
    folder = settings.data_folder / name
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def test_what_an_attempt_fetches_goes_with_it(make, run, tmp_path):
    """Whether it is read or cancelled; a study that is fetched bears its survey."""
    chest = CTSeries(study_uid="2.25.5")
    chest.write(tmp_path / "pacs")
    settings = make(archives={"pacs": {"kind": "folder", "path": str(tmp_path / "pacs")}})
    source = Source(kind="archive", archive="pacs", study_instance_uid="2.25.5")

    async def scenario(delay_s, leave):
        async with open_desk(settings) as desk:
            job = await desk.submit(JobOrder(source=source))

            async def analysing():
                found = await desk.get(job.id)
                return found.stage == "detection" and found

            with worker(settings, variables={"FIXED_ANALYSIS_DELAY_S": delay_s}):
                await until(analysing)
                (fetched,) = (settings.data_folder / "work").iterdir()
                assert (fetched / SURVEY_FILE).is_file()
                await leave(desk, job)
                ended_as = (await ended(desk, job)).state

                async def nothing_left():
                    return not left(settings, "work")

                await until(nothing_left, 10)
            await desk.delete(job.id)
            return ended_as

    async def wait(_desk, _job):
        """Let it be read."""

    assert run(scenario("3", wait)) is JobState.done
    assert run(scenario("100", lambda desk, job: desk.cancel(job.id))) is JobState.cancelled


def test_an_upload_that_was_queued_twice_stays_until_both_have_done_with_it(settings, run, tmp_path):
    """As by a listener that was killed between queueing a study and noting that."""
    go_on = tmp_path / "go on"
    upload = write_study(settings.data_folder / "spool" / "sent", until=str(go_on))
    sent = JobOrder(source=Source(kind="upload", path="sent"))

    async def scenario():
        async with open_desk(settings) as desk:
            first = await desk.submit(sent)

            async def analysing():
                return (await desk.get(first.id)).stage == "detection"

            with worker(settings), worker(settings):
                await until(analysing)
                second = await ended(desk, await desk.submit(sent))
                assert (second.state, second.duplicate_of) == (JobState.duplicate, first.id)
                assert (await desk.get(first.id)).state is JobState.running
                assert upload.is_dir()
                go_on.touch()
                assert (await ended(desk, first)).state is JobState.done

                async def gone():
                    return not upload.exists()

                await until(gone, 10)

    run(scenario())


def test_a_worker_that_comes_back_after_its_job_was_deleted_leaves_nothing(settings, run, tmp_path):
    """It stood still with its child, and both go on when all is over."""

    async def scenario():
        async with open_desk(settings) as desk:
            journal = tmp_path / "journal"
            job = await desk.submit(order(write_study(tmp_path / "study", delay_s=1.0, journal=str(journal))))

            async def begun():
                return read_journal(journal)

            async def nothing_else_left():
                return left(settings, "results") == [str(later.id)] and left(settings, "work") == []

            with worker(settings) as frozen:
                await until(begun)
                processes = [frozen.process.pid, *frozen.children()]
                for process in processes:
                    os.kill(process, signal.SIGSTOP)
                with worker(settings):
                    await ended(desk, job)
                await desk.delete(job.id)
                for process in processes:
                    os.kill(process, signal.SIGCONT)
                later = await ended(desk, await desk.submit(order(write_study(tmp_path / "later"))))
                await until(nothing_else_left)
                assert await desk.get(job.id) is None
                assert (await desk.get(later.id)).state is JobState.done

    run(scenario())
