"""The watcher on a real desk and a real archive (a folder); the feed is a list that the test writes."""

import asyncio
import shutil

import pydicom
import pytest
from service_fixtures import ListedChanges, claim_next, study, until, worker, write_study

from lung_nodules.archive.fetching import content_of
from lung_nodules.archive.opening import open_archive
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.service.jobs import ledger
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, JobQuery, JobState, Step
from lung_nodules.service.jobs.watcher import Watcher, read_cursor

pytestmark = pytest.mark.service


@pytest.fixture
def archive_folder(tmp_path):
    folder = tmp_path / "archive"
    write_study(folder / "one", 3, "1.2.1")
    write_study(folder / "two", 4, "1.2.2")
    return folder


@pytest.fixture
def watched(make, archive_folder):
    archives = {"pacs": {"kind": "folder", "path": str(archive_folder)}}
    return make(archives=archives, watch={"archive": "pacs", "poll_s": 0.1})


async def look_to_the_end(watcher):
    while await watcher.look():
        pass


async def jobs_of(desk):
    return (await desk.list(JobQuery())).jobs


def test_each_study_is_queued_once_whatever_is_repeated(watched, run):
    async def scenario():
        feed = ListedChanges(["1.2.1", "1.2.2", "1.2.1", "1.2.1"])
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                await look_to_the_end(Watcher(desk, "pacs", archive, feed))
                first = await jobs_of(desk)
                assert await read_cursor(desk.pool, "pacs") == 4
            async with open_desk(watched) as desk:  # after a restart
                feed.uids.append("1.2.2")
                await look_to_the_end(Watcher(desk, "pacs", archive, feed))
                assert await read_cursor(desk.pool, "pacs") == 5
                return first, await jobs_of(desk)

    first, second = run(scenario())
    assert sorted(job.source.study_instance_uid for job in first) == ["1.2.1", "1.2.2"]
    assert {job.id for job in second} == {job.id for job in first}
    assert all(job.content_hash and job.submitted_by == "watch" for job in first)


def test_late_slices_are_a_new_version_and_own_results_are_nothing(watched, run, archive_folder, tmp_path):
    chest = PhantomSettings(seed=3, num_slices=48, slice_spacing_mm=5, rows=128, columns=128, pixel_spacing_mm=2.8)
    write_phantom(tmp_path / "phantom", chest)
    files = sorted((tmp_path / "phantom" / "dicom").rglob("*.dcm"))
    uid = str(pydicom.dcmread(files[0], stop_before_pixels=True).StudyInstanceUID)
    late = archive_folder / "chest" / files[-1].name
    late.parent.mkdir()
    for file in files[:-1]:
        shutil.copy(file, late.parent)

    async def scenario():
        feed = ListedChanges([uid])
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                watcher = Watcher(desk, "pacs", archive, feed)
                await look_to_the_end(watcher)
                with worker(watched):

                    async def all_ended():
                        jobs = await jobs_of(desk)
                        return all(job.state in ENDED for job in jobs) and jobs

                    (first,) = await until(all_ended)
                    feed.uids.append(uid)  # our results arrived: the CT is as it was
                    await look_to_the_end(watcher)
                    assert len(await jobs_of(desk)) == 1
                    shutil.copy(files[-1], late)
                    feed.uids.append(uid)
                    await look_to_the_end(watcher)
                    return first, await until(all_ended)

    first, (newest, oldest) = run(scenario())
    assert oldest == first.model_copy(update={"replaced_by": newest.id})
    assert (first.state, first.version, first.replaces) == (JobState.done, 1, None)
    assert (newest.state, newest.version, newest.replaces) == (JobState.done, 2, first.id)
    assert newest.content_hash != first.content_hash
    assert not list((watched.data_folder / "work").iterdir())


def test_a_patient_who_was_corrected_is_a_new_version(watched, run, archive_folder):
    async def scenario():
        feed = ListedChanges(["1.2.1"])
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                watcher = Watcher(desk, "pacs", archive, feed)
                await look_to_the_end(watcher)
                for path in (archive_folder / "one").glob("*.dcm"):
                    header = pydicom.dcmread(path)
                    header.PatientID = "another"
                    header.save_as(path)
                feed.uids += ["1.2.1", "1.2.1"]
                await look_to_the_end(watcher)
                return await jobs_of(desk)

    second, first = run(scenario())
    assert (first.version, second.version) == (1, 2)
    assert first.content_hash != second.content_hash


def test_a_study_of_which_a_user_has_cancelled_his_own_job_is_queued(watched, run):
    async def scenario():
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                watcher = Watcher(desk, "pacs", archive, ListedChanges(["1.2.1"]))
                of_user = await desk.submit(study("1.2.1", content_of(archive, "1.2.1"), by="olga"))
                await desk.cancel(of_user.id)
                await look_to_the_end(watcher)
                return await jobs_of(desk)

    watched_job, of_user = run(scenario())
    assert (of_user.state, of_user.submitted_by) == (JobState.cancelled, "olga")
    assert (watched_job.state, watched_job.submitted_by) == (JobState.queued, "watch")
    assert watched_job.content_hash == of_user.content_hash


@pytest.mark.parametrize(
    ("state", "step", "is_read_anew"),
    [
        (JobState.done, Step.store, False),
        (JobState.refused, Step.fetch, False),
        (JobState.set_aside, Step.analyse, False),
        (JobState.cancelled, Step.fetch, False),
        (JobState.cancelled, Step.store, False),
        (JobState.failed, Step.store, False),
        (JobState.failed, Step.fetch, True),
        (JobState.failed, Step.analyse, True),
    ],
)
def test_a_study_that_is_told_of_again_is_read_anew_only_where_that_can_help(
    watched, run, archive_folder, state, step, is_read_anew
):
    async def scenario():
        feed = ListedChanges(["1.2.1"])
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                watcher = Watcher(desk, "pacs", archive, feed)
                await look_to_the_end(watcher)
                attempt = await claim_next(desk)
                await ledger.enter_step(desk.pool, attempt, step)
                await ledger.finish(desk.pool, attempt, state)
                feed.uids.append("1.2.1")
                await look_to_the_end(watcher)
                told_again = await jobs_of(desk)
                write_study(archive_folder / "one", 4, "1.2.1")  # a late slice
                feed.uids.append("1.2.1")
                await look_to_the_end(watcher)
                return told_again, await jobs_of(desk)

    told_again, (late, *others) = run(scenario())
    assert [job.state for job in told_again] == [JobState.queued] * is_read_anew + [state]
    assert tuple(others) == told_again
    assert (late.state, late.version) == (JobState.queued, 2)


def test_an_archive_that_is_away_is_asked_again_and_what_is_gone_is_passed_over(watched, run, archive_folder):
    async def scenario():
        feed = ListedChanges(["1.2.1", "1.2.9", "1.2.2"])
        feed.is_away = True
        shutil.rmtree(archive_folder / "one")
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                watcher = Watcher(desk, "pacs", archive, feed)
                assert not await watcher.look()
                assert await jobs_of(desk) == ()
                feed.is_away = False
                await look_to_the_end(watcher)
                return await jobs_of(desk)

    jobs = run(scenario())
    assert [job.source.study_instance_uid for job in jobs] == ["1.2.2"]


class RefusingArchive:
    """A real one that refuses one study, and perhaps everything."""

    def __init__(self, archive, uid, code):
        self._archive = archive
        self._uid = uid
        self._code = code
        self.is_well = True
        self.num_checks = 0
        self.num_denials = 10**6

    def check(self):
        self.num_checks += 1
        if not self.is_well:
            raise ArchiveRefusal("archive-busy", "Later.")

    def find_series(self, uid):
        if uid == self._uid and self.num_denials:
            self.num_denials -= 1
            raise ArchiveRefusal(self._code, "No.")
        return self._archive.find_series(uid)

    def find_instances(self, study_uid, series_uid):
        return self._archive.find_instances(study_uid, series_uid)

    def read_identity(self, key):
        return self._archive.read_identity(key)


@pytest.mark.parametrize("code", ["archive-short-count", "archive-error", "archive-auth"])
def test_a_study_that_a_healthy_archive_refuses_holds_up_no_other_and_is_not_lost(watched, run, code):
    async def scenario():
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                refusing = RefusingArchive(archive, "1.2.1", code)
                await look_to_the_end(Watcher(desk, "pacs", refusing, ListedChanges(["1.2.1", "1.2.2"])))
                return await jobs_of(desk)

    second, first = run(scenario())
    assert (first.source.study_instance_uid, first.content_hash) == ("1.2.1", None)
    assert second.source.study_instance_uid == "1.2.2"
    assert second.content_hash is not None


def test_while_the_archive_as_a_whole_is_not_well_studies_wait(watched, run):
    async def scenario():
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                refusing = RefusingArchive(archive, "1.2.1", "archive-auth")
                refusing.is_well = False
                following = asyncio.create_task(
                    Watcher(desk, "pacs", refusing, ListedChanges(["1.2.1"])).follow(), name="following"
                )

                async def was_looked_at():
                    return refusing.num_checks > 6

                await until(was_looked_at)
                following.cancel()
                return await jobs_of(desk), await read_cursor(desk.pool, "pacs")

    assert run(scenario()) == ((), 0)


@pytest.mark.parametrize(("num_denials", "is_queued"), [(2, True), (3, False)])
def test_a_study_is_gone_when_an_archive_that_is_well_says_so_again_and_again(watched, run, num_denials, is_queued):
    async def scenario():
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                denying = RefusingArchive(archive, "1.2.1", "study-not-found")
                denying.num_denials = num_denials
                await look_to_the_end(Watcher(desk, "pacs", denying, ListedChanges(["1.2.1", "1.2.2"])))
                return await jobs_of(desk)

    uids = {job.source.study_instance_uid for job in run(scenario())}
    assert uids == ({"1.2.1", "1.2.2"} if is_queued else {"1.2.2"})


def test_an_archive_that_is_not_well_denies_nothing(watched, run):
    """As a proxy does for an archive that restarts: not found, for as long as that takes."""

    async def scenario():
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                denying = RefusingArchive(archive, "1.2.1", "study-not-found")
                denying.is_well = False
                following = asyncio.create_task(Watcher(desk, "pacs", denying, ListedChanges(["1.2.1"])).follow())

                async def was_looked_at():
                    return denying.num_checks > 6

                await until(was_looked_at)
                denying.is_well, denying.num_denials = True, 0
                (job,) = await until(lambda: jobs_of(desk))
                following.cancel()
                return job

    assert run(scenario()).source.study_instance_uid == "1.2.1"
