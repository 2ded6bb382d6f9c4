"""How much one upload may be, and what it is refused for."""

from __future__ import annotations

from dataclasses import dataclass

from lung_nodules.errors import Refusal

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
