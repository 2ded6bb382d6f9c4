"""Fetched instances on disk, named by the SHA-256 of what is in them, bounded in size.

::

    objects/ab/abcd...   a DICOM file, named by the SHA-256 of its bytes
    names/12/1234...     which object an instance of an archive is: named by the SHA-256 of archive, UIDs and version
    incoming/            files on their way in

Several processes share one cache: files appear by renaming, whoever needs one links it into a folder of its own, and
what was used longest ago goes when the whole grows beyond its bound. An object is read and hashed before it is given
out, so that a damaged disk cannot change a result.

Our own rather than diskcache: that stores pickles beside the files (CVE-2025-69872) and has had no release since 2023.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lung_nodules.archive.protocol import InstanceKey
from lung_nodules.archive.received import check_received, without_preamble
from lung_nodules.archive.refusals import ArchiveRefusal

GIB = 1024**3
_HEAD = 132  # preamble and prefix
_STALE_S = 24 * 3600  # what a killed process left behind in incoming/
_ROOM_SHARE = 0.9  # of the bound, to which the cache shrinks, so that it does not look through itself at every file


class InstanceCache:
    """A disk cache of instances.

    Args:
        folder: Where it lies; made when missing.
        max_bytes: Above it, objects go that were used longest ago.

    Raises:
        OSError: The folder cannot be made or written to.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        for name in ("objects", "names", "incoming"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._num_bytes = self._trim()  # an estimate: other processes add, too

    def place(self, archive: str, key: InstanceKey, target: Path, version: str = "") -> bool:
        """Link a cached instance to `target`, or copy it where that is another file system.

        Args:
            archive: Name of the archive.
            key: Which instance.
            target: Where it is to be.
            version: Which version of it, where the archive tells versions apart.

        Returns:
            Whether it was there, whole.
        """
        name = self._name_path(archive, key, version)
        try:
            digest = name.read_text(encoding="ascii")
            path = self._object_path(digest)
            if hash_file(path) != digest:
                path.unlink(missing_ok=True)
                return False
            os.utime(path)
            link_or_copy(path, target)
        except (OSError, ValueError):
            return False
        return True

    def receive(self, archive: str, key: InstanceKey, chunks: Iterable[bytes], target: Path, version: str = "") -> None:
        """Take an instance in and link it to `target`.

        Raises:
            ArchiveRefusal: See `InstanceSink.receive`.
        """
        with write_whole(self._folder / "incoming", chunks) as (path, digest):
            check_received(path, key)
            stored = self._object_path(digest)
            size = path.stat().st_size
            self._make_room(size)
            stored.parent.mkdir(exist_ok=True)
            link_or_copy(path, target)  # first: once it is stored, another process may make room of it
            path.replace(stored)
            self._write_name(self._name_path(archive, key, version), digest)

    def num_bytes(self) -> int:
        """Size of all objects."""
        return sum(size for _, size, _ in self._objects())

    def _make_room(self, num_bytes: int) -> None:
        with self._lock:
            self._num_bytes += num_bytes
            if self._num_bytes > self._max_bytes:
                self._num_bytes = self._trim(num_bytes) + num_bytes

    def _trim(self, coming: int = 0) -> int:
        """Remove what was used longest ago until `coming` bytes fit; the size of what is left.

        One process at a time; what another one removed meanwhile is gone either way.
        """
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._remove_stale()
            objects = sorted(self._objects())
            total = sum(size for _, size, _ in objects)
            if total + coming <= self._max_bytes:
                return total
            for _, size, path in objects:
                if total + coming <= self._max_bytes * _ROOM_SHARE:
                    break
                path.unlink(missing_ok=True)
                total -= size
            self._remove_dangling_names()
            return total

    def _objects(self) -> Iterator[tuple[float, int, Path]]:
        """When each object was used last, its size, its path."""
        for path in (self._folder / "objects").glob("*/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path

    def _remove_stale(self) -> None:
        for path in (self._folder / "incoming").iterdir():
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()

    def _remove_dangling_names(self) -> None:
        for path in (self._folder / "names").glob("*/*"):
            with suppress(FileNotFoundError):
                if not self._object_path(path.read_text(encoding="ascii")).exists():
                    path.unlink()

    def _write_name(self, name: Path, digest: str) -> None:
        name.parent.mkdir(exist_ok=True)
        written = self._folder / "incoming" / secrets.token_hex(8)
        written.write_text(digest, encoding="ascii")
        written.replace(name)

    def _name_path(self, archive: str, key: InstanceKey, version: str) -> Path:
        text = "\n".join((archive, key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid, version))
        digest = hashlib.sha256(text.encode()).hexdigest()
        return self._folder / "names" / digest[:2] / digest

    def _object_path(self, digest: str) -> Path:
        return self._folder / "objects" / digest[:2] / digest


@contextmanager
def write_whole(folder: Path, chunks: Iterable[bytes], is_synced: bool = False) -> Iterator[tuple[Path, str]]:
    """Write a DICOM file to `folder` under a random name, its preamble blanked; it is removed unless moved away.

    Args:
        folder: Where it is written.
        chunks: What is in it.
        is_synced: It has reached the disk before it is given: for what is not to be had a second time.

    Yields:
        The file, and the SHA-256 of what was written.

    Raises:
        ArchiveRefusal: ``cache-full`` where the disk is.
    """
    path = folder / secrets.token_hex(16)
    digest = hashlib.sha256()
    try:
        with path.open("wb") as file:
            for piece in _blank_first(chunks):
                digest.update(piece)
                file.write(piece)
            if is_synced:
                file.flush()
                os.fsync(file.fileno())
        yield path, digest.hexdigest()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ArchiveRefusal(
                "cache-full", "The disk is full.", "Make room, or lower the size of the cache."
            ) from error
        raise
    finally:
        path.unlink(missing_ok=True)


def _blank_first(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass pieces on, the preamble blanked, however small the first ones are."""
    source = iter(chunks)
    head = b""
    while len(head) < _HEAD and (piece := next(source, None)) is not None:
        head += piece
    yield without_preamble(head)
    yield from source


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy where a link is not possible; it appears whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.parent / f".{secrets.token_hex(8)}"
    try:
        try:
            beside.hardlink_to(source)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
            shutil.copyfile(source, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
