"""A folder of DICOM files as an archive: for a study on a disk, for tests, for results that stay on this machine.

Files are known by what is in them, at any depth, and never written over; links are not followed.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

import pydicom

from lung_nodules.archive.cache import link_or_copy
from lung_nodules.archive.dicom_json import date_of
from lung_nodules.archive.http_session import CHUNK_BYTES
from lung_nodules.archive.naming import check_uid, hash_uid
from lung_nodules.archive.protocol import InstanceKey, InstanceSink, PushOutcome, SeriesEntry, StudyEntry, StudyQuery
from lung_nodules.archive.pushing import Stored, confirm, read_keys
from lung_nodules.archive.queries import check_query, does_match
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import FolderSettings, RetrySettings
from lung_nodules.settings import InstancesSettings
from lung_nodules.stages.dicom_file import UnreadableFileError, quiet_pydicom, read_header
from lung_nodules.stages.study import read_int, read_text

_LIMITS = InstancesSettings()
_NUM_THREADS = 8

Signature = tuple[str, int, int]  # path, size, time of last change in ns


@dataclass(frozen=True)
class _File:
    path: Path
    header: pydicom.Dataset
    key: InstanceKey


class FolderArchive:
    """See `Archive`.

    Args:
        settings: The folder.
        name: Its name in the settings.
    """

    def __init__(self, settings: FolderSettings, name: str) -> None:
        self.name = name
        self._root = settings.path
        self._known: dict[Signature, _File | None] = {}

    def check(self) -> None:
        """See `Archive.check`."""
        if not self._root.is_dir():
            raise ArchiveRefusal("archive-unreachable", "The folder of the archive does not exist.")

    def find_studies(self, query: StudyQuery) -> Iterator[StudyEntry]:
        """See `Archive.find_studies`."""
        check_query(query)
        by_study: dict[str, list[_File]] = defaultdict(list)
        for file in self._files():
            by_study[file.key.study_instance_uid].append(file)
        entries = (_describe_study(uid, files) for uid, files in sorted(by_study.items()))
        yield from islice((entry for entry in entries if does_match(entry, query)), query.max_num_studies)

    def find_series(self, study_instance_uid: str) -> Sequence[SeriesEntry]:
        """See `Archive.find_series`."""
        by_series: dict[str, list[_File]] = defaultdict(list)
        for file in self._files_of(check_uid(study_instance_uid)):
            by_series[file.key.series_instance_uid].append(file)
        if not by_series:
            raise ArchiveRefusal("study-not-found", "The archive holds no such study.")
        return [_describe_series(files) for _, files in sorted(by_series.items())]

    def find_instances(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[str]:
        """See `Archive.find_instances`."""
        files = self._files_of(check_uid(study_instance_uid), check_uid(series_instance_uid))
        return sorted({file.key.sop_instance_uid for file in files})

    def read_headers(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[pydicom.Dataset]:
        """See `Archive.read_headers`."""
        return [_tell(file.header) for file in self._files_of(study_instance_uid, series_instance_uid)]

    def read_identity(self, key: InstanceKey) -> pydicom.Dataset:
        """See `Archive.read_identity`."""
        files = self._files_of(key.study_instance_uid, key.series_instance_uid)
        found = next((file for file in files if file.key == key), None)
        if found is None:
            raise ArchiveRefusal("archive-short-count", "An instance of the folder is gone.")
        return found.header

    def fetch_series(self, study_instance_uid: str, series_instance_uid: str, into: InstanceSink) -> int:
        """See `Archive.fetch_series`."""
        files = self._files_of(check_uid(study_instance_uid), check_uid(series_instance_uid))
        by_key = {file.key: file.path for file in files}
        if not by_key:
            raise ArchiveRefusal("series-not-found", "The archive holds no such series.")
        for key, path in by_key.items():
            if not into.holds(key):
                with path.open("rb") as file:
                    into.receive(key, iter(lambda file=file: file.read(CHUNK_BYTES), b""))  # type: ignore[misc]
        return len(by_key)

    def push(self, files: Sequence[Path]) -> PushOutcome:
        """See `Archive.push`."""
        keys = read_keys(files)
        for key, path in keys.items():
            target = self._root / hash_uid(key.study_instance_uid) / f"{hash_uid(key.sop_instance_uid)}.dcm"
            try:
                if not target.exists():
                    link_or_copy(path, target)
            except OSError as error:
                raise ArchiveRefusal("archive-error", "The folder of the archive cannot be written to.") from error
        return confirm(self, dict.fromkeys(keys, Stored()), RetrySettings(max_tries=1))

    def close(self) -> None:
        """See `Archive.close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _files_of(self, study: str, series: str | None = None) -> list[_File]:
        return [
            file
            for file in self._files()
            if file.key.study_instance_uid == study and series in (None, file.key.series_instance_uid)
        ]

    def _files(self) -> list[_File]:
        """Every DICOM object below the folder; only files that are new or changed are opened."""
        self.check()
        listed = list(_walk(self._root))
        fresh = [signature for signature in listed if signature not in self._known]
        with quiet_pydicom(), ThreadPoolExecutor(_NUM_THREADS) as pool:
            self._known.update(zip(fresh, pool.map(_read, fresh), strict=True))
        self._known = {signature: self._known[signature] for signature in listed}
        return [file for file in self._known.values() if file is not None]


def _walk(root: Path) -> Iterator[Signature]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                status = path.stat()
                yield str(path), status.st_size, status.st_mtime_ns


def _read(signature: Signature) -> _File | None:
    """Read one header; None where the file is no DICOM object."""
    path = Path(signature[0])
    try:
        header, _ = read_header(path, _LIMITS)
    except (UnreadableFileError, OSError):
        return None
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    uids = [read_text(header, name) or "" for name in names]
    return _File(path, header, InstanceKey(*uids)) if all(uids) else None


def _tell(header: pydicom.Dataset) -> pydicom.Dataset:
    """A header as an archive would tell it, its transfer syntax among its elements."""
    told = copy(header)
    told.AvailableTransferSyntaxUID = header.file_meta.TransferSyntaxUID
    return told


@quiet_pydicom()
def _describe_study(uid: str, files: Sequence[_File]) -> StudyEntry:
    return StudyEntry(
        study_instance_uid=uid,
        study_date=date_of(_first_told(files, "StudyDate")),
        study_time=_first_told(files, "StudyTime"),
        modalities=tuple(sorted({read_text(file.header, "Modality") or "" for file in files} - {""})),
        description=_first_told(files, "StudyDescription"),
        num_series=len({file.key.series_instance_uid for file in files}),
        num_instances=len({file.key for file in files}),
        patient_id=_first_told(files, "PatientID"),
        patient_name=_first_told(files, "PatientName"),
        accession_number=_first_told(files, "AccessionNumber"),
        study_id=_first_told(files, "StudyID"),
    )


def _first_told(files: Sequence[_File], keyword: str) -> str:
    """An element of the first file that has it; empty where none has."""
    return next((text for file in files if (text := read_text(file.header, keyword))), "")


@quiet_pydicom()
def _describe_series(files: Sequence[_File]) -> SeriesEntry:
    first = files[0]
    return SeriesEntry(
        study_instance_uid=first.key.study_instance_uid,
        series_instance_uid=first.key.series_instance_uid,
        modality=read_text(first.header, "Modality") or "",
        series_number=read_int(first.header, "SeriesNumber"),
        description=read_text(first.header, "SeriesDescription") or "",
        num_instances=len({file.key for file in files}),
    )
