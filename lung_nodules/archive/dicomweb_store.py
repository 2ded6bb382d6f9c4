"""STOW-RS (PS3.18 10.5), one object a request and several in flight, files streamed as they are.

A status of 200 or 202 says little: the answer names what was refused, and only a query says what is there.
dicomweb-client holds all objects in memory, writes them anew and drops the answer of a refused request, hence our own.
"""

from __future__ import annotations

import io
import json
import re
import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import requests

from lung_nodules.archive.dicom_json import Item, number_of
from lung_nodules.archive.http_session import GuardedSession
from lung_nodules.archive.protocol import PushOutcome
from lung_nodules.archive.pushing import Stored, answer_or_code, confirm, read_keys
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DicomwebSettings

if TYPE_CHECKING:
    from lung_nodules.archive.protocol import Archive

_FAILED = "00081198"  # Failed SOP Sequence
_FAILED_IN_XML = re.compile(rb"""tag\s*=\s*["']00081198["']""")
_CONFLICT = (400, 409, 422)  # the answer says which object and why


def store_files(
    archive: Archive, session: GuardedSession, settings: DicomwebSettings, files: Sequence[Path]
) -> PushOutcome:
    """Store files, read each answer, and ask whether the objects are there.

    Raises:
        ArchiveRefusal: See `Archive.push`.
    """
    keys = read_keys(files)
    prefix = f"/{settings.stow_prefix}" if settings.stow_prefix else ""
    with ThreadPoolExecutor(settings.num_connections) as pool:
        futures = {
            key: pool.submit(
                lambda study=key.study_instance_uid, path=path: answer_or_code(  # type: ignore[misc]  # bound now
                    lambda: _store(session, f"{settings.url}{prefix}/studies/{study}", path), settings.retries
                )
            )
            for key, path in keys.items()
        }
        try:
            answers = {key: future.result() for key, future in futures.items()}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return confirm(archive, answers, settings.retries)


class _Body(io.RawIOBase):
    """One file as a multipart/related body, read from the disk as it is sent."""

    def __init__(self, path: Path, boundary: str) -> None:
        super().__init__()
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        self._parts = [io.BytesIO(head), path.open("rb"), io.BytesIO(f"\r\n--{boundary}--\r\n".encode())]
        self._length = len(head) + path.stat().st_size + len(boundary) + 8
        self._num_read = 0

    def __len__(self) -> int:
        return self._length

    def read(self, size: int = -1, /) -> bytes:
        """Give the next bytes of one of the parts; none at the end."""
        while self._parts:
            piece = self._parts[0].read(size)
            if piece:
                self._num_read += len(piece)
                return piece
            self._parts.pop(0).close()
        return b""

    def tell(self) -> int:
        """Bytes given so far; `requests` names the length of a body only where it can ask for this."""
        return self._num_read

    def close(self) -> None:
        """Close the file."""
        for part in self._parts:
            part.close()
        super().close()


def _store(session: GuardedSession, url: str, path: Path) -> Stored:
    boundary = secrets.token_hex(16)
    headers = {
        "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    with _Body(path, boundary) as body:
        request = requests.Request("POST", url, headers=headers, data=body)
        response = session.exchange(session.prepare_request(request), tolerated=_CONFLICT)
    return _read_answer(response)


def _read_answer(response: requests.Response) -> Stored:
    """What the archive says of the one object that was sent."""
    failed = _failed_of(response.content)
    if failed is not None:
        return Stored("push-rejected", number_of(failed, "FailureReason"))
    if response.status_code in _CONFLICT:
        raise ArchiveRefusal("bad-query", f"The archive does not accept the object (HTTP {response.status_code}).")
    return Stored()


def _failed_of(content: bytes) -> Item | None:
    """The first item of the Failed SOP Sequence, in JSON or, without its details, in XML; None where nothing failed."""
    try:
        answer = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError):
        return {} if _FAILED_IN_XML.search(content) else None
    answer = next(iter(answer), {}) if isinstance(answer, list) else answer
    element = answer.get(_FAILED) if isinstance(answer, dict) else None
    items = element.get("Value") if isinstance(element, dict) else None
    if not isinstance(items, list) or not items:
        return None
    return items[0] if isinstance(items[0], dict) else {}
