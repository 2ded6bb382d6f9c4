"""Where a listener keeps what was sent to it, until each study is quiet.

::

    studies/<study>/uid                             its Study Instance UID
    studies/<study>/handed-over                     what it held when it was handed over last
    studies/<study>/<series>/<instance>-<bytes>.dcm named by hashes: of UIDs, and of what is in the file
    complete/<study>-<content>/                     what was handed over, in files of its own
    incoming/                                       files on their way in

Names alone tell what a study holds, so that no file is read again. A study whose late slices arrive, or of which an
instance is sent anew with other content, is handed over again, whole. A listener that was killed finds everything here
again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lung_nodules.archive.cache import link_or_copy, write_whole
from lung_nodules.archive.naming import check_uid, hash_uid
from lung_nodules.archive.protocol import InstanceKey
from lung_nodules.archive.received import read_whole
from lung_nodules.archive.refusals import ArchiveRefusal

_HANDED_OVER = "handed-over"
_UID = "uid"
_UNFINISHED = ".unfinished"
_SETTLED_S = 1.0  # a folder that is older was not changed since it was looked at, if its time is the same
_RECOUNT_S = 10.0
_LEAST_BYTES = 4096  # that a file takes on the disk, however little is in it

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReceivedStudy:
    """A study that was sent to us and is complete as far as anybody can tell."""

    folder: Path  # belongs to whoever was called back: to read, to move, to remove
    study_instance_uid: str = field(repr=False)
    num_instances: int


class StudySpool:
    """Received instances on disk.

    Args:
        folder: Where they lie; made when missing.
        max_bytes: Above it nothing more is taken; what was handed over counts until whoever has it removes it.
        quiet_s: A study is complete when nothing came for so long.
        keep_s: A study that was handed over stays as long, for slices that come late.
    """

    def __init__(self, folder: Path, max_bytes: int, quiet_s: float, keep_s: float) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._quiet_s = quiet_s
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._settled: dict[str, int] = {}  # studies that hold nothing new, with the time of their last change
        for name in ("studies", "complete", "incoming"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for left in (*(folder / "incoming").iterdir(), *(folder / "complete").glob(f"*{_UNFINISHED}")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        self._num_bytes = 0  # as last counted, and what came since
        self._counted_at = 0.0
        self._count()

    def receive(self, chunks: Iterable[bytes]) -> None:
        """Keep one instance; it is on the disk when this returns.

        Raises:
            ArchiveRefusal: See `InstanceSink.receive`.
        """
        self._refuse_when_full()
        with write_whole(self._folder / "incoming", chunks, is_synced=True) as (path, digest):
            key = read_whole(path)
            with self._lock:  # not while a study is being handed over
                self._keep(path, digest, key)

    def pass_on(self, on_complete: Callable[[ReceivedStudy], None]) -> None:
        """Hand each study over that is quiet and holds what was not handed over before; then forget those long quiet.

        Args:
            on_complete: Called with each. Where it raises, the study stays and is offered again at the next look, and
                the others are not held up.
        """
        for study in sorted((self._folder / "studies").iterdir()):
            with self._lock:
                found = self._look_at(study)
            if found is None:
                continue
            received, content = found
            label = hash_uid(received.study_instance_uid, 8)
            try:
                on_complete(received)
                (study / _HANDED_OVER).write_text(content, encoding="ascii")
            except Exception as error:  # whatever the callee raises
                logger.warning("Study %s was not passed on: %s", label, error.__class__.__name__)
            else:
                logger.info("Study %s received: %d instances", label, received.num_instances)

    def _refuse_when_full(self) -> None:
        with self._lock:
            if self._num_bytes > self._max_bytes and time.monotonic() - self._counted_at > _RECOUNT_S:
                self._count()
            if self._num_bytes > self._max_bytes:
                raise ArchiveRefusal("cache-full", "The spool is full.")

    def _keep(self, path: Path, digest: str, key: InstanceKey) -> None:
        """Give a file its place; what was sent of the same instance before goes."""
        study = self._folder / "studies" / hash_uid(key.study_instance_uid)
        series = study / hash_uid(check_uid(key.series_instance_uid))
        name = hash_uid(check_uid(key.sop_instance_uid))
        _note_uid(study, check_uid(key.study_instance_uid))
        series.mkdir(exist_ok=True)
        earlier = list(series.glob(f"{name}-*"))
        self._num_bytes += _size_of(path) - sum(map(_size_of, earlier))
        target = series / f"{name}-{digest[:16]}.dcm"
        path.replace(target)
        for each in earlier:
            if each != target:
                each.unlink()
        _sync_folder(series)

    def _look_at(self, study: Path) -> tuple[ReceivedStudy, str] | None:
        """Hand a study over if it is quiet and new; forget it if it has been handed over for long."""
        changed_ns = max((each.stat().st_mtime_ns for each in study.iterdir() if each.is_dir()), default=0)
        age_s = time.time() - changed_ns / 1e9
        if changed_ns and age_s >= self._quiet_s and self._settled.get(study.name) != changed_ns:
            found = self._hand_over(study)
            if found is not None:
                return found
            if age_s >= _SETTLED_S:
                self._settled[study.name] = changed_ns
        if age_s >= max(self._keep_s, self._quiet_s):
            shutil.rmtree(study)
            self._settled.pop(study.name, None)
        return None

    def _hand_over(self, study: Path) -> tuple[ReceivedStudy, str] | None:
        """Link a study's files into a folder of their own; None where they were handed over before."""
        files = sorted(study.glob("*/*.dcm"))
        names = "\n".join(f"{path.parent.name}/{path.name}" for path in files)
        content = hashlib.sha256(names.encode()).hexdigest()
        with suppress(FileNotFoundError):
            if (study / _HANDED_OVER).read_text(encoding="ascii") == content:
                return None
        folder = self._folder / "complete" / f"{study.name}-{content[:16]}"
        if not folder.exists():
            staging = folder.with_name(folder.name + _UNFINISHED)
            for path in files:
                link_or_copy(path, staging / path.relative_to(study))
            staging.rename(folder)
        uid = (study / _UID).read_text(encoding="ascii")
        return ReceivedStudy(folder, uid, len(files)), content

    def _count(self) -> None:
        """Count what lies on the disk, each file once, under however many names."""
        sizes: dict[int, int] = {}
        for name in ("studies", "complete"):
            for path in (self._folder / name).rglob("*.dcm"):
                with suppress(FileNotFoundError):  # whoever has a complete study removes it
                    sizes[path.stat().st_ino] = _size_of(path)
        self._num_bytes, self._counted_at = sum(sizes.values()), time.monotonic()


def _size_of(path: Path) -> int:
    return max(path.stat().st_size, _LEAST_BYTES)


def _note_uid(study: Path, study_instance_uid: str) -> None:
    study.mkdir(exist_ok=True)
    if not (study / _UID).exists():
        written = study / f".{_UID}"
        written.write_text(study_instance_uid, encoding="ascii")
        written.replace(study / _UID)


def _sync_folder(folder: Path) -> None:
    """Have a new name reach the disk, as the file has."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
