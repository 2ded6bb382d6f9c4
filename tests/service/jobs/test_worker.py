"""Workers as processes: what they do with studies that behave, and with those that do not."""

import os
import signal
from pathlib import Path

import pytest
from ct_files import CTSeries
from service_fixtures import read_journal, until, worker, write_study

from lung_nodules.service.jobs.desk import JobDesk, open_desk
from lung_nodules.service.jobs.model import ENDED, Job, JobOrder, JobState, Source, Step
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.stages.survey import SURVEY_FILE

pytestmark = pytest.mark.service


def order(folder: Path, priority: int = 0) -> JobOrder:
    return JobOrder(source=Source(kind="folder", path=str(folder)), priority=priority)


async def ended(desk: JobDesk, job: Job, timeout_s: float = 60.0) -> Job:
    async def look():
        found = await desk.get(job.id)
        return found if found.state in ENDED else None

    return await until(look, timeout_s)


def test_a_study_is_read_and_followed_to_its_end(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(order(write_study(tmp_path / "study", delay_s=1.0)))
            seen = []
            with worker(settings):
                async for state in desk.follow(job.id):
                    seen.append(state)
                    if state.state in ENDED:
                        break
            return seen

    seen = run(scenario())
    last = seen[-1]
    assert (last.state, last.progress, last.attempts, last.crashes) == (JobState.done, 1.0, 1, 0)
    assert last.content_hash
    assert last.summary.num_findings == 2
    assert {state.step for state in seen} >= {None, Step.fetch, Step.analyse}
    during = [state.progress for state in seen if state.step is Step.analyse]
    assert during == sorted(during)
    assert len(set(during)) > 3
    results = ResultFolder(settings.data_folder, last.id)
    assert [file.name for file in results.files()] == ["report.json", "segmentation.dcm"]
    assert results.report()["study"] == "study"


def test_stat_goes_first_and_equals_in_their_order(settings, run, tmp_path):
    journal = tmp_path / "journal"

    async def scenario():
        async with open_desk(settings) as desk:
            jobs = []
            for name, priority in (("a", 0), ("b", 0), ("background", -10), ("stat", 20), ("urgent", 10)):
                jobs.append(await desk.submit(order(write_study(tmp_path / name, journal=str(journal)), priority)))
            background = next(job for job in jobs if job.priority == -10)
            raised = await desk.set_priority(background.id, 15)
            assert raised.priority == 15
            with worker(settings):
                for job in jobs:
                    await ended(desk, job)

    run(scenario())
    names = [name for word, name in read_journal(journal) if word == "end"]
    assert names == ["stat", "background", "urgent", "a", "b"]


@pytest.mark.parametrize("crash", ["segv", "exit", "kill"])
def test_a_poisoned_study_is_set_aside_and_the_worker_goes_on(settings, run, tmp_path, crash):
    async def scenario():
        async with open_desk(settings) as desk:
            poisoned = await desk.submit(order(write_study(tmp_path / "poisoned", crash=crash)))
            with worker(settings) as process:
                poisoned = await ended(desk, poisoned)
                healthy = await ended(desk, await desk.submit(order(write_study(tmp_path / "healthy"))))
                assert process.process.poll() is None
            return poisoned, healthy

    poisoned, healthy = run(scenario())
    assert (poisoned.state, poisoned.crashes, poisoned.attempts) == (JobState.set_aside, 2, 2)
    assert poisoned.reason.code == "analysis-crashed"
    expected = {"segv": "SIGSEGV", "exit": "code 7", "kill": "SIGKILL"}[crash]
    assert expected in poisoned.reason.sentence
    assert healthy.state is JobState.done


def test_one_crash_is_forgiven(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(order(write_study(tmp_path / "study", crash="segv", num_crashes=1)))
            with worker(settings):
                return await ended(desk, job)

    job = run(scenario())
    assert (job.state, job.crashes, job.attempts) == (JobState.done, 1, 2)


def test_a_refusal_of_the_line_is_final_and_coded(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(order(write_study(tmp_path / "study", refuse="no-lungs")))
            with worker(settings):
                refused = await ended(desk, job)
                write_study(tmp_path / "study")
                again = await ended(desk, await desk.retry(job.id))
            return refused, again

    refused, again = run(scenario())
    assert (refused.state, refused.reason.code, refused.attempts) == (JobState.refused, "no-lungs", 1)
    assert (again.state, again.reason) == (JobState.done, None)


def test_a_full_disk_is_outlived(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(order(write_study(tmp_path / "study", write_to="/dev/full")))

            async def failing():
                found = await desk.get(job.id)
                assert found.state not in ENDED
                return found.reason

            with worker(settings):
                reason = await until(failing)
                write_study(tmp_path / "study")
                return reason, await ended(desk, job)

    reason, job = run(scenario())
    assert reason.code == "output-not-written"
    assert (job.state, job.reason, job.crashes) == (JobState.done, None, 0)


def test_a_defect_is_logged_with_its_place_and_without_its_text(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            folder = write_study(tmp_path / "study", write_to="/nowhere/Doe^Jane")
            with worker(settings) as process:
                return await ended(desk, await desk.submit(order(folder))), process.log.read_text()

    job, log = run(scenario())
    assert (job.state, job.reason.code) == (JobState.failed, "internal-error")
    assert "FileNotFoundError" in job.reason.sentence
    assert "FileNotFoundError" in log
    assert "fixed_analysis.py" in log
    assert "Doe^Jane" not in log + job.reason.model_dump_json()


def test_a_running_job_is_cancelled_and_its_child_is_gone(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            journal = tmp_path / "journal"
            job = await desk.submit(order(write_study(tmp_path / "long", delay_s=100, journal=str(journal))))
            with worker(settings) as process:

                async def begun():
                    return read_journal(journal)

                await until(begun)
                (child,) = process.children()
                assert (await desk.cancel(job.id)).cancel_requested
                cancelled = await ended(desk, job, 10)
                assert not Path(f"/proc/{child}").exists()
                next_one = await ended(desk, await desk.submit(order(write_study(tmp_path / "next"))))
            return cancelled, next_one, await desk.retry(job.id)

    cancelled, next_one, again = run(scenario())
    assert cancelled.state is JobState.cancelled
    assert next_one.state is JobState.done
    assert (again.state, again.cancel_requested) == (JobState.queued, False)


def test_a_study_whose_analysis_takes_too_long_is_ended_and_set_aside(make, run, tmp_path):
    settings = make(workers={"time_limit_s": 6})  # enough to start the child and fetch

    async def scenario():
        async with open_desk(settings) as desk:
            job = await desk.submit(order(write_study(tmp_path / "long", delay_s=100)))
            with worker(settings):
                return await ended(desk, job)

    job = run(scenario())
    assert (job.state, job.reason.code, job.crashes) == (JobState.set_aside, "time-limit", 2)


def test_a_worker_that_is_told_to_stop_gives_its_study_back(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            journal = tmp_path / "journal"
            study = write_study(tmp_path / "long", delay_s=100, journal=str(journal))
            job = await desk.submit(order(study))

            async def begun():
                return read_journal(journal)

            with worker(settings) as process:
                await until(begun)
                assert process.terminate() == 0
            given_back = await desk.get(job.id)
            write_study(study)
            with worker(settings):
                return given_back, await ended(desk, job)

    given_back, done = run(scenario())
    assert (given_back.state, given_back.crashes) == (JobState.queued, 0)
    assert (done.state, done.attempts) == (JobState.done, 2)


def test_a_frozen_worker_comes_back_too_late_and_is_ignored(settings, run, tmp_path):
    """SIGSTOP for longer than the lease, another worker reads the study meanwhile, then SIGCONT."""

    async def scenario():
        async with open_desk(settings) as desk:
            journal = tmp_path / "journal"
            job = await desk.submit(order(write_study(tmp_path / "study", delay_s=1.0, journal=str(journal))))

            async def begun():
                return read_journal(journal)

            with worker(settings) as frozen:
                await until(begun)
                os.kill(frozen.process.pid, signal.SIGSTOP)
                with worker(settings):
                    first_end = await ended(desk, job)
                    os.kill(frozen.process.pid, signal.SIGCONT)
                    later = await ended(desk, await desk.submit(order(write_study(tmp_path / "later"))))
            return first_end, await desk.get(job.id), later

    first_end, after, later = run(scenario())
    assert first_end.state is JobState.done
    assert first_end.attempts == 2
    assert after == first_end
    assert later.state is JobState.done


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


def left(settings, name):
    folder = settings.data_folder / name
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def test_the_same_study_is_read_once_and_a_grown_one_again(settings, run, tmp_path):
    async def scenario():
        async with open_desk(settings) as desk:
            study = write_study(tmp_path / "study", num_slices=3, study_uid="2.25.77")
            copy = write_study(tmp_path / "copy", num_slices=3, study_uid="2.25.77")
            with worker(settings):
                first = await ended(desk, await desk.submit(order(study)))
                same = await ended(desk, await desk.submit(order(copy)))
                write_study(study, num_slices=5, study_uid="2.25.77")
                grown = await ended(desk, await desk.submit(order(study)))
            return first, same, grown

    first, same, grown = run(scenario())
    assert (first.version, first.replaces, first.duplicate_of) == (1, None, None)
    assert (same.state, same.duplicate_of) == (JobState.duplicate, first.id)
    assert same.label == first.label
    assert (grown.version, grown.replaces, grown.duplicate_of) == (2, first.id, None)
    assert grown.content_hash != first.content_hash
