"""Backgrounds that were resampled once are read back: MONAI's `PersistentDataset`, keyed by content.

The key is a hash of all that a background is made from: the scan's files, the table and the masks beside it, the
settings, and the source of the code that makes it. So nothing in the cache is ever stale, and all of it may be deleted
at any time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.dataset import PersistentDataset
from monai.transforms.transform import Transform

import lung_nodules
from lung_nodules.settings import Section

MAKERS = (
    "stages/*.py",
    "networks/patches.py",
    "cohorts/ct.py",
    "cohorts/scans.py",
    "training/background*",
    "settings.py",
)

Arrays = dict[str, Any]  # by name


class _Make(Transform):  # type: ignore[misc]  # monai is not typed
    """What MONAI calls where the cache has nothing."""

    def __init__(self, make: Callable[[str], Arrays]) -> None:
        self._make = make

    def __call__(self, item: dict[str, str]) -> Arrays:
        """Make the arrays of a scan."""
        return self._make(item["name"])


def read_cached(
    places: Mapping[str, Path],
    folder: Path,
    settings: Section,
    make: Callable[[str], Arrays],
    cache: Path | None,
) -> Iterator[Arrays]:
    """Give the arrays of each named scan of a folder, read back from the cache where they are there.

    Args:
        places: Where each scan lies, by name: a folder, or a file whose parts differ in their endings (MetaImage).
        folder: Its own files (table, masks) belong to every scan.
        settings: All that `make` reads beside the files.
        make: From a name to arrays by name.
        cache: Its folder, made where it is missing; None: everything is made anew.
    """
    items = [{"name": name, "key": _key(folder, place, settings) if cache else name} for name, place in places.items()]
    made = PersistentDataset(items, _Make(make), cache, hash_func=lambda item: item["key"].encode())
    for number in range(len(items)):
        yield {name: np.asarray(array) for name, array in made[number].items()}


def _key(folder: Path, place: Path, settings: Section) -> str:
    """SHA-256 over the scan's own files, those beside the scans, the settings and the source."""
    digest = hashlib.sha256(settings.model_dump_json().encode())
    package = Path(lung_nodules.__file__).parent
    makers = [path for pattern in MAKERS for path in package.glob(pattern)]
    root = place if place.is_dir() else place.parent
    own = root.rglob("*") if place.is_dir() else root.glob(f"{place.stem}.*")
    for base, paths in ((package, makers), (folder, folder.iterdir()), (root, own)):
        for path in sorted(path for path in paths if path.is_file()):
            digest.update(f"\0{path.relative_to(base)}\0".encode())
            with path.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()
