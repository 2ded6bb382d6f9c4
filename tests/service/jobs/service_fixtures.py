"""A database, settings, workers as processes and small studies, for the tests of the jobs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import fixed_analysis
import psycopg
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from lung_nodules.archive.protocol import StableStudy
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.service.database.embedded import EmbeddedServer, embedded_url
from lung_nodules.service.jobs import ledger
from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.lease import Attempt
from lung_nodules.service.jobs.model import ENDED, Job, JobOrder, Source
from lung_nodules.service.settings import ServiceSettings, read_service_settings

TESTS = Path(fixed_analysis.__file__).parent
FAST = {"heartbeat_s": 0.3, "lease_s": 2.0, "poll_s": 0.5, "first_retry_s": 0.2, "progress_s": 0.05, "grace_s": 1.0}


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path, as sockets need one."""
    with tempfile.TemporaryDirectory(prefix="jobs-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def make_settings(server: EmbeddedServer, folder: Path, **changes: Any) -> ServiceSettings:
    """Settings of a service with an empty database of its own on a server that runs."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    url_file = folder / "url"
    url_file.write_text(embedded_url(server.socket_folder).replace("/postgres?", f"/{name}?"))
    workers = {**FAST, "analysis": fixed_analysis.NAME, **changes.pop("workers", {})}
    values = {"data_folder": folder / "data", "database": {"url_file": url_file}, "workers": workers}
    return read_service_settings(None, {**values, **changes})


def write_study(folder: Path, num_slices: int = 3, study_uid: str | None = None, **orders: Any) -> Path:
    """A CT study of tiny slices, with orders for `fixed_analysis`; slices that are there already stay."""
    folder.mkdir(parents=True, exist_ok=True)
    uid = study_uid or f"2.25.{uuid4().int}"
    for number in range(num_slices):
        path = folder / f"{number}.dcm"
        if not path.exists():
            _write_slice(path, uid, number)
    (folder / "orders.json").write_text(json.dumps(orders))
    return folder


def _write_slice(path: Path, study_uid: str, number: int) -> None:
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"{study_uid}.1.{number + 1}"[-64:]
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study_uid, f"{study_uid}.1"[-64:]
    dataset.Modality, dataset.PatientID = "CT", "1"
    dataset.Rows = dataset.Columns = 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = bytes(8)
    dataset.save_as(path, enforce_file_format=True)


class WorkerProcess:
    """`lung-nodules worker` with settings of a test."""

    def __init__(self, settings: ServiceSettings, *, variables: Mapping[str, str] | None = None) -> None:
        config = settings.data_folder.parent / f"worker-{uuid4().hex[:6]}.yaml"
        config.write_text(settings.model_dump_json())  # JSON is YAML
        self.log = config.with_suffix(".log")
        environment = {**os.environ, "PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1", **(variables or {})}
        order = [sys.executable, "-m", "lung_nodules", "worker", "--config", str(config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(order, env=environment, stdout=log, stderr=log)

    def children(self) -> list[int]:
        """Process ids of the worker's children."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def kill(self) -> None:
        """End it at once."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def terminate(self, timeout_s: float = 30.0) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)


@contextmanager
def worker(settings: ServiceSettings, **more: Any) -> Iterator[WorkerProcess]:
    """A worker for the length of a block."""
    started = WorkerProcess(settings, **more)
    try:
        yield started
    finally:
        started.kill()


class ListedChanges:
    """A change feed: change N is the Nth line of a list."""

    def __init__(self, uids: Sequence[str] = ()) -> None:
        self.uids = list(uids)
        self.is_away = False

    def changes(self, cursor: int) -> tuple[list[StableStudy], int]:
        """At most two changes after one, and where to go on."""
        if self.is_away:
            raise ArchiveRefusal("archive-unreachable", "No connection.")
        new = self.uids[cursor : cursor + 2]
        return [StableStudy(uid, cursor + number + 1) for number, uid in enumerate(new)], cursor + len(new)


async def until(condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """Wait until an asynchronous condition holds, and give its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = await condition()
        if value:
            return value
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.05)


def read_journal(path: Path) -> list[tuple[str, str]]:
    """Lines of a journal: begin or end, and the study."""
    if not path.exists():
        return []
    return [(word, name) for word, name in (line.split() for line in path.read_text().splitlines())]


def study(uid: str, content: str | None = None, priority: int = 0, by: str = "service") -> JobOrder:
    """An order for a study of an archive."""
    source = Source(kind="archive", archive="pacs", study_instance_uid=uid)
    return JobOrder(source=source, content_hash=content, priority=priority, submitted_by=by)


def order(folder: Path, priority: int = 0) -> JobOrder:
    """An order for a study in a folder."""
    return JobOrder(source=Source(kind="folder", path=str(folder)), priority=priority)


async def ended(desk: JobDesk, job: Job, timeout_s: float = 60.0) -> Job:
    """Wait until a job has ended, and give it as it is then."""

    async def look():
        found = await desk.get(job.id)
        return found if found.state in ENDED else None

    return await until(look, timeout_s)


async def claim_next(desk: JobDesk) -> Attempt:
    """What a worker gets: the attempt at the job of the ticket that is next."""
    async with desk.pool.connection() as connection:
        row = await (
            await connection.execute(
                "SELECT j.id, j.ticket FROM procrastinate_jobs p JOIN jobs j ON j.ticket = p.id WHERE p.status = 'todo'"
                " ORDER BY p.priority DESC, p.id LIMIT 1"
            )
        ).fetchone()
        assert row is not None
        await connection.execute("UPDATE procrastinate_jobs SET status = 'doing' WHERE id = %s", (row["ticket"],))
    attempt = await ledger.claim(desk.pool, row["id"], row["ticket"])
    assert attempt is not None
    return attempt
