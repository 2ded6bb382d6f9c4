"""The watcher before a DICOMweb server whose answers are none: one study holds up no other, and nothing is lost."""

import asyncio

import pytest
from service_fixtures import ListedChanges, until, write_study
from told_archive import answers, start_told_archive, tell

from lung_nodules.archive.opening import open_archive
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import JobQuery
from lung_nodules.service.jobs.watcher import Watcher, read_cursor

pytestmark = pytest.mark.service


@pytest.fixture
def told():
    with start_told_archive() as started:
        yield started


@pytest.fixture
def watched(make, told):
    pacs = {"kind": "dicomweb", "url": told.url, "retries": {"max_tries": 1}}
    return make(archives={"pacs": pacs}, watch={"archive": "pacs", "poll_s": 0.1})


async def state_of(desk):
    return (await desk.list(JobQuery())).jobs, await read_cursor(desk.pool, "pacs")


@pytest.mark.parametrize("body", [b"null", b"[5]", b'{"error": "no"}'])
def test_a_study_whose_metadata_are_never_to_be_had_holds_up_no_other(watched, told, run, tmp_path, body):
    told.spoil("GET .*/1.2.1/.*/metadata", answers(body), reaches_archive=False)
    for uid in ("1.2.1", "1.2.2"):
        tell(told, write_study(tmp_path / uid, 1, uid) / "0.dcm")

    async def scenario():
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                watcher = Watcher(desk, "pacs", archive, ListedChanges(["1.2.1", "1.2.2"]))
                while await watcher.look():
                    pass
                return await state_of(desk)

    (second, first), cursor = run(scenario())
    assert cursor == 2
    assert (first.source.study_instance_uid, first.content_hash) == ("1.2.1", None)
    assert second.source.study_instance_uid == "1.2.2"
    assert second.content_hash is not None


def test_while_a_check_is_answered_with_what_is_no_answer_studies_wait(watched, told, run):
    """As by a portal before the archive that asks everybody to log in."""
    told.spoil("GET", answers(b"<html>"), reaches_archive=False)

    async def scenario():
        with open_archive(watched.archives["pacs"], "pacs") as archive:
            async with open_desk(watched) as desk:
                following = asyncio.create_task(Watcher(desk, "pacs", archive, ListedChanges(["1.2.1"])).follow())

                async def was_asked():
                    return following.done() or told.count(r"/studies\?") > 6

                await until(was_asked)
                assert not following.done()
                following.cancel()
                return await state_of(desk)

    assert run(scenario()) == ((), 0)
