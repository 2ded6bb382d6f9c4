"""Files that are made when somebody asks for them: on disk, some at a time, and sent piece by piece.

A corrected SEG or a cohort of a large CT would else take as much memory as the process has, a few of them at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from lung_nodules.service.api.uploads.limits import full_disk_as_refusal
from lung_nodules.service.api.uploads.spool import Spool

PIECE_BYTES = 256 * 1024
_at_a_time = anyio.CapacityLimiter(2)  # each computes in a thread; who comes later waits without one


async def export(spool: Spool, name: str, media_type: str, write: Callable[[Path], None]) -> Response:
    """Make a file and send it.

    Args:
        spool: Gives the folder in which it is made.
        name: What the client is to call it.
        media_type: Of the file.
        write: Writes the file to a path; what it lays beside that goes too.

    Raises:
        UploadRefusal: 507 ``disk-full``.
        Refusal: What `write` raises.
    """
    file, num_bytes = await anyio.to_thread.run_sync(_make, spool, name, write, limiter=_at_a_time)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(num_bytes)}
    return _FileOnce(file, media_type, headers)


class _FileOnce(StreamingResponse):
    """Sends an open file, and closes it also where the client has gone before a byte was read."""

    def __init__(self, file: BinaryIO, media_type: str, headers: dict[str, str]) -> None:
        super().__init__(iter(partial(file.read, PIECE_BYTES), b""), media_type=media_type, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._file:
            await super().__call__(scope, receive, send)


def _make(spool: Spool, name: str, write: Callable[[Path], None]) -> tuple[BinaryIO, int]:
    """The file, opened: it has no name any more, and is gone when it is closed, whatever becomes of the client."""
    with spool.scratch() as folder, full_disk_as_refusal():
        path = folder / name
        write(path)
        return path.open("rb"), path.stat().st_size
