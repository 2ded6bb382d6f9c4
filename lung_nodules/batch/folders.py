"""From a folder to the studies in it, whatever its sub-folders look like.

Two ways: by headers (any tree; each file is looked at once, at the start) and by folder (each sub-folder is one study,
nothing is read before its turn; for cohorts so large that listing them is a matter of hours).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lung_nodules.batch.plan import BatchStudy, name_of
from lung_nodules.errors import UsageRefusal
from lung_nodules.progress import Progress
from lung_nodules.settings import Settings
from lung_nodules.stages.dicom_file import UnreadableFileError, quiet_pydicom, read_header
from lung_nodules.stages.identifiers import digest_text
from lung_nodules.stages.study import digest_identity

_IDENTITY = ("StudyInstanceUID", "SOPInstanceUID")
_COMPANIONS = (".json", ".csv", ".txt", ".md", ".ds_store")

# Study Instance UID; SOP Instance UID with whose it is; both empty where a file is no DICOM instance
Identity = tuple[str, str]


def list_folders(root: Path) -> list[BatchStudy]:
    """Take each sub-folder for one study, without a look into it.

    Raises:
        UsageRefusal: ``no-studies``.
    """
    names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise UsageRefusal("no-studies", "The folder has no sub-folders, and with --by-folder each is a study.")
    return [BatchStudy(name_of(name), name, folder=root / name) for name in names]


def group_by_headers(root: Path, settings: Settings, progress: Progress) -> list[BatchStudy]:
    """Group everything under a folder by its Study Instance UID.

    A sub-folder of `root` in which there is no DICOM instance is a study, too: the line says what is wrong with it.

    Raises:
        UsageRefusal: ``no-studies``.
    """
    paths = sorted(_walk(root))
    with progress.stage("headers", len(paths)) as advance:
        identities = dict(zip(paths, read_identities(paths, settings, advance), strict=True))
    by_study: dict[str, list[Path]] = defaultdict(list)
    for path, (study_instance_uid, _) in identities.items():
        if study_instance_uid:
            by_study[study_instance_uid].append(path)
    studies = [_study_of(uid, files, identities, root) for uid, files in by_study.items()]
    studies += [BatchStudy(name_of(name), name, folder=root / name) for name in _unreadable_folders(identities, root)]
    if not studies:
        raise UsageRefusal("no-studies", "There is no DICOM file under the folder.")
    return sorted(studies, key=lambda study: study.source)


def content_of_files(paths: Iterable[Path], settings: Settings) -> tuple[str, frozenset[str]]:
    """What a study holds: the SHA-256 of its instances and whose they are, and the Study Instance UIDs that were met.

    Files without DICOM count, by name and size, where there is nothing else.
    """
    files = sorted(paths)
    identities = list(read_identities(files, settings))
    instances = sorted(sop for study, sop in identities if study)
    content = instances or [f"{path.name} {path.stat().st_size}" for path in files]
    return digest_text(content), frozenset(study for study, _ in identities if study)


def files_of(study: BatchStudy) -> list[Path]:
    """The files of a study that lies on this machine."""
    return list(_walk(study.folder)) if study.folder else list(study.files)


def read_identities(paths: Iterable[Path], settings: Settings, advance: object = None) -> Iterator[Identity]:
    """What each file is, several at a time, in the order of `paths`."""
    with quiet_pydicom(), ThreadPoolExecutor(settings.instances.num_threads) as pool:
        for identity in pool.map(lambda path: _read_identity(path, settings), paths):
            if callable(advance):
                advance(1)
            yield identity


def _read_identity(path: Path, settings: Settings) -> Identity:
    try:
        header, _ = read_header(path, settings.instances)
        study, instance = (str(header.get(keyword) or "") for keyword in _IDENTITY)
    except (UnreadableFileError, OSError):
        return "", ""
    return (study, f"{instance} {digest_identity(header)}") if study and instance else ("", "")


def _walk(root: Path) -> Iterator[Path]:
    """Every file but companions known by their names; links are not followed, as in the line."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if name != "DICOMDIR" and not name.lower().endswith(_COMPANIONS) and not path.is_symlink():
                yield path


def _study_of(uid: str, files: list[Path], identities: Mapping[Path, Identity], root: Path) -> BatchStudy:
    """A study with its folder, where that holds no other one, else with its files."""
    home = Path(os.path.commonpath([path.parent for path in files]))
    inside = f"{home}{os.sep}"
    is_alone = all(study in ("", uid) for path, (study, _) in identities.items() if str(path).startswith(inside))
    source = home.relative_to(root).as_posix()
    if is_alone:
        return BatchStudy(name_of(uid), source, uid, folder=home)
    return BatchStudy(name_of(uid), source, uid, files=tuple(files))


def _unreadable_folders(identities: Mapping[Path, Identity], root: Path) -> list[str]:
    readable: dict[str, bool] = {}
    for path, (study, _) in identities.items():
        top = path.relative_to(root).parts[0]
        if path.parent != root:
            readable[top] = readable.get(top, False) or bool(study)
    return sorted(name for name, is_readable in readable.items() if not is_readable)
