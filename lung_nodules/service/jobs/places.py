"""Folders of a job other than its results."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import UUID


def work_folder(data_folder: Path, job_id: UUID) -> Path:
    """Where the study of a job lies while it is read."""
    return data_folder / "work" / str(job_id)


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


def remove_upload(data_folder: Path, path: str) -> None:
    """Take an upload out of the spool."""
    shutil.rmtree(upload_folder(data_folder, path), ignore_errors=True)
