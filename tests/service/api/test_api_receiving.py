"""Unpacking and parsing alone, without a server: what goes in comes out, in whatever pieces it arrives."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import pytest
from hostile_uploads import form_of
from hypothesis import given, settings
from hypothesis import strategies as st

from lung_nodules.service.api.uploads.folder import UploadFolder
from lung_nodules.service.api.uploads.limits import Limits, UploadRefusal
from lung_nodules.service.api.uploads.multipart import FilesParser
from lung_nodules.service.api.uploads.unzip import unpack

END_OF_ZIP = b"PK\x05\x06"  # within a comment it hides the true end from zipfile and from others
LIMITS = Limits(max_bytes=200_000, max_files=20, max_ratio=200.0)
contents = st.lists(st.binary(min_size=1, max_size=3000).filter(lambda data: not data.startswith(b"PK")), max_size=8)
names = st.text(st.characters(exclude_characters="/\\\0:.", exclude_categories=["Cs"]), min_size=1, max_size=20)


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.comment = comment
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def unpacked(body: bytes, limits: Limits = LIMITS) -> list[bytes]:
    with tempfile.TemporaryDirectory() as place:
        archive, folder = Path(place) / "upload.zip", Path(place) / "files"
        archive.write_bytes(body)
        folder.mkdir()
        received = UploadFolder(folder, limits)
        unpack(archive, received)
        assert sorted(folder.iterdir()) == received.files()
        return [path.read_bytes() for path in received.files()]


@settings(deadline=None)
@given(
    members=st.dictionaries(
        names, st.binary(max_size=3000).filter(lambda data: not data.startswith(b"PK")), max_size=8
    ),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    comment=st.binary(max_size=300).filter(lambda text: END_OF_ZIP not in text),
)
def test_what_was_packed_comes_out(members: dict[str, bytes], method: int, comment: bytes) -> None:
    assert unpacked(zipped(members, method, comment)) == list(members.values())


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(max_bytes=999, max_files=20, max_ratio=200), "upload-too-large"),
        (Limits(max_bytes=5000, max_files=1, max_ratio=200), "upload-too-many-files"),
        (Limits(max_bytes=5000, max_files=20, max_ratio=2), "zip-bomb"),
    ],
)
def test_a_limit_is_the_last_that_passes(limits: Limits, code: str) -> None:
    body = zipped({"a": bytes(500), "b": bytes(500)})
    assert len(unpacked(body, Limits(max_bytes=1000, max_files=2, max_ratio=200))) == 2
    with pytest.raises(UploadRefusal) as refused:
        unpacked(body, limits)
    assert refused.value.code == code


def test_an_empty_slice_may_pack_a_thousandfold_beside_others() -> None:
    limits = Limits(max_bytes=5_000_000, max_files=20, max_ratio=20)
    noise = bytes(range(256)) * 400  # packs well, too
    whole = zipped({"empty": bytes(524_288), "full": noise}, zipfile.ZIP_STORED)
    assert len(unpacked(whole, limits)) == 2


def test_a_member_that_declares_no_data_cannot_carry_any() -> None:
    """A size of zero in the table of contents: zipfile gives no byte, and the CRC tells."""
    body = bytearray(zipped({"a": b"x" * 100}, zipfile.ZIP_STORED))
    at = body.find(b"PK\x01\x02")
    body[at + 24 : at + 28] = bytes(4)
    with pytest.raises(UploadRefusal, match="damaged"):
        unpacked(bytes(body))


def feed(parser: FilesParser, body: bytes, cut: int) -> None:
    for at in range(0, len(body), cut):
        parser.write(body[at : at + cut])
    parser.finish()


@settings(deadline=None)
@given(files=contents, cut=st.integers(1, 400))
def test_a_form_gives_its_files_in_whatever_pieces_it_comes(files: list[bytes], cut: int) -> None:
    body, content_type = form_of([(f"{n}.dcm", data) for n, data in enumerate(files)], boundary="a-b_c")
    with tempfile.TemporaryDirectory() as place:
        folder = UploadFolder(Path(place), LIMITS)
        parser = FilesParser(content_type, folder)
        feed(parser, body, cut)
        assert [path.read_bytes() for path in folder.files()] == files


@settings(deadline=None)
@given(body=st.binary(max_size=2000), cut=st.integers(1, 100))
def test_no_body_makes_the_parser_fail(body: bytes, cut: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        parser = FilesParser("multipart/form-data; boundary=gap", UploadFolder(Path(place), LIMITS))
        with pytest.raises(UploadRefusal):
            feed(parser, body, cut)
        parser.close()
