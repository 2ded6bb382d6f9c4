"""A real Orthanc for the tests, on this machine alone: started empty, ended afterwards, killed in between if wished.

Debian's packages are `orthanc` and `orthanc-dicomweb`; a test that needs one asks `need_orthanc` first, which skips
where it is missing.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest

PROGRAM = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
DICOMWEB_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
AE_TITLE = "ORTHANC"


def need_orthanc(dicomweb: bool = False) -> None:
    """Skip the test where Orthanc, or its DICOMweb plug-in, is not installed."""
    if PROGRAM is None:
        pytest.skip("no Orthanc: apt-get install orthanc")
    if dicomweb and not DICOMWEB_PLUGIN.exists():
        pytest.skip("no DICOMweb plug-in of Orthanc: apt-get install orthanc-dicomweb")


def basic(user: str, password: str) -> dict[str, str]:
    """The header by which a user says who he is."""
    return {"Authorization": f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"}


class Orthanc:
    """An Orthanc with a storage of its own; where it has users, the first of them asks."""

    def __init__(self, folder: Path, dicomweb: bool, config: Mapping[str, Any]) -> None:
        self.folder = folder
        self.dicom_port = free_port()
        self.http_port = free_port()
        self._config = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(DICOMWEB_PLUGIN)] if dicomweb else [],
            "DicomAet": AE_TITLE,
            "DicomPort": self.dicom_port,
            "DicomCheckCalledAet": True,
            "HttpPort": self.http_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": True,
            "StableAge": 1,
            **config,
        }
        self._headers = next((basic(*user) for user in config.get("RegisteredUsers", {}).items()), {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Root of the REST interface."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def dicomweb_url(self) -> str:
        """Root of the DICOMweb services."""
        return f"{self.url}/dicom-web"

    def start(self) -> None:
        """Start it, or start it again with what it holds."""
        assert PROGRAM, "Orthanc is not installed"
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "orthanc.json").write_text(json.dumps(self._config))
        with (self.folder / "orthanc.log").open("a") as log:
            self._process = subprocess.Popen([PROGRAM, str(self.folder / "orthanc.json")], stdout=log, stderr=log)
        for _ in range(300):
            assert self._process.poll() is None, f"Orthanc has ended: {self.folder / 'orthanc.log'}"
            try:
                self.get("/system")
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise TimeoutError("Orthanc does not answer")

    def stop(self, kill: bool = False) -> None:
        """End it, in order or by kill -9."""
        if self._process is not None:
            self._process.kill() if kill else self._process.terminate()
            self._process.wait(30)
            self._process = None

    def get(self, path: str) -> Any:
        """What its REST interface says."""
        return json.loads(self._open(path))

    def put(self, path: str, body: Any) -> None:
        """Set something by its REST interface."""
        self._open(path, json.dumps(body).encode())

    def delete(self, path: str) -> None:
        """Remove something by its REST interface."""
        self._open(path, method="DELETE")

    def post(self, path: str, body: Any) -> Any:
        """Ask its REST interface to do something."""
        return json.loads(self._open(path, json.dumps(body).encode(), "POST"))

    def add(self, files: Iterable[Path]) -> None:
        """Put DICOM files into it."""
        for path in files:
            self._open("/instances", path.read_bytes(), "POST")

    def find(self, level: str, **query: str) -> list[str]:
        """Its own identifiers of what matches."""
        return list(self.post("/tools/find", {"Level": level, "Query": query}))

    def send(self, study_instance_uid: str, modality: str) -> int:
        """Send a study to one of its modalities, and give the number of instances that failed."""
        (study,) = self.find("Study", StudyInstanceUID=study_instance_uid)
        return int(
            json.loads(self._open(f"/modalities/{modality}/store", study.encode(), "POST"))["FailedInstancesCount"]
        )

    def instances_of(self, study_instance_uid: str) -> list[pydicom.Dataset]:
        """Every instance of a study, read back as a file."""
        found = self.find("Instance", StudyInstanceUID=study_instance_uid)
        return [pydicom.dcmread(io.BytesIO(self._open(f"/instances/{name}/file"))) for name in found]

    def _open(self, path: str, body: bytes | None = None, method: str | None = None) -> bytes:
        method = method or ("PUT" if body else "GET")
        request = urllib.request.Request(f"{self.url}{path}", body, self._headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as response:
            return bytes(response.read())


@contextmanager
def start_orthanc(folder: Path, dicomweb: bool = False, config: Mapping[str, Any] | None = None) -> Iterator[Orthanc]:
    """Start Orthanc with an empty storage in `folder`, and end it; `config` is laid over the configuration."""
    orthanc = Orthanc(folder, dicomweb, config or {})
    try:
        orthanc.start()
        yield orthanc
    finally:
        orthanc.stop()


def free_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
