"""The folder of one upload: numbered files, counted as they are written."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from lung_nodules.service.api.uploads.limits import Limits


class UploadFolder:
    """Takes the files of an upload in the order in which they come, as ``000000.dcm`` and so on.

    Names that a client gives never reach the disk: they may be patients' names, or lead out of the folder.

    Args:
        path: An empty folder.
        limits: What it may hold.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self.limits = limits
        self.num_files = 0
        self.num_bytes = 0

    def reserve(self, num_bytes: int) -> None:
        """Ask for room for so many bytes on the disk in all, before they are written; here there is no end of it."""

    def open_next(self) -> BinaryIO:
        """Begin a file.

        Raises:
            UploadRefusal: ``upload-too-many-files``.
        """
        self.limits.check_files(self.num_files + 1)
        path = self.path / f"{self.num_files:06d}.dcm"
        self.num_files += 1
        return path.open("xb")

    def write(self, file: BinaryIO, data: bytes | memoryview) -> None:
        """Go on with a file.

        Raises:
            UploadRefusal: ``upload-too-large``.
        """
        self.num_bytes += len(data)
        self.limits.check_bytes(self.num_bytes)
        file.write(data)

    def files(self) -> list[Path]:
        """The files so far, in their order."""
        return [self.path / f"{number:06d}.dcm" for number in range(self.num_files)]
