"""Whose an instance is, out of its beginning: patient and study stand far before the pixels, which need not come."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable, Iterator

import pydicom
from pydicom.filereader import read_dataset, read_partial
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from lung_nodules.archive.protocol import InstanceKey
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.settings import InstancesSettings
from lung_nodules.stages.dicom_file import MIB, quiet_pydicom
from lung_nodules.stages.study import IDENTITY_KEYWORDS

_LIMITS = InstancesSettings()
MAX_HEAD_BYTES = _LIMITS.max_header_mib * MIB
_UID_NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_WANTED: list[int] = [Tag(keyword) for keyword in (*_UID_NAMES, *IDENTITY_KEYWORDS)]
_LAST_TAG = max(_WANTED)
_SNIFFED_BYTES = 1024  # holds preamble and file meta information


def read_identity_of(chunks: Iterable[bytes], key: InstanceKey) -> pydicom.Dataset:
    """Read patient and study of an instance as it comes, and no further than that takes.

    Args:
        chunks: The instance as a DICOM file (PS3.10), in pieces.
        key: Which one it has to be.

    Returns:
        The elements `IDENTITY_KEYWORDS` and the three UIDs; what the instance does not have is missing.

    Raises:
        ArchiveRefusal: ``archive-bad-answer`` where it ends too early, is no DICOM file or is another instance. What
            `chunks` raises passes through.
    """
    with quiet_pydicom():
        header = next((found for head in _growing(chunks) if (found := _read_beginning(head)) is not None), None)
        if header is None:
            raise ArchiveRefusal("archive-bad-answer", "The archive sent what does not tell whose instance it is.")
        if InstanceKey(*(str(header.get(name) or "") for name in _UID_NAMES)) != key:
            raise ArchiveRefusal("archive-bad-answer", "The archive sent another instance than the one asked for.")
    return header


def _growing(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The beginning of a file, twice as much of it each time or more, and the whole at last."""
    head = bytearray()
    next_size = 1
    for chunk in chunks:
        head += chunk
        if len(head) >= next_size:
            yield bytes(head)
            next_size = 2 * len(head)
    yield bytes(head)


def _read_beginning(head: bytes) -> pydicom.Dataset | None:
    """The elements that are wanted; None where more of the file is needed to know them, or it is damaged."""
    is_past = False

    def is_past_wanted(tag: int, _vr: str | None, _length: int) -> bool:
        nonlocal is_past
        is_past = tag > _LAST_TAG
        return is_past

    try:
        if head[128:132] == b"DICM" and DeflatedExplicitVRLittleEndian.encode() in head[:_SNIFFED_BYTES]:
            plain = io.BytesIO(_inflate_beginning(head))
            header = read_dataset(plain, False, True, stop_when=is_past_wanted, specific_tags=_WANTED)
        else:
            header = read_partial(io.BytesIO(head), is_past_wanted, force=True, specific_tags=_WANTED)
    except Exception:  # pydicom lets struct, value, key and type errors of a file that breaks off through
        return None
    return header if is_past else None


def _inflate_beginning(head: bytes) -> bytes:
    """As much of a deflated data set (PS3.5 A.5) as has come, within the limit."""
    begin = 144 + int.from_bytes(head[140:144], "little")  # behind the file meta information, which tells its length
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(head[begin:], _LIMITS.max_inflated_mib * MIB)
