"""DIMSE archives as they are: what fails has its name, and what did not come is not complete."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from archive_studies import SmallStudy, uids_of
from fault_proxy import CuttingProxy
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    CTImageStorage,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
)
from real_orthanc import free_port

from lung_nodules.archive.dimse import DimseArchive
from lung_nodules.archive.fetching import content_of, fetch_study
from lung_nodules.archive.protocol import StudyQuery
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DimseSettings, RetrySettings
from lung_nodules.archive.study_folder import StudyFolder
from lung_nodules.settings import Settings

QUICK = RetrySettings(max_tries=4, first_wait_s=0.01, max_wait_s=0.05)


class Peer:
    """An archive of ours on pynetdicom: it answers from files, and fails as it is told.

    Args:
        files: What it holds: one series.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self.datasets = [pydicom.dcmread(path) for path in files]
        self.claims = len(files)
        self.given = len(files)  # no more come by one C-GET
        self.takes_lists = True
        self.find_status = 0x0000
        self.requests: list[str] = []
        self._lock = threading.Lock()

    def find(self, event: evt.Event) -> Iterator[tuple[int, pydicom.Dataset | None]]:
        if self.find_status:
            yield self.find_status, None
            return
        level = event.identifier.QueryRetrieveLevel
        for dataset in self.datasets if level == "IMAGE" else self.datasets[:1]:
            match = pydicom.Dataset()
            for element in event.identifier:
                setattr(match, element.keyword, getattr(dataset, element.keyword, None))
            match.QueryRetrieveLevel = level
            match.NumberOfSeriesRelatedInstances = self.claims
            yield 0xFF00, match

    def get(self, event: evt.Event) -> Iterator[object]:
        wanted = event.identifier.get("SOPInstanceUID")
        uids = [wanted] if isinstance(wanted, str) else list(wanted or [each.SOPInstanceUID for each in self.datasets])
        with self._lock:
            self.requests.append(event.identifier.QueryRetrieveLevel)
        if len(uids) > 1 and not self.takes_lists and event.identifier.QueryRetrieveLevel == "IMAGE":
            uids = []
        datasets = [each for each in self.datasets if each.SOPInstanceUID in uids][: self.given]
        yield len(datasets)
        for dataset in datasets:
            yield 0xFF00, dataset

    @contextmanager
    def serve(self) -> Iterator[DimseSettings]:
        entity = AE(ae_title="PEER")
        entity.require_called_aet = True
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        entity.add_supported_context(StudyRootQueryRetrieveInformationModelGet)
        entity.add_supported_context(CTImageStorage, scu_role=True, scp_role=True)
        handlers = [(evt.EVT_C_FIND, self.find), (evt.EVT_C_GET, self.get)]
        server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)  # type: ignore[arg-type]
        assert server is not None
        try:
            port = int(server.server_address[1])
            yield DimseSettings(kind="dimse", host="127.0.0.1", port=port, ae_title="PEER", retries=QUICK)
        finally:
            server.shutdown()


@pytest.fixture
def peer(study: SmallStudy) -> Peer:
    return Peer([path for path in study.files if path.parent.name == "thin"])


def fetch_thin(settings: DimseSettings, study: SmallStudy, folder: Path) -> int:
    with DimseArchive(settings, "test") as archive:
        return archive.fetch_series(study.uid, study.thin.series_uid, StudyFolder(folder, "test", None))


def test_an_archive_that_gives_few_at_a_time_is_asked_again(peer: Peer, study: SmallStudy, tmp_path: Path) -> None:
    peer.given = 9
    with peer.serve() as settings:
        assert fetch_thin(settings, study, tmp_path) == study.thin.num_slices
    assert len(uids_of(tmp_path)) == study.thin.num_slices


def test_an_archive_that_takes_no_lists_is_asked_for_the_series(peer: Peer, study: SmallStudy, tmp_path: Path) -> None:
    peer.takes_lists = False
    with peer.serve() as settings:
        fetch_thin(settings, study, tmp_path)
    assert set(peer.requests) == {"IMAGE", "SERIES"}


def test_what_does_not_come_is_not_complete(peer: Peer, study: SmallStudy, tmp_path: Path) -> None:
    listed = [each.SOPInstanceUID for each in peer.datasets]
    get = peer.get
    peer.get = lambda event: _without(get(event), listed[3])  # type: ignore[method-assign]
    with peer.serve() as settings, pytest.raises(ArchiveRefusal, match="archive-short-count") as caught:
        fetch_thin(settings, study, tmp_path)
    assert caught.value.heals
    assert set(listed) - set(uids_of(tmp_path)) == {listed[3]}


def _without(answers: Iterator[object], uid: str) -> Iterator[object]:
    """Sub-operations of a C-GET, one of them left out and its success claimed."""
    count = next(answers)
    rest = [each for each in answers if each[1].SOPInstanceUID != uid]  # type: ignore[index]
    yield min(count, len(rest))  # type: ignore[type-var]
    yield from rest


def test_a_count_that_is_short_is_not_complete(peer: Peer, study: SmallStudy, tmp_path: Path) -> None:
    peer.claims += 1
    with (
        peer.serve() as settings,
        DimseArchive(settings, "t") as archive,
        pytest.raises(ArchiveRefusal, match="archive-short-count"),
    ):
        fetch_study(archive, study.uid, None, tmp_path, Settings())


def test_a_study_that_is_not_listed_has_no_other_content(peer: Peer, study: SmallStudy) -> None:
    find = peer.find
    peer.find = lambda event: () if event.identifier.QueryRetrieveLevel == "STUDY" else find(event)  # type: ignore[method-assign]
    with (
        peer.serve() as settings,
        DimseArchive(settings, "t") as archive,
        pytest.raises(ArchiveRefusal, match="archive-short-count"),
    ):
        content_of(archive, study.uid)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (0xA700, "archive-busy"),
        (0xA900, "bad-query"),
        (0xC001, "archive-error"),
        (0x0122, "archive-not-supported"),
        (0x0124, "archive-auth"),
    ],
)
def test_statuses_have_names(peer: Peer, status: int, code: str) -> None:
    peer.find_status = status
    with peer.serve() as settings, DimseArchive(settings, "test") as archive, pytest.raises(ArchiveRefusal, match=code):
        list(archive.find_studies(StudyQuery()))


def change_port(settings: DimseSettings) -> DimseSettings:
    return settings.model_copy(update={"port": free_port()})


def change_title(settings: DimseSettings) -> DimseSettings:
    return settings.model_copy(update={"ae_title": "ANOTHER"})


def use_tls(settings: DimseSettings) -> DimseSettings:
    return settings.model_copy(update={"tls": True, "connect_timeout_s": 2.0})


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (change_port, {"archive-unreachable"}),
        (change_title, {"archive-auth"}),
        (use_tls, {"archive-tls", "archive-unreachable", "archive-timeout"}),
    ],
)
def test_associations_that_fail_have_names(
    peer: Peer, change: Callable[[DimseSettings], DimseSettings], codes: set[str]
) -> None:
    with (
        peer.serve() as settings,
        DimseArchive(change(settings), "test") as archive,
        pytest.raises(ArchiveRefusal) as caught,
    ):
        list(archive.find_studies(StudyQuery()))
    assert caught.value.code in codes


def test_an_archive_without_the_service_says_so(peer: Peer, results: list[Path]) -> None:
    """The peer takes no reports."""
    with (
        peer.serve() as settings,
        DimseArchive(settings, "test") as archive,
        pytest.raises(ArchiveRefusal, match="archive-not-supported"),
    ):
        archive.push(results)


@pytest.mark.service
class TestConnections:
    def test_a_connection_that_breaks_off_is_opened_again(
        self, dimse: DimseSettings, study: SmallStudy, tmp_path: Path
    ) -> None:
        with CuttingProxy(dimse.port, cut_after=30_000, times=3) as proxy:
            settings = dimse.model_copy(update={"port": proxy.port})
            assert fetch_thin(settings, study, tmp_path) == study.thin.num_slices
            assert proxy.num_cut == 3
        assert len(uids_of(tmp_path)) == study.thin.num_slices

    def test_a_connection_that_always_breaks_off_has_a_name(
        self, dimse: DimseSettings, study: SmallStudy, tmp_path: Path
    ) -> None:
        with CuttingProxy(dimse.port, cut_after=9_000) as proxy:
            settings = dimse.model_copy(update={"port": proxy.port})
            with pytest.raises(ArchiveRefusal) as caught:
                fetch_thin(settings, study, tmp_path)
        assert caught.value.heals
        fetch_thin(dimse, study, tmp_path)
        assert len(uids_of(tmp_path)) == study.thin.num_slices
