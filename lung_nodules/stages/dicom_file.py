"""One DICOM file, read within limits.

pydicom reads the elements; what is our own is the bounds. A file may claim anything: a header of gigabytes, a
deflated data set that inflates a thousandfold, a sequence nested without end. Each of these ends here with an
`UnreadableFileError`, at a cost that the settings bound.
"""

from __future__ import annotations

import io
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from logging import CRITICAL, getLogger
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom import config as pydicom_config
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_file_meta_info, read_partial
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pydicom.values import converters

from lung_nodules.settings import InstancesSettings

MIB = 1024 * 1024
_SNIFFED_BYTES = 1024  # holds preamble and file meta information
_FIRST_BULK_TAG = 0x7FE00001  # pixel data of any kind lies from here on (PS3.6)
# pydicom needs Bits Allocated and Pixel Representation to settle the value representation of implicit pixel data
_PIXEL_DATA_WITH_ITS_WIDTH = [0x00280100, 0x00280103, 0x7FE00010]
_READABLE_VRS = frozenset(converters)
_PIXEL_TAGS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})


class UnreadableFileError(Exception):
    """A file that is not read, with a coded reason and a sentence that names no patient and no path."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class _Quiet:
    """pydicom's warnings off while at least one reader is at work, whichever thread comes first or last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_readers = 0
        self._stack = ExitStack()

    def enter(self) -> None:
        with self._lock:
            self._num_readers += 1
            if self._num_readers > 1:
                return
            self._stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            self._stack.enter_context(pydicom_config.disable_value_validation())
            logger = getLogger("pydicom")
            self._stack.callback(logger.setLevel, logger.level)
            logger.setLevel(CRITICAL + 1)

    def leave(self) -> None:
        with self._lock:
            self._num_readers -= 1
            if self._num_readers == 0:
                self._stack.close()


_QUIET = _Quiet()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Read values as they are, without pydicom's warnings: these quote the value, which may be a patient's name."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


class _BoundedFile(io.BufferedReader):
    """A file of which no more than a set number of bytes can be read; what is skipped does not count."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        super().__init__(io.FileIO(path), buffer_size=16 * 1024)
        self._bytes_left = max_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._bytes_left -= len(data)
        if self._bytes_left < 0:
            raise UnreadableFileError("too-large", "The header is larger than the limit.")
        return data


def read_header(path: Path, settings: InstancesSettings) -> tuple[pydicom.Dataset, bool]:
    """Read every element before the pixel data.

    Elements above ``max_element_kib`` (private data, overlays, icons) and sequences nested deeper than
    ``max_nesting_depth`` are left out.

    Args:
        path: The file.
        settings: The limits.

    Returns:
        The header, file meta information included, its transfer syntax filled in where the file names none; and
        whether pixel data follows.

    Raises:
        UnreadableFileError: ``not-dicom``, ``damaged-file``, ``too-large`` or ``too-complex``.
    """
    has_pixels = False

    def at_bulk_data(tag: int, _vr: str | None, _length: int) -> bool:
        nonlocal has_pixels
        has_pixels = has_pixels or tag in _PIXEL_TAGS
        return tag in _PIXEL_TAGS or tag >= _FIRST_BULK_TAG

    with _BoundedFile(path, settings.max_header_mib * MIB) as file:
        dicom = _parse(path, file, settings, settings.max_element_kib * 1024, at_bulk_data)
    _drop_what_has_no_value(dicom)
    _drop_deep_sequences(dicom, settings.max_nesting_depth)
    _fill_in_transfer_syntax(dicom)
    return dicom, has_pixels


def read_header_whole(path: Path, settings: InstancesSettings) -> pydicom.Dataset:
    """Read every element before the pixel data, large ones too: a multi-frame header is one large sequence.

    Raises:
        UnreadableFileError: As `read_header`.
    """
    limit = settings.max_header_mib * MIB
    with _BoundedFile(path, limit) as file:
        dicom = _parse(path, file, settings, limit, lambda tag, _vr, _length: tag >= _FIRST_BULK_TAG)
    _drop_what_has_no_value(dicom)
    _fill_in_transfer_syntax(dicom)
    return dicom


def read_pixel_data(path: Path, settings: InstancesSettings) -> DataElement:
    """Read the Pixel Data element alone.

    Raises:
        UnreadableFileError: ``damaged-file`` where there is none, else as `read_header`.
    """
    with path.open("rb") as file:
        dicom = _parse(path, file, settings, None, None, _PIXEL_DATA_WITH_ITS_WIDTH)
    if "PixelData" not in dicom:
        raise UnreadableFileError("damaged-file", "The file ends before or inside its pixel data.")
    return dicom["PixelData"]


def _parse(  # type: ignore[no-untyped-def]  # pydicom's own types are not checked here
    path: Path, file: BinaryIO, settings: InstancesSettings, defer_size, stop_when, specific_tags=None
) -> pydicom.Dataset:
    """Read a data set from `file`, which is open at its beginning."""
    head = file.read(_SNIFFED_BYTES)
    _check_signature(head)
    file.seek(0)
    deflated = DeflatedExplicitVRLittleEndian.encode() in head and head[128:132] == b"DICM"
    try:
        if not deflated:
            return read_partial(file, stop_when, defer_size, force=True, specific_tags=specific_tags)
        meta = read_file_meta_info(path)
        plain = io.BytesIO(_inflate(file, head, settings.max_inflated_mib * MIB))
        dicom = read_dataset(plain, False, True, None, stop_when, defer_size, specific_tags=specific_tags)
    except RecursionError as error:
        raise UnreadableFileError("too-complex", "The header holds sequences nested too deeply.") from error
    except UnreadableFileError:
        raise
    except InvalidDicomError as error:
        raise UnreadableFileError("not-dicom", "The file is not DICOM.") from error
    except Exception as error:  # pydicom lets struct, value, key, type and OS errors of a damaged file through
        raise UnreadableFileError("damaged-file", "The file cannot be read as DICOM.") from error
    dicom.file_meta = meta
    return dicom


def _check_signature(head: bytes) -> None:
    """Tell DICOM from other files by their first bytes, files without preamble included (PS3.10 7.1)."""
    if not head:
        raise UnreadableFileError("damaged-file", "The file is empty.")
    is_part_10 = head[128:132] == b"DICM"
    is_meta_alone = head[:2] == b"\x02\x00" and head[3:4] == b"\x00" and head[4:6] == b"UL"
    # a bare data set begins with group 0008 and an even, small element length, or an explicit value representation
    is_bare = head[:2] == b"\x08\x00" and head[3:4] == b"\x00" and (head[6:8] == b"\x00\x00" or head[4:6].isupper())
    if not (is_part_10 or is_meta_alone or is_bare):
        raise UnreadableFileError("not-dicom", "The file is not DICOM.")


def _inflate(file: BinaryIO, head: bytes, max_bytes: int) -> bytes:
    """Inflate the data set of a deflated file (PS3.5 A.5), which follows the file meta information."""
    group_length = int.from_bytes(head[140:144], "little")
    file.seek(144 + group_length)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = inflater.decompress(file.read(max_bytes), max_bytes)
    except zlib.error as error:
        raise UnreadableFileError("damaged-file", "The deflated data set cannot be inflated.") from error
    if inflater.unconsumed_tail:
        raise UnreadableFileError("too-large", "The deflated data set inflates to more than the limit.")
    return plain


def _drop_what_has_no_value(dicom: pydicom.Dataset) -> None:
    """Take out elements that pydicom left on disk, and those of an unknown representation: both fail when asked for."""
    for element in list(dicom.values()):
        if not isinstance(element, RawDataElement):
            continue
        is_left_on_disk = element.value is None and element.length != 0
        if is_left_on_disk or (element.VR is not None and element.VR not in _READABLE_VRS):
            del dicom[element.tag]


def _drop_deep_sequences(dicom: pydicom.Dataset, max_depth: int) -> None:
    """Take out top-level sequences that nest deeper than `max_depth`."""
    for element in list(dicom.values()):
        if isinstance(element, DataElement) and element.VR == "SQ" and _is_deeper(element, max_depth):
            del dicom[element.tag]


def _is_deeper(element: DataElement, max_depth: int) -> bool:
    """Tell whether a parsed sequence nests deeper than `max_depth`, level by level, without recursion."""
    level = [element]
    for _ in range(max_depth):
        items = [item for sequence in level for item in sequence.value]
        level = [e for item in items for e in item.values() if isinstance(e, DataElement) and e.VR == "SQ"]
        if not level:
            return False
    return True


def _fill_in_transfer_syntax(dicom: pydicom.Dataset) -> None:
    """Name the encoding that was found where the file meta information names none."""
    if not hasattr(dicom, "file_meta"):
        dicom.file_meta = pydicom.dataset.FileMetaDataset()
    if not dicom.file_meta.get("TransferSyntaxUID"):
        implicit, little = dicom.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dicom.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
