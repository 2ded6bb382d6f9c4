"""Where the files of a job are.

`results/<job>/` holds what the line has written, `preview/` for the page, and `origin.json`, which says of which
content and models they are. The folder appears at once, by one rename, so that files in it are complete.
"""

from __future__ import annotations

import json
import mimetypes
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from lung_nodules.publication import LAST_NAME
from lung_nodules.service.jobs.model import Frozen, JobSummary

ORIGIN = "origin.json"
PREVIEW = "preview"
MEDIA_TYPES = {".dcm": "application/dicom", ".json": "application/json", ".png": "image/png", ".pdf": "application/pdf"}


@dataclass(frozen=True)
class ResultFile:
    """One file that a user may have."""

    name: str
    media_type: str
    num_bytes: int


class Origin(Frozen):
    """What results were made of, and what they come to."""

    content_hash: str
    models_hash: str
    summary: JobSummary


class ResultFolder:
    """The results of one job; all names that it takes are checked against what it lists.

    Args:
        data_folder: The service's.
        job_id: The job; of a duplicate, the one that it is a duplicate of.
    """

    def __init__(self, data_folder: Path, job_id: UUID) -> None:
        self.folder = data_folder / "results" / str(job_id)

    @property
    def preview(self) -> Path:
        """`meta.json`, `slices/` and `labels/`, see `lung_nodules.service.preview`."""
        return self.folder / PREVIEW

    def exists(self) -> bool:
        """Whether there are results, which are complete then."""
        return (self.folder / LAST_NAME).is_file()

    def report(self) -> dict[str, Any]:
        """The report.

        Raises:
            FileNotFoundError: There are no results.
        """
        report: dict[str, Any] = json.loads((self.folder / LAST_NAME).read_bytes())
        return report

    def files(self) -> Sequence[ResultFile]:
        """The files that a user may have, by name; the preview is not among them."""
        if not self.folder.is_dir():
            return ()
        paths = sorted(path for path in self.folder.iterdir() if path.is_file() and path.name != ORIGIN)
        return tuple(ResultFile(path.name, _media_type(path), path.stat().st_size) for path in paths)

    def path(self, name: str) -> Path:
        """Where a listed file is.

        Raises:
            FileNotFoundError: It is not listed, whatever else may be found under that name.
        """
        if name not in {file.name for file in self.files()}:
            raise FileNotFoundError(name)
        return self.folder / name

    def origin(self) -> Origin | None:
        """What the results were made of; None where there are none."""
        try:
            return Origin.model_validate_json((self.folder / ORIGIN).read_bytes())
        except (OSError, ValueError):
            return None

    def take(self, staging: Path) -> None:
        """Put staged results in the place of older ones; nothing where that was done already.

        Raises:
            FileNotFoundError: There is neither.
        """
        if not staging.is_dir() and self.exists():
            return
        self.remove()
        staging.rename(self.folder)

    def remove(self) -> None:
        """Take the results away: out of sight at once, then from the disk."""
        doomed = self.folder.with_name(f".{self.folder.name}.{secrets.token_hex(4)}")
        try:
            self.folder.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)


def _media_type(path: Path) -> str:
    return MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
