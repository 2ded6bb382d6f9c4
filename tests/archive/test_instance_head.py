"""Whose an instance is, from the beginning of its file, in whatever way it is written."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from ct_files import CTSeries
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from lung_nodules.archive.instance_head import read_identity_of
from lung_nodules.archive.protocol import InstanceKey
from lung_nodules.archive.received import read_key
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.stages.dicom_file import quiet_pydicom
from lung_nodules.stages.study import digest_identity

NAME = "Müller^Jürgen"


def write(folder: Path, syntax: pydicom.uid.UID, num_private_bytes: int = 0) -> Path:
    header = CTSeries().dataset(0)
    header.SpecificCharacterSet, header.PatientName, header.StudyID = "ISO_IR 100", NAME, "S-1"
    header.private_block(0x0019, "LARGE", create=True).add_new(1, "OB", bytes(num_private_bytes))
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header["PixelData"].VR = "OW"
    path = folder / "instance.dcm"
    header.save_as(path, enforce_file_format=True)
    return path


class Pieces:
    """A file that comes in pieces and counts what was taken."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content = content
        self._size = size
        self.num_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), self._size):
            piece = self._content[start : start + self._size]
            self.num_bytes += len(piece)
            yield piece


@pytest.mark.parametrize("size", [1, 1000, 2**20])
@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_an_identity_is_that_of_the_whole_file(tmp_path: Path, syntax: pydicom.uid.UID, size: int) -> None:
    path = write(tmp_path, syntax, 3000)
    pieces = Pieces(path.read_bytes(), size)
    header = read_identity_of(pieces, read_key(path))
    assert str(header.PatientName) == NAME
    with quiet_pydicom():
        assert digest_identity(header) == digest_identity(pydicom.dcmread(path))


def test_a_file_without_preamble_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, ImplicitVRLittleEndian)
    content = path.read_bytes()
    meta_length = int.from_bytes(content[140:144], "little")
    header = read_identity_of([content[144 + meta_length :]], read_key(path))
    assert str(header.PatientName) == NAME


def test_no_more_is_taken_than_tells(tmp_path: Path) -> None:
    path = write(tmp_path, ExplicitVRLittleEndian)
    pieces = Pieces(path.read_bytes() + bytes(2**20), 4096)
    read_identity_of(pieces, read_key(path))
    assert pieces.num_bytes <= 8192


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_file_that_ends_before_it_tells_is_a_bad_answer(
    tmp_path: Path, share: float, syntax: pydicom.uid.UID
) -> None:
    path = write(tmp_path, syntax)
    content = path.read_bytes()
    with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        read_identity_of([content[: int(len(content) * share)]], read_key(path))


@pytest.mark.parametrize("content", [b"<html>" * 1000, bytes(5000), b"\xff" * 5000])
def test_what_is_no_dicom_is_a_bad_answer(content: bytes) -> None:
    with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        read_identity_of([content], InstanceKey("1.2", "1.3", "1.4"))


@pytest.mark.parametrize("position", range(3))
def test_another_instance_is_a_bad_answer(tmp_path: Path, position: int) -> None:
    path = write(tmp_path, ExplicitVRLittleEndian)
    key = read_key(path)
    uids = [key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid]
    uids[position] = "1.2.3"
    with pytest.raises(ArchiveRefusal, match="another instance"):
        read_identity_of([path.read_bytes()], InstanceKey(*uids))


def test_what_inflates_a_thousandfold_is_inflated_to_the_limit_alone(tmp_path: Path) -> None:
    path = write(tmp_path, DeflatedExplicitVRLittleEndian)
    content = path.read_bytes()
    begin = 144 + int.from_bytes(content[140:144], "little")
    plain = zlib.decompress(content[begin:], -zlib.MAX_WBITS)
    private = b"\x07\x00\x10\x00OB\x00\x00" + (2**27).to_bytes(4, "little")
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = content[:begin] + squeeze.compress(private + bytes(2**27) + plain) + squeeze.flush()
    assert len(bomb) < 2**20
    with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        read_identity_of([bomb], read_key(path))
