"""The disk cache: bounded, never damaged, shared by processes, and empty of names."""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pydicom
import pytest
from ct_files import CTSeries
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, JPEGLSLossless

from lung_nodules.archive.cache import InstanceCache
from lung_nodules.archive.protocol import InstanceKey
from lung_nodules.archive.received import read_key
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.study_folder import StudyFolder

SERIES = CTSeries()
DOCS = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return SERIES.write(tmp_path_factory.mktemp("series"), indices=range(10))


def fill(cache: InstanceCache, files: list[Path], folder: Path, archive: str = "a") -> list[InstanceKey]:
    keys = [read_key(path) for path in files]
    for key, path in zip(keys, files, strict=True):
        cache.receive(archive, key, [path.read_bytes()], folder / key.sop_instance_uid)
    return keys


def held(cache: InstanceCache, keys: list[InstanceKey], folder: Path, archive: str = "a") -> list[bool]:
    return [cache.place(archive, key, folder / f"again-{key.sop_instance_uid}") for key in keys]


def test_what_was_put_in_comes_out(tmp_path: Path, files: list[Path]) -> None:
    cache = InstanceCache(tmp_path / "cache", 10**8)
    keys = fill(cache, files, tmp_path)
    assert all(held(cache, keys, tmp_path))
    for key, path in zip(keys, files, strict=True):
        content = path.read_bytes()
        assert (tmp_path / f"again-{key.sop_instance_uid}").read_bytes() == bytes(128) + content[128:]
    assert cache.num_bytes() == sum(path.stat().st_size for path in files)


def test_it_may_be_emptied_as_the_docs_say_while_it_is_used(tmp_path: Path, files: list[Path]) -> None:
    cache = InstanceCache(tmp_path / "cache", 10**8)
    keys = fill(cache, files, tmp_path / "job")
    (command,) = re.findall(r"`(find DATA/cache.*)`", DOCS.read_text(encoding="utf-8"))
    subprocess.run(shlex.split(command.replace("DATA", str(tmp_path))), check=True)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.stat().st_size] == []
    assert all((tmp_path / "job" / key.sop_instance_uid).is_file() for key in keys), (
        "a job that is under way keeps them"
    )
    assert not any(held(cache, keys, tmp_path))
    fill(cache, files, tmp_path)
    assert all(held(cache, keys, tmp_path))


def test_archives_do_not_share_instances(tmp_path: Path, files: list[Path]) -> None:
    cache = InstanceCache(tmp_path / "cache", 10**8)
    keys = fill(cache, files, tmp_path)
    assert not any(held(cache, keys, tmp_path, "b"))


def test_it_stays_within_its_bound(tmp_path: Path, files: list[Path]) -> None:
    size = files[0].stat().st_size
    cache = InstanceCache(tmp_path / "cache", 5 * size)
    for path in files:
        fill(cache, [path], tmp_path)
        assert cache.num_bytes() <= 5 * size
    reopened = InstanceCache(tmp_path / "cache", 2 * size)
    assert reopened.num_bytes() <= 2 * size


def test_what_was_used_longest_ago_goes_first(tmp_path: Path, files: list[Path]) -> None:
    size = files[0].stat().st_size
    cache = InstanceCache(tmp_path / "cache", 5 * size)
    keys = fill(cache, files[:5], tmp_path)
    for age, path in enumerate(sorted((tmp_path / "cache" / "objects").glob("*/*"))):
        os.utime(path, (1000 + age, 1000 + age))
    assert cache.place("a", keys[0], tmp_path / "used")  # now the latest
    fill(cache, files[5:6], tmp_path)
    assert held(cache, keys[:1], tmp_path) == [True]
    assert sum(held(cache, keys, tmp_path)) < 5


def test_what_was_given_out_outlives_the_cache(tmp_path: Path, files: list[Path]) -> None:
    cache = InstanceCache(tmp_path / "cache", files[0].stat().st_size)
    keys = fill(cache, files, tmp_path / "given")
    assert sum(held(cache, keys, tmp_path)) <= 1
    assert len(list((tmp_path / "given").iterdir())) == len(files)


def test_a_damaged_object_is_not_given_out(tmp_path: Path, files: list[Path]) -> None:
    cache = InstanceCache(tmp_path / "cache", 10**8)
    keys = fill(cache, files[:1], tmp_path)
    (path,) = (tmp_path / "cache" / "objects").glob("*/*")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    assert held(cache, keys, tmp_path) == [False]
    fill(cache, files[:1], tmp_path / "fresh")
    assert held(cache, keys, tmp_path) == [True]


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLSLossless])
def test_a_file_that_breaks_off_is_not_taken(tmp_path: Path, syntax: str | None) -> None:
    content = encode(syntax)
    dataset = pydicom.dcmread(io.BytesIO(content))
    key = InstanceKey(dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    cache = InstanceCache(tmp_path / "cache", 10**8)
    for length in (len(content) - 20, len(content) // 2, 900, 200, 132, 10, 0):
        with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
            cache.receive("a", key, [content[:length]], tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert list((tmp_path / "cache" / "incoming").iterdir()) == []
    cache.receive("a", key, [content], tmp_path / "target")
    assert pydicom.dcmread(tmp_path / "target").pixel_array.shape == dataset.pixel_array.shape


def encode(syntax: str | None) -> bytes:
    """One slice as a file in a transfer syntax."""
    dataset = SERIES.dataset(0)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = dataset.pixel_array.astype(">u2").tobytes()
    if syntax == JPEGLSLossless:
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
    with io.BytesIO() as file:
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_pieces_of_any_size_make_the_same_file(tmp_path: Path, files: list[Path], cuts: list[int]) -> None:
    content = files[0].read_bytes()
    places = [0, *sorted(cuts), len(content)]
    pieces = [content[begin:end] for begin, end in pairwise(places)]
    into = StudyFolder(tmp_path, "a", None)
    key = read_key(files[0])
    into.receive(key, pieces)
    assert into.path_of(key).read_bytes() == bytes(128) + content[128:]


def test_processes_share_it(tmp_path: Path, files: list[Path]) -> None:
    """Four processes fill a cache that is too small for them: it stays within its bound, and nobody fails."""
    program = (
        "import sys; from pathlib import Path; from test_instance_cache import fill; "
        "from lung_nodules.archive.cache import InstanceCache; "
        "cache = InstanceCache(Path(sys.argv[1]), int(sys.argv[2])); "
        "[fill(cache, sorted(Path(sys.argv[3]).iterdir()), Path(sys.argv[4]), str(n)) for n in range(3)]"
    )
    bound = 4 * files[0].stat().st_size
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    arguments = [str(tmp_path / "cache"), str(bound), str(files[0].parent)]
    running = [
        subprocess.Popen([sys.executable, "-c", program, *arguments, str(tmp_path / str(number))], env=environment)
        for number in range(4)
    ]
    assert [process.wait(120) for process in running] == [0, 0, 0, 0]
    for number in range(4):
        assert len(list((tmp_path / str(number)).iterdir())) == len(files)
    assert InstanceCache(tmp_path / "cache", bound).num_bytes() <= bound


def test_a_full_disk_has_a_name(tmp_path: Path, files: list[Path]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    cache = InstanceCache(tmp_path / "cache", 10**8)

    def chunks() -> object:
        yield files[0].read_bytes()
        with open("/dev/full", "wb", buffering=0) as full:  # noqa: PTH123
            full.write(b"x")

    with pytest.raises(ArchiveRefusal, match="cache-full") as caught:
        cache.receive("a", read_key(files[0]), chunks(), tmp_path / "target")  # type: ignore[arg-type]
    assert caught.value.heals
