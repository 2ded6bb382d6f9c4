"""What the viewer's account may do in a real Orthanc that has the accounts and the script of deploy/compose."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from programs import REPOSITORY
from real_orthanc import Orthanc, basic, need_orthanc, start_orthanc

from lung_nodules.phantom import PhantomSettings, write_phantom

COMPOSE = REPOSITORY / "deploy" / "compose"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What prepare.sh makes."""
    folder = tmp_path_factory.mktemp("compose")
    shutil.copy(COMPOSE / "prepare.sh", folder)
    subprocess.run([folder / "prepare.sh"], check=True, capture_output=True)
    return folder / "secrets"


@pytest.fixture(scope="module")
def archive(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """Orthanc with these accounts and one study."""
    need_orthanc(dicomweb=True)
    shipped = json.loads((COMPOSE / "orthanc.json").read_text(encoding="utf-8"))
    scripts = [str(COMPOSE / Path(path).name) for path in shipped["LuaScripts"]]
    users = json.loads((secrets / "archive_users.json").read_text(encoding="utf-8"))
    kept = {name: shipped[name] for name in ("AuthenticationEnabled", "ExecuteLuaEnabled", "DicomWeb")}
    folder = tmp_path_factory.mktemp("orthanc")
    with start_orthanc(folder, dicomweb=True, config={**kept, **users, "LuaScripts": scripts}) as started:
        chest = PhantomSettings(num_nodules=0, num_slices=8, rows=64, columns=64, pixel_spacing_mm=5.0)
        started.add(path for path in write_phantom(folder / "study", chest).dicom_folder.rglob("*") if path.is_file())
        yield started


@pytest.fixture(scope="module")
def viewer(secrets: Path) -> dict[str, str]:
    """The header that the door sends for the viewer."""
    line = (secrets / "viewer_authorization.conf").read_text(encoding="utf-8")
    name, value = re.fullmatch(r'proxy_set_header (\S+) "(.*)";\n', line).groups()  # type: ignore[union-attr]
    return {name: value}


def ask(archive: Orthanc, path: str, headers: dict[str, str], method: str = "GET", body: bytes | None = None) -> int:
    """The status of an answer."""
    request = urllib.request.Request(f"{archive.url}{path}", body, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_viewer_reads_a_study(archive: Orthanc, viewer: dict[str, str]) -> None:
    request = urllib.request.Request(f"{archive.dicomweb_url}/studies", headers=viewer)
    with urllib.request.urlopen(request, timeout=30) as answer:
        (study,) = json.load(answer)
    uid = study["0020000D"]["Value"][0]
    for path in ("series", "metadata", "instances"):
        assert ask(archive, f"/dicom-web/studies/{uid}/{path}", viewer) == 200


def test_the_viewer_neither_writes_nor_deletes_nor_leaves_dicomweb(archive: Orthanc, viewer: dict[str, str]) -> None:
    (study,) = archive.get("/studies")
    for method, path in (
        ("POST", "/dicom-web/studies"),
        ("POST", "/instances"),
        ("DELETE", f"/studies/{study}"),
        ("DELETE", f"/dicom-web/../studies/{study}"),
        ("PUT", "/modalities/other"),
        ("POST", "/tools/find"),
        ("POST", "/tools/shutdown"),
        ("GET", "/studies"),
        ("GET", "/system"),
        ("GET", "/changes"),
        ("GET", "/dicom-web"),
    ):
        assert ask(archive, path, viewer, method, b"{}" if method in ("POST", "PUT") else None) == 403, (method, path)
    assert ask(archive, "/dicom-web/../studies", viewer) in (400, 403, 404)
    assert archive.get("/studies") == [study]


def test_who_is_nobody_is_asked_who_he_is(archive: Orthanc) -> None:
    assert ask(archive, "/dicom-web/studies", {}) == 401
    assert ask(archive, "/dicom-web/studies", basic("viewer", "a guess")) == 401


def test_the_service_keeps_all_rights(archive: Orthanc) -> None:
    (study,) = archive.get("/studies")
    archive.delete(f"/studies/{study}")
    assert archive.get("/studies") == []
