"""Bodies of type multipart/related (RFC 2387), passed on as they come.

Our own because an instance can be larger than memory allows, and because an answer that breaks off has to be told from
a whole one: dicomweb-client holds each part in memory and does not ask for the closing delimiter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from email.message import Message

from lung_nodules.archive.refusals import ArchiveRefusal

_MAX_HEAD_BYTES = 64 * 1024


def boundary_of(content_type: str) -> bytes | None:
    """The boundary of a multipart body; None where it is a single part, or names no boundary."""
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_maintype() != "multipart":
        return None
    boundary = message.get_boundary()
    return boundary.encode("latin-1") if boundary else None


def iterate_first_part(chunks: Iterable[bytes], boundary: bytes) -> Iterator[bytes]:
    """Give the content of the first part in pieces, and read on to the closing delimiter.

    Raises:
        ArchiveRefusal: ``archive-bad-answer`` where there is no part, or the closing delimiter is missing;
            what came until then was given already.
    """
    source = iter(chunks)
    delimiter = b"\r\n--" + boundary
    data = _skip_head(source, boundary)
    while (index := data.find(delimiter)) < 0:
        keep = len(delimiter) - 1  # a delimiter may straddle two pieces
        if len(data) > keep:
            yield data[:-keep]
            data = data[-keep:]
        data += _next_piece(source)
    yield data[:index]
    _read_to_end(data[index:], source, delimiter + b"--")


def _skip_head(source: Iterator[bytes], boundary: bytes) -> bytes:
    """Read past the first delimiter and the headers of the part; the beginning of its content."""
    head = b""
    while True:
        begin = head.find(b"--" + boundary)
        end = head.find(b"\r\n\r\n", begin) if begin >= 0 else -1
        if end >= 0:
            return head[end + 4 :]
        if len(head) > _MAX_HEAD_BYTES:
            raise _broken_off()
        head += _next_piece(source)


def _read_to_end(data: bytes, source: Iterator[bytes], closing: bytes) -> None:
    """Read what is left; the closing delimiter has to be in it."""
    is_closed = closing in data
    for piece in source:
        data = data[-len(closing) :] + piece
        is_closed = is_closed or closing in data
    if not is_closed:
        raise _broken_off()


def _next_piece(source: Iterator[bytes]) -> bytes:
    piece = next(source, None)
    if piece is None:
        raise _broken_off()
    return piece


def _broken_off() -> ArchiveRefusal:
    return ArchiveRefusal("archive-bad-answer", "An answer of the archive broke off.")
