"""Orthanc's change feed: every stable study once, in order, across restarts and a new set-up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_studies import SmallStudy
from ct_files import CTSeries
from fault_proxy import fails, start_fault_proxy
from pydicom.uid import generate_uid
from real_orthanc import Orthanc, need_orthanc, start_orthanc

from lung_nodules.archive.opening import open_change_feed
from lung_nodules.archive.orthanc_changes import OrthancChanges
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DicomwebSettings, RetrySettings

pytestmark = pytest.mark.service

QUICK = RetrySettings(max_tries=3, first_wait_s=0.01, max_wait_s=0.02)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Orthanc]:
    """An Orthanc of its own, empty."""
    need_orthanc(dicomweb=True)
    with start_orthanc(tmp_path / "orthanc", dicomweb=True) as started:
        yield started


def feed_of(orthanc: Orthanc, url: str | None = None) -> OrthancChanges:
    root = url or orthanc.url
    settings = DicomwebSettings(
        kind="dicomweb", url=f"{root}/dicom-web", change_feed="orthanc", change_feed_url=root, retries=QUICK
    )
    feed = open_change_feed(settings)
    assert isinstance(feed, OrthancChanges)
    return feed


def small_series(folder: Path) -> tuple[str, list[Path]]:
    series = CTSeries(study_uid=generate_uid(), extent_mm=(30.0, 60.0, 60.0))
    return series.study_uid, series.write(folder)


def follow(feed: OrthancChanges, cursor: int, count: int) -> tuple[list[str], int]:
    """Read on until `count` studies have come."""
    came: list[str] = []
    deadline = time.monotonic() + 60
    while len(came) < count:
        assert time.monotonic() < deadline, "nothing became stable"
        studies, cursor = feed.changes(cursor)
        came.extend(study.study_instance_uid for study in studies)
        time.sleep(0.1)
    return came, cursor


def test_studies_come_as_they_become_stable(fresh: Orthanc, tmp_path: Path) -> None:
    first, first_files = small_series(tmp_path / "first")
    second, second_files = small_series(tmp_path / "second")
    feed = feed_of(fresh)
    assert feed.changes(0) == ((), 0)
    fresh.add(first_files[:4])
    came, cursor = follow(feed, 0, 1)
    assert came == [first]
    fresh.stop(kill=True)
    fresh.start()
    fresh.add(second_files)
    came, cursor = follow(feed_of(fresh), cursor, 1)
    assert came == [second]
    assert feed.changes(cursor) == ((), cursor)
    fresh.add(first_files[4:])
    came, cursor = follow(feed, cursor, 1)
    assert came == [first], "late slices make it stable again"


def test_what_a_killed_orthanc_never_calls_stable_is_not_lost(tmp_path: Path) -> None:
    """New studies, and late slices; for a reader that was there, and for one that comes later with its cursor."""
    need_orthanc(dicomweb=True)
    config = {"StableAge": 3}
    with start_orthanc(tmp_path / "orthanc", dicomweb=True, config=config) as slow:
        uid, files = small_series(tmp_path / "first")
        feed, cursor = feed_of(slow), 0
        for part in (files[:4], files[4:]):
            slow.add(part)
            studies, before = feed.changes(cursor)
            assert (studies, before) == ((), cursor), "the cursor waits with the study"
            slow.stop(kill=True)
            slow.start()
            came, later = follow(feed_of(slow), before, 1)
            assert came == [uid]
            came, cursor = follow(feed, before, 1)
            assert (came, cursor) == ([uid], later)
            assert cursor == slow.get("/changes?last")["Last"]
            assert feed.changes(cursor) == ((), cursor)


def test_a_study_that_is_gone_is_left_out(fresh: Orthanc, tmp_path: Path) -> None:
    _, files = small_series(tmp_path / "first")
    fresh.add(files)
    follow(feed_of(fresh), 0, 1)
    fresh.delete(f"/studies/{fresh.find('Study')[0]}")
    studies, cursor = feed_of(fresh).changes(0)
    assert list(studies) == []
    assert cursor > 0


def test_an_orthanc_set_up_anew_is_read_from_its_beginning(fresh: Orthanc, tmp_path: Path) -> None:
    uid, files = small_series(tmp_path / "first")
    fresh.add(files)
    came, cursor = follow(feed_of(fresh), 10_000, 1)
    assert came == [uid]
    assert 0 < cursor < 10_000


def test_failures_have_names(orthanc: Orthanc, study: SmallStudy) -> None:
    with start_fault_proxy(orthanc.url) as proxy:
        feed = feed_of(orthanc, proxy.url)
        proxy.spoil("changes", fails(500), times=1)
        feed.changes(0)
        proxy.spoil("changes", fails(500))
        with pytest.raises(ArchiveRefusal, match="archive-error"):
            feed.changes(0)
        proxy.heal()
        proxy.spoil("changes", lambda _question, answer: answer.with_json([1]))
        with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
            feed.changes(0)


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_a_proxy_denies_for_a_moment_is_not_gone(fresh: Orthanc, tmp_path: Path, *, is_whole: bool) -> None:
    """Before an Orthanc that restarts, a proxy denies everything, or what it is asked at that moment."""
    uid, files = small_series(tmp_path / "first")
    fresh.add(files)
    follow(feed_of(fresh), 0, 1)
    with start_fault_proxy(fresh.url) as proxy:
        feed = feed_of(fresh, proxy.url)
        proxy.spoil("system" if is_whole else "nothing", fails(404), times=1)
        proxy.spoil("(instances|studies)/", fails(404), times=len(files) + 1)
        with pytest.raises(ArchiveRefusal, match="archive-busy") as caught:
            feed.changes(0)
        assert caught.value.heals
        proxy.heal()
        studies, cursor = feed.changes(0)
        assert [study.study_instance_uid for study in studies] == [uid]
        assert feed.changes(cursor) == ((), cursor)
