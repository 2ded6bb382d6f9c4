"""Whether a file that arrived is the whole of the instance that was asked for.

What breaks off on the way can look like a DICOM file: its header is there, its pixels are not. Transport does not
always tell (an answer without a length that ends early), so the file itself is held against what it declares.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pydicom
from pydicom.filereader import read_partial
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from lung_nodules.archive.protocol import InstanceKey
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.settings import InstancesSettings
from lung_nodules.stages.dicom_file import UnreadableFileError, quiet_pydicom, read_header

_PREAMBLE = 128
_LIMITS = InstancesSettings()
_UID_NAMES = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_NO_TAGS = [0x00080018]  # an element to keep has to be named, or all are kept
_UNDEFINED = 0xFFFFFFFF
_DELIMITER = bytes.fromhex("feffdde0")  # Sequence Delimitation Item, which ends encapsulated pixel data
_SEARCHED_BYTES = 4096  # behind the sequence delimiter nothing but trailing padding may stand
_PIXEL_VRS = (b"OB", b"OW", b"OF", b"OD")
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


def read_key(path: Path) -> InstanceKey:
    """Which instance a file holds.

    Raises:
        ArchiveRefusal: ``archive-bad-answer`` where the file cannot be read as DICOM.
    """
    return _key_of(_read_header(path)[0])


def read_whole(path: Path) -> InstanceKey:
    """Which instance a file holds, once it is known to be whole.

    Raises:
        ArchiveRefusal: ``archive-bad-answer``.
    """
    header, has_pixels = _read_header(path)
    key = _key_of(header)
    if not all((key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid)):
        raise ArchiveRefusal("archive-bad-answer", "An instance came without its UIDs.")
    is_image = "Image Storage" in UID(str(header.get("SOPClassUID") or "")).name
    if is_image > has_pixels or not _ends_as_declared(path, header):
        raise ArchiveRefusal("archive-bad-answer", "An instance came that ends before its pixel data does.")
    return key


def check_received(path: Path, key: InstanceKey) -> None:
    """Check that a file is whole and holds the instance `key`.

    Raises:
        ArchiveRefusal: ``archive-bad-answer``.
    """
    if read_whole(path) != key:
        raise ArchiveRefusal("archive-bad-answer", "The archive sent another instance than the one asked for.")


def without_preamble(head: bytes) -> bytes:
    """Blank the 128 bytes in which another kind of file can hide (CVE-2019-11687).

    Args:
        head: The beginning of a file, 132 bytes or more unless the file is shorter.
    """
    if head[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        return head
    return bytes(_PREAMBLE) + head[_PREAMBLE:]


def _key_of(header: pydicom.Dataset) -> InstanceKey:
    return InstanceKey(*(str(header.get(name) or "") for name in _UID_NAMES))


def _ends_as_declared(path: Path, header: pydicom.Dataset) -> bool:
    """Whether the pixel data, where there is any, ends within the file.

    Deflated files are not looked into: to inflate one that broke off fails where it is read.
    """
    if header.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return True
    with quiet_pydicom(), path.open("rb") as file:
        try:
            read_partial(file, lambda tag, _vr, _length: tag in _PIXEL_TAGS, 1024, True, _NO_TAGS)
        except Exception:  # pydicom lets struct, value, key and type errors of a damaged file through
            return False
        position, size = file.tell(), path.stat().st_size
        if position >= size:
            return True
        file.seek(position)
        length, begin = _read_length(file.read(12))
        if length == _UNDEFINED:
            file.seek(max(position, size - _SEARCHED_BYTES))
            return _DELIMITER in file.read()
        return position + begin + length <= size


def _read_length(head: bytes) -> tuple[int, int]:
    """Length of the value and where it begins, from the first twelve bytes of pixel data (PS3.5 7.1).

    The bytes themselves tell how they are encoded, and some files declare it wrongly: ``O`` as the low byte of an
    implicit length would make it odd, which no length is.
    """
    order: Literal["little", "big"] = "big" if head[:2] == b"\x7f\xe0" else "little"
    if head[4:6] in _PIXEL_VRS:
        return int.from_bytes(head[8:12], order), 12
    return int.from_bytes(head[4:8], order), 8


def _read_header(path: Path) -> tuple[pydicom.Dataset, bool]:
    """The header, and whether pixel data follows."""
    try:
        with quiet_pydicom():
            return read_header(path, _LIMITS)
    except UnreadableFileError as error:
        raise ArchiveRefusal(
            "archive-bad-answer", f"The archive sent what is no DICOM image: {error.sentence}"
        ) from error
