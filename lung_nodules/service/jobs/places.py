"""Folders of jobs and of attempts other than the results.

What an attempt writes bears the name of its lease, so that a worker that was taken for lost and writes on meddles with
nobody: its files never get the job's name, and are taken away (`remains`).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID

RECEIVED = "listener/complete"  # below the spool, what a listener hands over


def work_folder(data_folder: Path, lease: UUID) -> Path:
    """Where an attempt fetches its study to."""
    return data_folder / "work" / str(lease)


def staging_folder(data_folder: Path, lease: UUID) -> Path:
    """Where an attempt writes its results, beside those that they become."""
    return data_folder / "results" / f".{lease}"


def remove_attempt(data_folder: Path, lease: UUID) -> None:
    """Take away what an attempt has written for itself."""
    for folder in (work_folder(data_folder, lease), staging_folder(data_folder, lease)):
        shutil.rmtree(folder, ignore_errors=True)


def upload_folder(data_folder: Path, path: str) -> Path:
    """Where an upload lies in the spool.

    Raises:
        ValueError: The path leads out of the spool.
    """
    spool = (data_folder / "spool").resolve()
    folder = (spool / path).resolve()
    if not folder.is_relative_to(spool) or folder == spool:
        raise ValueError("the path leads out of the spool")
    return folder


def list_uploads(data_folder: Path) -> list[str]:
    """The uploads that are in the spool, as the sources of jobs name them."""
    spool = data_folder / "spool"
    folders = [*spool.glob("*"), *(spool / RECEIVED).glob("*")]
    return [path.relative_to(spool).as_posix() for path in folders if path.is_dir()]


def remove_upload(data_folder: Path, path: str) -> None:
    """Take an upload out of the spool."""
    shutil.rmtree(upload_folder(data_folder, path), ignore_errors=True)
