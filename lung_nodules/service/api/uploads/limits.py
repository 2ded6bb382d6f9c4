"""How much one upload may be, and what it is refused for."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from lung_nodules.errors import OutputRefusal, Refusal

MIB = 1024 * 1024


class UploadRefusal(Refusal):
    """An upload cannot be taken; it leaves nothing behind.

    Args:
        status: HTTP status.
        code: Stable reason.
        sentence: One sentence; never with a name of a file that was sent.
    """

    def __init__(self, status: int, code: str, sentence: str, advice: str = "") -> None:
        super().__init__(code, sentence, advice)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """What one upload may be.

    Attributes:
        max_bytes: As sent, and again as unpacked.
        max_files: Files in it.
        max_ratio: Unpacked to packed size, of a ZIP as a whole and of each larger member.
    """

    max_bytes: int
    max_files: int
    max_ratio: float

    def check_bytes(self, num_bytes: int) -> None:
        """Refuse what is too large with 413 ``upload-too-large``."""
        if num_bytes > self.max_bytes:
            sentence = f"The upload is larger than {self.max_bytes / MIB:.4g} MiB, which is what it may have now."
            raise UploadRefusal(413, "upload-too-large", sentence, "Send one study at a time, CT alone.")

    def check_files(self, num_files: int) -> None:
        """Refuse what is too much with 413 ``upload-too-many-files``."""
        if num_files > self.max_files:
            sentence = f"The upload holds more than {self.max_files} files."
            raise UploadRefusal(413, "upload-too-many-files", sentence, "Send one study at a time, CT alone.")


@contextmanager
def full_disk_as_refusal() -> Iterator[None]:
    """Call a full disk 507 ``disk-full``, whoever comes upon it."""
    try:
        yield
    except (OSError, OutputRefusal) as error:  # the latter of what is published as a folder
        cause = error.__cause__ if isinstance(error, OutputRefusal) else error
        if getattr(cause, "errno", None) not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise UploadRefusal(507, "disk-full", "The disk of the service is full.", "Try again later.") from error
