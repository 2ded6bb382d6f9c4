"""Workers as processes: studies that are read, refused, cancelled or tried again."""

from pathlib import Path

import pytest
from service_fixtures import ended, order, read_journal, until, worker, write_study

from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, JobState, Step
from lung_nodules.service.jobs.results import ResultFolder

pytestmark = pytest.mark.service


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
