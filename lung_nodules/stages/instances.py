"""From a folder to the headers of everything in it.

Files are found at any depth, known by what is in them and never by their names, and read up to their pixel data,
several at a time. What is not an image is passed over with a coded reason. Nothing depends on the order in which
the file system lists its files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import UID

from lung_nodules.errors import UsageRefusal
from lung_nodules.settings import InstancesSettings, Settings
from lung_nodules.stages.dicom_file import UnreadableFileError, quiet_pydicom, read_header, read_header_whole
from lung_nodules.stages.multiframe import is_multiframe_ct, split_frames
from lung_nodules.stages.survey import SURVEY_FILE, Survey, read_survey

# files passed over for these reasons were meant to be images
UNREADABLE_CODES = ("too-large", "too-complex", "damaged-file")

_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"  # Media Storage Directory Storage
# companions that gateways and systems write beside images, by name and never opened; lower case
_COMPANION_SUFFIXES = frozenset({".json", ".ds_store"})
_COMPANION_NAMES = frozenset({".ds_store", "thumbs.db"})


@dataclass(frozen=True)
class Instance:
    """One DICOM image, its header read and its pixels left on disk."""

    path: Path
    header: pydicom.Dataset  # file meta included; no pixel data, no element above the size limit
    frame: int = 0  # index in a multi-frame file; its functional groups lie flat in the header
    has_file: bool = True  # False: the header alone is known, as an archive tells it, and nothing lies at the path


@dataclass(frozen=True)
class PassedOver:
    """A file that is not an image of a cross-section, and why it was left aside."""

    path: Path  # relative to the input folder
    code: str
    sentence: str


@dataclass(frozen=True)
class Instances:
    """Everything that was found under the input folder."""

    found: tuple[Instance, ...]
    passed_over: tuple[PassedOver, ...]
    survey: Survey | None = None  # of the archive that the study was fetched from


def read_instances(folder: Path, settings: Settings) -> Instances:
    """Read the headers of all DICOM images under a folder, or of one file.

    Symbolic links below the folder are not followed: they could lead out of it or count a slice twice.

    Args:
        folder: The folder, or a single file.
        settings: The run's settings; `InstancesSettings` holds the limits.

    Returns:
        The images, in the order of their paths, and the files passed over: ``non-dicom-ignored`` (a companion known
        by its name), ``not-dicom``, ``no-images`` (DICOM without pixels), ``symbolic-link``, ``damaged-file``,
        ``too-large`` or ``too-complex``.

    Raises:
        UsageRefusal: ``input-not-found`` when there is no such folder or file.
    """
    if not folder.exists():
        raise UsageRefusal("input-not-found", "The input folder does not exist.")
    root = folder if folder.is_dir() else folder.parent
    found: list[Instance] = []
    passed_over: list[PassedOver] = []
    readable: list[Path] = []
    for path, problem in _list_files(folder, settings.instances):
        if problem is None:
            readable.append(path)
        else:
            passed_over.append(PassedOver(path.relative_to(root), problem.code, problem.sentence))
    with quiet_pydicom(), ThreadPoolExecutor(settings.instances.num_threads) as pool:
        results = pool.map(lambda path: _read_or_problem(path, settings.instances), readable)
        for path, result in zip(readable, results, strict=True):
            if isinstance(result, UnreadableFileError):
                passed_over.append(PassedOver(path.relative_to(root), result.code, result.sentence))
            else:
                found.extend(result)
    ordered = tuple(sorted(passed_over, key=lambda file: os.fspath(file.path)))
    return Instances(tuple(found), ordered, read_survey(root) if folder.is_dir() else None)


def _list_files(folder: Path, settings: InstancesSettings) -> list[tuple[Path, UnreadableFileError | None]]:
    """List the files under a folder, by path, each with the reason not to open it if there is one."""
    if not folder.is_dir():
        return [(folder, None)]
    listed: list[tuple[Path, UnreadableFileError | None]] = []
    for entry, depth in _walk(folder):
        if depth == 1 and entry.name == SURVEY_FILE:
            continue
        listed.append((Path(entry.path), _reason_not_to_open(entry, depth, settings)))
        if len(listed) > settings.max_num_files:
            raise UsageRefusal(
                "too-many-files",
                f"The input folder holds more than {settings.max_num_files} files.",
                "Give the folder of one study.",
            )
    return sorted(listed, key=lambda item: os.fspath(item[0]))


def _walk(folder: Path) -> Iterator[tuple[os.DirEntry[str], int]]:
    """Yield each file with the number of folders that it lies in, without recursion and without following links."""
    waiting = [(os.fspath(folder), 1)]
    while waiting:
        path, depth = waiting.pop()
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, depth + 1))
                else:
                    yield entry, depth


def _reason_not_to_open(entry: os.DirEntry[str], depth: int, settings: InstancesSettings) -> UnreadableFileError | None:
    """Give the reason to pass over a file without opening it; None where it is to be read."""
    name = entry.name.lower()
    if entry.is_symlink():
        return UnreadableFileError("symbolic-link", "A symbolic link; links are not followed.")
    if not entry.is_file(follow_symlinks=False):
        return UnreadableFileError("not-dicom", "Not a regular file.")
    if name in _COMPANION_NAMES or name.endswith(tuple(_COMPANION_SUFFIXES)):
        return UnreadableFileError("non-dicom-ignored", "A companion file, known by its name.")
    if name == "dicomdir":
        return UnreadableFileError("no-images", "A media directory; the files themselves are read.")
    if depth > settings.max_folder_depth:
        return UnreadableFileError("too-complex", "The file lies in too many nested folders.")
    return None


def _read_or_problem(path: Path, settings: InstancesSettings) -> list[Instance] | UnreadableFileError:
    """Read the image or images of one file; a thread's exceptions come back as values."""
    try:
        return _read_images(path, settings)
    except UnreadableFileError as problem:
        return problem
    except OSError as error:
        return UnreadableFileError(
            "damaged-file", f"The file cannot be opened: {error.strerror or 'input/output error'}."
        )


def _read_images(path: Path, settings: InstancesSettings) -> list[Instance]:
    """Read one file's header; one instance, or one a frame of a multi-frame CT.

    Raises:
        UnreadableFileError: The file is not an image within the limits.
    """
    header, has_pixels = read_header(path, settings)
    if header.get("SOPClassUID") == _MEDIA_DIRECTORY or "DirectoryRecordSequence" in header:
        raise UnreadableFileError("no-images", "A media directory; the files themselves are read.")
    if "SOPClassUID" not in header and "Modality" not in header:
        raise UnreadableFileError("not-dicom", "The file is not DICOM, or only a fragment of it.")
    if not has_pixels:
        if "Image Storage" in UID(str(header.get("SOPClassUID") or "")).name:
            raise UnreadableFileError("damaged-file", "The file ends before its pixel data.")
        raise UnreadableFileError("no-images", "A DICOM object without an image.")
    _check_declared_size(header, settings)
    if not is_multiframe_ct(header):
        return [Instance(path, header)]
    try:
        frames = split_frames(read_header_whole(path, settings))
    except (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise UnreadableFileError("damaged-file", "The functional groups of the frames cannot be read.") from error
    return [Instance(path, frame_header, frame) for frame, frame_header in enumerate(frames)]


def _check_declared_size(header: pydicom.Dataset, settings: InstancesSettings) -> None:
    """Hold what the header declares against the limit, so that nobody allocates it."""
    try:
        num_pixels = int(header.get("Rows") or 0) * int(header.get("Columns") or 0)
    except (TypeError, ValueError) as error:
        raise UnreadableFileError("damaged-file", "Rows or Columns is not a number.") from error
    if num_pixels > settings.max_plane_megapixels * 1_000_000:
        raise UnreadableFileError("too-large", "The image declares more pixels than the limit.")
