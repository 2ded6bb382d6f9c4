"""Where a listener keeps what was sent to it, until each study is quiet.

::

    studies/<study>/<series>/<instance>.dcm    named by hashes of their UIDs
    studies/<study>/handed-over                hash of what was handed over last
    complete/<study>-<content>/                what was handed over, in files of its own
    incoming/                                  files on their way in

A study whose late slices arrive is handed over again, whole. A listener that was killed finds everything here again.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lung_nodules.archive.cache import link_or_copy, write_whole
from lung_nodules.archive.naming import hash_content, hash_uid
from lung_nodules.archive.received import read_key, read_whole
from lung_nodules.archive.refusals import ArchiveRefusal

_HANDED_OVER = "handed-over"
_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class ReceivedStudy:
    """A study that was sent to us and is complete as far as anybody can tell."""

    folder: Path  # belongs to whoever was called back: to read, to move, to remove
    study_instance_uid: str = field(repr=False)
    num_instances: int
    content_hash: str  # of all SOP Instance UIDs that were received


class Spool:
    """Received instances on disk.

    Args:
        folder: Where they lie; made when missing.
        max_bytes: Above it nothing more is taken.
        quiet_s: A study is complete when nothing came for so long.
        keep_s: A study that was handed over stays as long, for slices that come late.
    """

    def __init__(self, folder: Path, max_bytes: int, quiet_s: float, keep_s: float) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._quiet_s = quiet_s
        self._keep_s = keep_s
        self._lock = threading.Lock()
        for name in ("studies", "complete", "incoming"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for left in (*(folder / "incoming").iterdir(), *(folder / "complete").glob(f"*{_UNFINISHED}")):
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        self._num_bytes = sum(path.stat().st_size for path in (folder / "studies").rglob("*.dcm"))

    def receive(self, chunks: Iterable[bytes]) -> None:
        """Keep one instance; it is on the disk when this returns.

        Raises:
            ArchiveRefusal: See `InstanceSink.receive`.
        """
        if self._num_bytes > self._max_bytes:
            raise ArchiveRefusal("cache-full", "The spool is full.")
        with write_whole(self._folder / "incoming", chunks, is_synced=True) as (path, _):
            key = read_whole(path)
            size = path.stat().st_size
            with self._lock:  # not while a study is being handed over
                target = self._study_folder(key.study_instance_uid) / hash_uid(key.series_instance_uid)
                target.mkdir(parents=True, exist_ok=True)
                path.replace(target / f"{hash_uid(key.sop_instance_uid)}.dcm")
                self._num_bytes += size

    def take_complete(self) -> Iterator[ReceivedStudy]:
        """Give each study that is quiet and holds what was not handed over before; then forget those long quiet.

        A study counts as handed over when the caller comes back for the next one, not when an exception leaves it.
        """
        for study in sorted((self._folder / "studies").iterdir()):
            with self._lock:
                received = self._look_at(study)
            if received is not None:
                yield received
                (study / _HANDED_OVER).write_text(received.content_hash, encoding="ascii")

    def _look_at(self, study: Path) -> ReceivedStudy | None:
        """Hand a study over if it is quiet and new; forget it if it has been handed over for long."""
        files = sorted(study.glob("*/*.dcm"))
        age_s = time.time() - max((path.stat().st_mtime for path in files), default=0.0)
        received = self._hand_over(study, files) if files and age_s >= self._quiet_s else None
        if received is None and age_s >= max(self._keep_s, self._quiet_s):
            self._num_bytes -= sum(path.stat().st_size for path in files)
            shutil.rmtree(study)
        return received

    def _hand_over(self, study: Path, files: list[Path]) -> ReceivedStudy | None:
        """Link a study's files into a folder of their own; None where they were handed over before."""
        keys = [read_key(path) for path in files]
        content = hash_content({key.sop_instance_uid for key in keys})
        with suppress(FileNotFoundError):
            if (study / _HANDED_OVER).read_text(encoding="ascii") == content:
                return None
        folder = self._folder / "complete" / f"{study.name}-{content[:16]}"
        if not folder.exists():
            staging = folder.with_name(folder.name + _UNFINISHED)
            for path in files:
                link_or_copy(path, staging / path.relative_to(study))
            staging.rename(folder)
        return ReceivedStudy(folder, keys[0].study_instance_uid, len(files), content)

    def _study_folder(self, study_instance_uid: str) -> Path:
        return self._folder / "studies" / hash_uid(study_instance_uid)
