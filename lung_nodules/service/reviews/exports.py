"""Files that are made when somebody asks for them: on disk, some at a time, and sent piece by piece.

A corrected SEG or a cohort of a large CT would else take as much memory as the process has, a few of them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread
from starlette.responses import Response, StreamingResponse

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
        Refusal: What `write` raises.
    """
    file, num_bytes = await anyio.to_thread.run_sync(_make, spool, name, write, limiter=_at_a_time)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Length": str(num_bytes)}
    return StreamingResponse(_pieces(file), media_type=media_type, headers=headers)


def _make(spool: Spool, name: str, write: Callable[[Path], None]) -> tuple[BinaryIO, int]:
    """The file, opened: it has no name any more, and is gone when it is closed, whatever becomes of the client."""
    with spool.scratch() as folder:
        path = folder / name
        write(path)
        return path.open("rb"), path.stat().st_size


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):
            yield piece
