"""What is sent to the listener is on the disk when it says so, and comes once as a whole study."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pydicom
import pytest
from archive_studies import PATIENT, uids_of
from ct_files import CTSeries
from pynetdicom import AE, build_context
from pynetdicom.sop_class import CTImageStorage, Verification

from lung_nodules.archive.listener import StoreListener
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import ListenerSettings
from lung_nodules.archive.spool import ReceivedStudy, Spool

QUIET_S = 600.0  # tests do not wait for it: see `make_quiet`


def settings(**options: object) -> ListenerSettings:
    return ListenerSettings.model_validate({"port": 0, "quiet_s": QUIET_S} | options)


def send(port: int, files: Sequence[Path], called: str = "LUNGNODULES", calling: str = "SCANNER") -> list[int | None]:
    """Statuses of the objects; None for each where no association was made."""
    contexts = [build_context(CTImageStorage), build_context(Verification)]
    association = AE(ae_title=calling).associate("127.0.0.1", port, contexts=contexts, ae_title=called)
    if not association.is_established:
        return [None] * len(files)
    try:
        return [int(association.send_c_store(path).Status) for path in files]
    finally:
        association.release()


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def make_quiet(spool: Path) -> None:
    """Let what was received be from long ago."""
    past = time.time() - 2 * QUIET_S
    for path in (spool / "studies").rglob("*.dcm"):
        os.utime(path, (past, past))


@pytest.fixture
def series() -> CTSeries:
    return CTSeries(extent_mm=(50.0, 60.0, 60.0))


@pytest.fixture
def files(series: CTSeries, tmp_path: Path) -> list[Path]:
    return series.write(tmp_path / "files")


def test_a_quiet_study_comes_once_and_whole(files: list[Path], series: CTSeries, tmp_path: Path) -> None:
    came: list[ReceivedStudy] = []
    with StoreListener(settings(), tmp_path / "spool", came.append, poll_s=0.05) as listener:
        assert set(send(listener.port, files[:6])) == {0}
        assert set(send(listener.port, files[6:])) == {0}
        time.sleep(0.3)
        assert came == []
        make_quiet(tmp_path / "spool")
        wait_for(lambda: bool(came))
        time.sleep(0.3)
    (study,) = came
    assert study.study_instance_uid == series.study_uid
    assert study.num_instances == len(files)
    assert uids_of(study.folder) == uids_of(tmp_path / "files")
    for path in study.folder.rglob("*.dcm"):
        assert path.read_bytes()[:128] == bytes(128)
        assert pydicom.dcmread(path).pixel_array.any()


def test_late_slices_bring_the_whole_study_again(files: list[Path], tmp_path: Path) -> None:
    came: list[ReceivedStudy] = []
    with StoreListener(settings(), tmp_path / "spool", came.append, poll_s=0.05) as listener:
        send(listener.port, files[:6])
        make_quiet(tmp_path / "spool")
        wait_for(lambda: len(came) == 1)
        send(listener.port, files[:2])  # the same ones again are no news
        make_quiet(tmp_path / "spool")
        time.sleep(0.3)
        assert len(came) == 1
        send(listener.port, files[6:])
        make_quiet(tmp_path / "spool")
        wait_for(lambda: len(came) == 2)
    assert [study.num_instances for study in came] == [6, len(files)]
    assert came[0].content_hash != came[1].content_hash
    assert len(uids_of(came[0].folder)) == 6


def test_a_study_outlives_a_restart(files: list[Path], tmp_path: Path) -> None:
    came: list[ReceivedStudy] = []
    with StoreListener(settings(), tmp_path / "spool", came.append, poll_s=0.05) as listener:
        send(listener.port, files)
    assert came == []
    make_quiet(tmp_path / "spool")
    with StoreListener(settings(), tmp_path / "spool", came.append, poll_s=0.05):
        wait_for(lambda: bool(came))
    with StoreListener(settings(), tmp_path / "spool", came.append, poll_s=0.05):
        time.sleep(0.5)
    assert [study.num_instances for study in came] == [len(files)]


def test_a_callback_that_fails_is_called_again(files: list[Path], tmp_path: Path) -> None:
    came: list[ReceivedStudy] = []

    def fail_once(study: ReceivedStudy) -> None:
        came.append(study)
        if len(came) == 1:
            raise RuntimeError

    with StoreListener(settings(), tmp_path / "spool", fail_once, poll_s=0.05) as listener:
        send(listener.port, files)
        make_quiet(tmp_path / "spool")
        wait_for(lambda: len(came) == 2)
    assert came[0] == came[1]


def test_only_who_may_send_is_let_in(files: list[Path], tmp_path: Path) -> None:
    options = settings(allowed_ae_titles=["SCANNER"])
    with StoreListener(options, tmp_path / "spool", lambda _study: None) as listener:
        assert send(listener.port, files[:1], calling="STRANGER") == [None]
        assert send(listener.port, files[:1], called="ANOTHER") == [None]
        assert send(listener.port, files[:1]) == [0]


def test_a_full_spool_says_so(files: list[Path], tmp_path: Path) -> None:
    with StoreListener(settings(max_spool_gib=1e-9), tmp_path / "spool", lambda _study: None) as listener:
        assert send(listener.port, files[:3]) == [0, 0xA700, 0xA700]


def test_what_is_no_whole_instance_is_not_taken(series: CTSeries, tmp_path: Path) -> None:
    def lose_pixels(header: pydicom.Dataset, _index: int) -> None:
        del header.PixelData

    with StoreListener(settings(), tmp_path / "spool", lambda _study: None) as listener:
        assert send(listener.port, series.write(tmp_path / "files", lose_pixels, [0])) == [0xC000]
    assert list((tmp_path / "spool" / "studies").iterdir()) == []


def test_names_and_lines_tell_nothing(
    files: list[Path], series: CTSeries, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    came: list[ReceivedStudy] = []
    caplog.set_level("DEBUG")
    with StoreListener(settings(), tmp_path / "spool", came.append, poll_s=0.05) as listener:
        send(listener.port, files)
        make_quiet(tmp_path / "spool")
        wait_for(lambda: "Study" in caplog.text)
    told = caplog.text + repr(came) + "".join(map(str, (tmp_path / "spool").rglob("*")))
    for secret in (series.study_uid, series.series_uid, PATIENT["PatientName"], "Doe", "P1"):
        assert secret not in told


def test_a_port_that_is_taken_has_a_name(tmp_path: Path) -> None:
    with StoreListener(settings(), tmp_path / "a", lambda _study: None) as listener:
        second = StoreListener(settings(port=listener.port), tmp_path / "b", lambda _study: None)
        with pytest.raises(ArchiveRefusal, match="archive-settings"):  # the first one has to listen
            second.__enter__()


def test_what_was_handed_over_long_ago_is_removed(files: list[Path], tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 10**9, quiet_s=0.0, keep_s=0.0)
    for path in files:
        spool.receive([path.read_bytes()])
    (study,) = spool.take_complete()
    assert list(spool.take_complete()) == []
    assert list((tmp_path / "spool" / "studies").iterdir()) == []
    assert len(uids_of(study.folder)) == len(files)
