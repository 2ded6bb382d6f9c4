"""What is sent to the listener is on the disk when it says so, and comes once as a whole study."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pydicom
import pytest
from archive_studies import PATIENT, uids_of
from ct_files import CTSeries
from pynetdicom import AE, build_context, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventType
from pynetdicom.sop_class import CTImageStorage, Verification

import lung_nodules.archive.listener as listener_module
from lung_nodules.archive.listener import StoreListener
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import ListenerSettings
from lung_nodules.archive.spool import ReceivedStudy, StudySpool
from lung_nodules.errors import UsageRefusal
from lung_nodules.service.settings import read_service_settings

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
    for path in (spool / "studies").glob("*/*/"):
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
    came: list[ReceivedStudy] = []
    spool = StudySpool(tmp_path / "spool", 10**9, quiet_s=0.0, keep_s=0.0)
    for path in files:
        spool.receive([path.read_bytes()])
    spool.pass_on(came.append)
    spool.pass_on(came.append)
    assert list((tmp_path / "spool" / "studies").iterdir()) == []
    (study,) = came
    assert len(uids_of(study.folder)) == len(files)


def test_what_is_sent_again_counts_once_and_what_waits_to_be_read_counts(files: list[Path], tmp_path: Path) -> None:
    came: list[ReceivedStudy] = []
    size = max(files[0].stat().st_size, 4096)
    spool = StudySpool(tmp_path / "spool", round(1.5 * size), quiet_s=0.0, keep_s=0.0)
    for _ in range(5):
        spool.receive([files[0].read_bytes()])
    spool.pass_on(came.append)
    spool.pass_on(came.append)  # forgotten here, and not yet read over there
    spool.receive([files[1].read_bytes()])
    full = StudySpool(tmp_path / "spool", round(1.5 * size), quiet_s=0.0, keep_s=0.0)
    with pytest.raises(ArchiveRefusal, match="cache-full"):
        full.receive([files[2].read_bytes()])
    shutil.rmtree(came[0].folder)
    full._counted_at -= 3600.0  # it does not look at the disk for each instance
    full.receive([files[2].read_bytes()])


def test_an_instance_that_was_corrected_comes_anew(files: list[Path], series: CTSeries, tmp_path: Path) -> None:
    came: list[ReceivedStudy] = []

    def correct(header: pydicom.Dataset, _index: int) -> None:
        header.PatientName = "RIGHT^NAME"

    spool = StudySpool(tmp_path / "spool", 10**9, quiet_s=0.0, keep_s=3600.0)
    for path in files:
        spool.receive([path.read_bytes()])
    spool.pass_on(came.append)
    spool.receive([series.write(tmp_path / "corrected", correct, [0])[0].read_bytes()])
    spool.pass_on(came.append)
    first, second = (study.folder for study in came)
    assert uids_of(first) == uids_of(second) == uids_of(tmp_path / "files")
    assert "RIGHT^NAME" not in names_in(first)
    assert names_in(second).count("RIGHT^NAME") == 1


def names_in(folder: Path) -> list[str]:
    return [str(pydicom.dcmread(path, stop_before_pixels=True).PatientName) for path in folder.rglob("*.dcm")]


def test_a_study_that_has_settled_is_not_read_again(files: list[Path], tmp_path: Path) -> None:
    """Nor is any header, to hand it over: names alone tell what is there."""
    came: list[ReceivedStudy] = []
    spool = StudySpool(tmp_path / "spool", 10**9, QUIET_S, keep_s=86_400.0)
    for path in files:
        spool.receive([path.read_bytes()])
    make_quiet(tmp_path / "spool")
    for path in (tmp_path / "spool" / "studies").rglob("*.dcm"):
        path.write_bytes(b"no DICOM any more")
    spool.pass_on(came.append)
    spool.pass_on(came.append)
    assert len(came) == 1
    for folder in (tmp_path / "spool" / "studies").glob("*/*/"):
        was = folder.stat().st_mtime_ns
        for path in list(folder.iterdir())[:2]:
            path.unlink()
        os.utime(folder, ns=(was, was))
    spool.pass_on(came.append)  # it would see the loss if it looked
    assert len(came) == 1


def test_a_study_that_nobody_takes_holds_up_no_other(tmp_path: Path) -> None:
    came: list[str] = []
    spool = StudySpool(tmp_path / "spool", 10**9, quiet_s=0.0, keep_s=3600.0)
    studies = [CTSeries(extent_mm=(20.0, 60.0, 60.0)) for _ in range(3)]
    for number, each in enumerate(studies):
        for path in each.write(tmp_path / str(number)):
            spool.receive([path.read_bytes()])

    def take(study: ReceivedStudy) -> None:
        if study.study_instance_uid == studies[1].study_uid and came.count("no") < 2:
            came.append("no")
            raise RuntimeError
        came.append(study.study_instance_uid)

    for _ in range(4):
        spool.pass_on(take)
    assert came.count("no") == 2
    assert sorted(set(came) - {"no"}) == sorted(each.study_uid for each in studies)
    assert len(came) == 5


def test_a_uid_that_is_none_is_not_taken(files: list[Path], series: CTSeries, tmp_path: Path) -> None:
    content = files[0].read_bytes()
    uid = series.study_uid.encode()
    spoiled = tmp_path / "spoiled.dcm"
    spoiled.write_bytes(content.replace(uid, uid[:-1] + b"A"))
    with StoreListener(settings(), tmp_path / "spool", lambda _study: None) as listener:
        assert send(listener.port, [spoiled]) == [0xC000]
    assert list((tmp_path / "spool" / "studies").iterdir()) == []


@pytest.mark.parametrize(("hosts", "status"), [(["10.0.0.0/8"], None), (["10.0.0.0/8", "127.0.0.1"], 0)])
def test_only_from_where_one_may_send_one_is_let_in(
    files: list[Path], tmp_path: Path, hosts: list[str], status: int | None
) -> None:
    with StoreListener(settings(allowed_hosts=hosts), tmp_path / "spool", lambda _study: None) as listener:
        assert send(listener.port, files[:1]) == [status]


@pytest.mark.parametrize(
    ("options", "is_open"),
    [
        ({}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "pacs.example"}, True),
        ({"host": "0.0.0.0", "allowed_hosts": ["10.0.0.0/8"]}, True),
        ({"host": "0.0.0.0", "allowed_ae_titles": ["SCANNER"]}, False),
    ],
)
def test_a_listener_that_others_reach_names_who_may_send(options: dict[str, object], is_open: bool) -> None:
    assert settings(**options).is_open == is_open
    values = {"listener": options}
    if not is_open:
        assert read_service_settings(None, values).listener is not None
        return
    with pytest.raises(UsageRefusal, match="insecure-address") as caught:
        read_service_settings(None, values)
    assert "listener.allowed_ae_titles" in caught.value.advice


def large_slice(folder: Path) -> Path:
    """About 140 KiB: more than one PDU."""
    return CTSeries(spacing_mm=(5.0, 1.0, 1.0)).write(folder, indices=[10])[0]


@contextlib.contextmanager
def associated(port: int, handlers: Sequence[tuple[EventType, Callable[[Event], None]]] = ()) -> Iterator[Association]:
    """An association that ends in some other way than by a release."""
    entity = AE(ae_title="SCANNER")
    entity.dimse_timeout = 10
    association = entity.associate(
        "127.0.0.1", port, [build_context(CTImageStorage)], "LUNGNODULES", evt_handlers=list(handlers)
    )
    assert association.is_established
    line = association.dul.socket.socket
    try:
        yield association
    finally:
        association.abort()
        line.close()


def list_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_who_breaks_off_in_an_instance_leaves_nothing(files: list[Path], tmp_path: Path) -> None:
    num_pdus = 0

    def hang_up(event: Event) -> None:
        nonlocal num_pdus
        num_pdus += 1
        if num_pdus == 4:
            event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)

    with StoreListener(settings(), tmp_path / "spool", lambda _study: None) as listener:
        with associated(listener.port, [(evt.EVT_PDU_SENT, hang_up)]) as association:
            assert "Status" not in association.send_c_store(large_slice(tmp_path / "large"))
        assert list_files(tmp_path / "spool") == []
        assert send(listener.port, files[:2]) == [0, 0]


def test_what_is_far_too_large_is_cut_off_while_it_comes(files: list[Path], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(listener_module, "_MARGIN_BYTES", 50_000 - 2**20)
    path = large_slice(tmp_path / "large")
    with StoreListener(settings(max_instance_mib=1), tmp_path / "spool", lambda _study: None) as listener:
        with associated(listener.port) as association:
            assert "Status" not in association.send_c_store(path)
        assert list_files(tmp_path / "spool") == []
        assert set(send(listener.port, [*files, *files, *files])) == {0}  # together they are larger, and may be


def test_a_pdu_of_any_length_is_not_awaited(files: list[Path], tmp_path: Path) -> None:
    with StoreListener(settings(), tmp_path / "spool", lambda _study: None) as listener:
        with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as stranger:
            stranger.sendall(bytes.fromhex("0100ffffffff"))  # an A-ASSOCIATE-RQ of 4 GiB
            assert stranger.recv(100)[:1] == b"\x07"  # A-ABORT
        assert send(listener.port, files[:1]) == [0]


def test_a_probe_of_the_port_takes_no_place(files: list[Path], tmp_path: Path) -> None:
    """As Kubernetes and load balancers ask whether somebody listens: more often than there are places."""
    with StoreListener(settings(max_associations=1), tmp_path / "spool", lambda _: None) as listener:
        before = set(threading.enumerate())
        for _ in range(5):
            socket.create_connection(("127.0.0.1", listener.port)).close()
        wait_for(lambda: not set(threading.enumerate()) - before)
        assert send(listener.port, files[:1]) == [0]


@contextlib.contextmanager
def connected(port: int) -> Iterator[None]:
    """A connection over which nothing is said."""
    with socket.create_connection(("127.0.0.1", port)):
        yield


@pytest.mark.parametrize("silent", [connected, associated])
def test_who_is_silent_keeps_a_place_until_the_time_out(
    files: list[Path], tmp_path: Path, silent: Callable[[int], contextlib.AbstractContextManager[object]]
) -> None:
    options = settings(max_associations=1, network_timeout_s=6.0)
    with StoreListener(options, tmp_path / "spool", lambda _: None) as listener, silent(listener.port):
        wait_for(lambda: send(listener.port, files[:1]) == [None])
        wait_for(lambda: send(listener.port, files[:1]) == [0])
        assert send(listener.port, files[:1]) == [0], "the place stays free"


def test_a_full_disk_is_out_of_resources_and_heals(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path / "disk"], check=False)
    if mounted.returncode:
        pytest.skip("no file system of our own can be mounted")
    try:
        with StoreListener(settings(), tmp_path / "disk" / "spool", lambda _study: None) as listener:
            filler = tmp_path / "disk" / "filler"
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1024))
            assert send(listener.port, files[:1]) == [0xA700]
            assert [path for path in list_files(tmp_path / "disk") if path != filler] == []
            filler.unlink()
            assert send(listener.port, files[:1]) == [0]
    finally:
        subprocess.run(["umount", "-l", tmp_path / "disk"], check=True)
