"""The whole service as a user starts it, beside a real Orthanc; what it has started, what it holds, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pydicom
from ct_files import CTSeries
from psycopg.rows import dict_row
from real_orthanc import Orthanc, free_port

from lung_nodules.service.database.address import database_url
from lung_nodules.service.jobs.model import Job
from lung_nodules.service.jobs.rows import COLUMNS, read_job
from lung_nodules.service.settings import ServiceSettings, read_service_settings

REPOSITORY = Path(__file__).resolve().parents[3]
_PATHS = (REPOSITORY / "tests", Path(__file__).parent)
_WORDS = {  # of the command lines of what the supervisor starts
    "worker": ("lung_nodules", "worker"),
    "child": ("lung_nodules.service.jobs.child",),
    "api": ("--only", "api"),
    "watch": ("lung_nodules", "watch"),
    "database": ("-D",),
}


class Serving:
    """`lung-nodules serve`.

    Args:
        folder: With a short path; for data, settings and log.
        parts: What to start; empty: everything that is configured.
        variables: Of the environment, beside our own.
        **values: Settings.
    """

    def __init__(
        self, folder: Path, parts: Sequence[str] = (), variables: Mapping[str, str] | None = None, **values: Any
    ) -> None:
        self.port = free_port()
        self.log = folder / "service.log"
        self._parts = [word for part in parts for word in ("--only", part)]
        self._config = folder / "service.yaml"
        self._config.write_text(json.dumps({"data_folder": str(folder / "data"), "port": self.port, **values}))
        self._variables = variables or {}
        self.settings: ServiceSettings = read_service_settings(self._config)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is ready some seconds later."""
        order = [sys.executable, "-m", "lung_nodules", "serve", "--config", str(self._config), *self._parts]
        paths = os.pathsep.join(map(str, _PATHS))
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **self._variables}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(order, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """End the supervisor at once, and wait until all that it had started has ended by itself."""
        assert self._process is not None
        started = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        self._process.wait()
        _, alive = psutil.wait_procs(started, 40)
        assert not alive, [each.cmdline() for each in alive]
        self._process = None

    def find(self, role: str) -> list[psutil.Process]:
        """Processes of a role: worker, child, api, watch or database."""
        if self._process is None:
            return []
        found = []
        for each in psutil.Process(self._process.pid).children(recursive=True):
            try:
                words = each.cmdline()
            except psutil.Error:
                continue
            if set(_WORDS[role]) <= set(words):
                found.append(each)
        return found

    def ask(self, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """Status and document of an answer of the API; status 0 where none came."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())
        except (OSError, ValueError):
            return 0, None

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        query = f"SELECT {COLUMNS} FROM jobs ORDER BY number"
        return [read_job(row) for row in self._rows(query)]

    def cursor(self) -> int:
        """How far the watcher has followed the feed of changes."""
        rows = self._rows("SELECT position FROM cursors")
        return int(rows[0]["position"]) if rows else 0

    def _rows(self, query: str) -> list[dict[str, Any]]:
        """Rows of the database; none while it is away or not made yet."""
        try:
            with psycopg.connect(database_url(self.settings), row_factory=dict_row, connect_timeout=5) as connection:
                return connection.execute(query.encode()).fetchall()
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return []


@contextmanager
def serving(folder: Path, **values: Any) -> Iterator[Serving]:
    """The service for the length of a block."""
    service = Serving(folder, **values)
    service.start()
    try:
        yield service
    finally:
        service.stop()


@dataclass(frozen=True)
class Chest:
    """A small CT study on disk that the line would read."""

    uid: str
    series_uid: str
    files: tuple[Path, ...]


def write_chest(folder: Path, order: str = "", spacing_mm: float = 10.0) -> Chest:
    """Write one; `order` is for `storing_analysis`."""
    series = CTSeries(spacing_mm=(spacing_mm, 6.0, 6.0))

    def name(header: pydicom.Dataset, _index: int) -> None:
        header.StudyDescription, header.PatientID = order, series.study_uid[-16:]

    return Chest(series.study_uid, series.series_uid, tuple(series.write(folder, name)))


def archive_values(url: str, **changes: Any) -> dict[str, Any]:
    """Settings of one archive, Orthanc, that is watched and that results go to; `url` may be a proxy's."""
    quick = {"max_tries": 3, "first_wait_s": 0.05, "max_wait_s": 0.2}
    pacs = {"kind": "dicomweb", "url": f"{url}/dicom-web", "change_feed": "orthanc", "change_feed_url": url}
    watch = {"archive": "pacs", "poll_s": 0.3}
    return {"archives": {"pacs": {**pacs, "retries": quick, **changes}}, "destinations": ["pacs"], "watch": watch}


def instances_in(orthanc: Orthanc) -> dict[str, list[str]]:
    """SOP Instance UIDs of each study, sorted."""
    found: dict[str, list[str]] = {}
    for study in orthanc.get("/studies?expand"):
        instances = orthanc.get(f"/studies/{study['ID']}/instances")
        uids = sorted(each["MainDicomTags"]["SOPInstanceUID"] for each in instances)
        found[study["MainDicomTags"]["StudyInstanceUID"]] = uids
    return found


def is_settled(service: Serving, orthanc: Orthanc) -> bool:
    """Whether nothing is left to do: all changes were seen, every job has ended, and nothing new comes for a while."""
    for _ in range(8):
        if service.cursor() != orthanc.get("/changes?last")["Last"] or not service.jobs():
            return False
        if any(job.state in ("queued", "running") for job in service.jobs()):
            return False
        time.sleep(0.3)
    return True


def wait_until(condition: Callable[[], Any], timeout_s: float = 120.0, hint: Callable[[], Any] = str) -> Any:
    """Wait until a condition holds, and give its value."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"it did not happen in time {hint()}"
        time.sleep(0.2)
