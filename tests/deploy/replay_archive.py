"""The archive's part of a replay: a real Orthanc, started for the tests on this machine alone."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
from pydicom import Dataset

PROGRAM = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
AE_TITLE = "ORTHANC"


@dataclass(frozen=True)
class Archive:
    """A running Orthanc."""

    dicom_port: int
    http_port: int

    def get(self, path: str) -> Any:
        """What its REST interface says."""
        return json.loads(self._open(path))

    def put(self, path: str, body: Any) -> None:
        """Set something by its REST interface."""
        self._open(path, json.dumps(body).encode())

    def send(self, study_instance_uid: str, modality: str) -> int:
        """Send a study to one of its modalities, and give the number of instances that failed."""
        query = {"Level": "Study", "Query": {"StudyInstanceUID": study_instance_uid}}
        (study,) = json.loads(self._open("/tools/find", json.dumps(query).encode(), "POST"))
        answer = json.loads(self._open(f"/modalities/{modality}/store", study.encode(), "POST"))
        return int(answer["FailedInstancesCount"])

    def instances_of(self, study_instance_uid: str) -> list[Dataset]:
        """Every instance of a study, read back as a file."""
        query = {"Level": "Instance", "Query": {"StudyInstanceUID": study_instance_uid}}
        found = json.loads(self._open("/tools/find", json.dumps(query).encode(), "POST"))
        return [pydicom.dcmread(io.BytesIO(self._open(f"/instances/{name}/file"))) for name in found]

    def _open(self, path: str, body: bytes | None = None, method: str | None = None) -> bytes:
        method = method or ("PUT" if body else "GET")
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())


@contextmanager
def start_archive(folder: Path) -> Iterator[Archive]:
    """Start Orthanc with an empty storage in `folder`, and end it."""
    assert PROGRAM, "Orthanc is not installed"
    archive = Archive(_free_port(), _free_port())
    config = {
        "Name": "replay",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "Plugins": [],
        "DicomAet": AE_TITLE,
        "DicomPort": archive.dicom_port,
        "DicomCheckCalledAet": True,
        "HttpPort": archive.http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomModalities": {"GATEWAY": ["MONAISCU", "127.0.0.1", 104]},
        "DicomAlwaysAllowStore": False,
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen([PROGRAM, str(folder / "orthanc.json")], stdout=log, stderr=log)
    try:
        _wait_for(archive, process)
        yield archive
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(archive: Archive, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, "Orthanc has ended"
        try:
            archive.get("/system")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("Orthanc does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
