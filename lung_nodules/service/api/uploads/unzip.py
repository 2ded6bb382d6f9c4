"""Unpacking a ZIP that a stranger has sent (APPNOTE 6.3.10), by the standard library's zipfile within bounds.

zipfile reads; what is our own is what it does not refuse: a table of contents larger than memory, members that lie
over each other, sizes that explode, encryption, links, names that lead out of the folder or come twice, archives
within the archive. The names are only judged; the files get numbers. Members are counted as they are unpacked, and
zipfile gives no byte beyond what a member declares and checks its CRC at the end.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from lung_nodules.service.api.uploads.folder import UploadFolder
from lung_nodules.service.api.uploads.limits import MIB, Limits, UploadRefusal

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others take memory that the sender chooses
_MAX_DIRECTORY_BYTES_PER_FILE = 1024  # an entry has 46 bytes, its name and some
_LOCAL_HEADER_BYTES = 30
_DIRECTORY_SIZE, _DIRECTORY_COUNT = 5, 4  # in what zipfile reads of the end record
_PIECE = MIB
# zipfile raises these, and on some inputs what its parts raise
_DAMAGE = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    OverflowError,
    IndexError,
    KeyError,
)


def unpack(archive: Path, folder: UploadFolder) -> None:
    """Unpack every file of a ZIP into `folder`.

    Raises:
        UploadRefusal: 422 ``zip-damaged`` (truncated, CRC, not a ZIP), ``zip-encrypted``, ``zip-nested``, ``zip-path``,
            ``zip-link``, ``zip-duplicate-names``, ``zip-method``, ``zip-overlap``, ``zip-bomb``; 413
            ``upload-too-large``, ``upload-too-many-files``; see `UploadFolder.reserve`.
        OSError: The disk.
    """
    packed_bytes = archive.stat().st_size
    with archive.open("rb") as file, _as_refusals():
        _check_beginning(file)
        _check_directory_size(file, folder.limits)
        with zipfile.ZipFile(file) as opened:
            members = _checked_members(opened.infolist(), packed_bytes, folder.limits)
            folder.reserve(packed_bytes + sum(member.file_size for member in members))
            for member in members:
                _unpack_member(opened, member, folder)


@contextmanager
def _as_refusals() -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        sentence = "The ZIP is truncated or damaged."
        raise UploadRefusal(422, "zip-damaged", sentence, "Make and send it again.") from error


def _check_beginning(file: BinaryIO) -> None:
    if file.read(4) not in ZIP_MAGIC:
        raise zipfile.BadZipFile


def _check_directory_size(file: BinaryIO, limits: Limits) -> None:
    """Refuse a table of contents that could not be that of so many files, before zipfile reads it into memory.

    zipfile's own reader of the end record is asked, though its name is private: another reader could find another
    record in a hostile file than the one that zipfile goes by.
    """
    record = cast("Sequence[Any] | None", zipfile._EndRecData(file))  # type: ignore[attr-defined]
    if record is None:
        raise zipfile.BadZipFile
    limits.check_files(record[_DIRECTORY_COUNT])
    if record[_DIRECTORY_SIZE] > limits.max_files * _MAX_DIRECTORY_BYTES_PER_FILE:
        limits.check_files(limits.max_files + 1)


def _checked_members(
    entries: Sequence[zipfile.ZipInfo], packed_bytes: int, limits: Limits
) -> Sequence[zipfile.ZipInfo]:
    """Hold the table of contents against every rule, and give the members that are files."""
    limits.check_files(len(entries))
    names: set[str] = set()
    for entry in entries:
        _check_kind(entry)
        _check_name(entry, names)
        _check_ratio(entry, limits)
    _check_overlap(entries, packed_bytes)
    files = [entry for entry in entries if not entry.is_dir()]
    unpacked_bytes = sum(entry.file_size for entry in files)
    if unpacked_bytes > limits.max_ratio * packed_bytes:
        raise _refusal("zip-bomb", "The ZIP unpacks to far more than it has.")
    limits.check_bytes(unpacked_bytes)
    return files


def _check_kind(entry: zipfile.ZipInfo) -> None:
    if entry.flag_bits & 0x2041:  # encrypted, strongly encrypted, or with a masked table of contents
        raise _refusal("zip-encrypted", "The ZIP is encrypted.", "Send it without a password.")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _refusal("zip-link", "The ZIP holds a link or a device.", "Pack the files themselves.")
    if entry.compress_type not in _METHODS:
        raise _refusal("zip-method", "The ZIP is packed by a method other than deflate.", "Pack it by deflate.")


def _check_name(entry: zipfile.ZipInfo, names: set[str]) -> None:
    name = entry.orig_filename.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    is_absolute = name.startswith("/") or (len(name) > 1 and name[1] == ":")
    if is_absolute or ".." in parts or not parts or "\0" in name:
        raise _refusal("zip-path", "A name in the ZIP leads out of its folder.", "Pack one folder.")
    plain = "/".join(parts)
    if plain in names:
        raise _refusal("zip-duplicate-names", "Two members of the ZIP have one name.")
    names.add(plain)


def _check_ratio(entry: zipfile.ZipInfo, limits: Limits) -> None:
    """An empty slice may pack a thousandfold; what is larger than a slice may not."""
    if entry.file_size > MIB and entry.file_size > limits.max_ratio * max(entry.compress_size, 1):
        raise _refusal("zip-bomb", "A member of the ZIP unpacks to far more than it has.")


def _check_overlap(entries: Sequence[zipfile.ZipInfo], packed_bytes: int) -> None:
    """Members may not share bytes: a bomb of one kernel and many entries (Fifield 2019) does."""
    ends_at = 0
    for entry in sorted(entries, key=lambda each: each.header_offset):
        if entry.header_offset < ends_at:
            raise _refusal("zip-overlap", "Members of the ZIP lie over each other.")
        ends_at = entry.header_offset + _LOCAL_HEADER_BYTES + entry.compress_size
    if ends_at > packed_bytes:
        raise zipfile.BadZipFile


def _unpack_member(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: UploadFolder) -> None:
    with opened.open(entry) as source, folder.open_next() as target:
        first = source.read(_PIECE)
        if first.startswith(ZIP_MAGIC):
            raise _refusal("zip-nested", "There is an archive within the ZIP.", "Pack the files themselves.")
        piece = first
        while piece:
            folder.write(target, piece)
            piece = source.read(_PIECE)


def _refusal(code: str, sentence: str, advice: str = "Make and send it again.") -> UploadRefusal:
    return UploadRefusal(422, code, sentence, advice)
