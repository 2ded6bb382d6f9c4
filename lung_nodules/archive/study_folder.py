"""The folder that a study is fetched into: what the line reads, under names that tell nothing."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from lung_nodules.archive.cache import InstanceCache, write_whole
from lung_nodules.archive.naming import hash_uid
from lung_nodules.archive.protocol import InstanceKey
from lung_nodules.archive.received import check_received


class StudyFolder:
    """An `InstanceSink` that fills a folder, by way of the cache where there is one.

    An instance that lies in the folder, or whole in the cache, is not fetched again: what a killed process fetched
    counts for the next one, unless the archive has another version of it by now.

    Args:
        folder: One sub-folder a series, one file an instance, named by hashes of their UIDs and versions.
        archive: Name of the archive, by which the cache keeps instances apart.
        cache: None to do without.
        versions: By SOP Instance UID, see `headers.version_of`; those that are not named have one version.
        on_instance: Called once for each instance when it is there.
    """

    def __init__(
        self,
        folder: Path,
        archive: str,
        cache: InstanceCache | None,
        versions: Mapping[str, str] = MappingProxyType({}),
        on_instance: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder = folder
        self._archive = archive
        self._cache = cache
        self._versions = versions
        self._on_instance = on_instance

    def path_of(self, key: InstanceKey) -> Path:
        """Where an instance lies or will lie."""
        name = hash_uid(f"{key.sop_instance_uid} {self._version_of(key)}")
        return self.series_folder(key.series_instance_uid) / f"{name}.dcm"

    def series_folder(self, series_instance_uid: str) -> Path:
        """Where the instances of a series lie."""
        return self._folder / hash_uid(series_instance_uid)

    def holds(self, key: InstanceKey) -> bool:
        """See `InstanceSink.holds`."""
        path = self.path_of(key)
        version = self._version_of(key)
        is_there = path.exists() or (self._cache is not None and self._cache.place(self._archive, key, path, version))
        if is_there:
            self._on_instance()
        return is_there

    def receive(self, key: InstanceKey, chunks: Iterable[bytes]) -> None:
        """See `InstanceSink.receive`."""
        target = self.path_of(key)
        if self._cache is not None:
            self._cache.receive(self._archive, key, chunks, target, self._version_of(key))
        else:
            self._receive_alone(key, chunks, target)
        self._on_instance()

    def keep_only(self, keys: Iterable[InstanceKey]) -> None:
        """Remove what lies beside these instances in their series: other versions, and what the archive has no more."""
        paths = {self.path_of(key) for key in keys}
        for folder in {path.parent for path in paths}:
            for path in folder.iterdir():
                if path not in paths:
                    path.unlink()

    def _version_of(self, key: InstanceKey) -> str:
        return self._versions.get(key.sop_instance_uid, "")

    def _receive_alone(self, key: InstanceKey, chunks: Iterable[bytes], target: Path) -> None:
        incoming = self._folder / f".incoming-{secrets.token_hex(4)}"
        incoming.mkdir(parents=True)
        try:
            with write_whole(incoming, chunks) as (path, _):
                check_received(path, key)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
        finally:
            incoming.rmdir()
