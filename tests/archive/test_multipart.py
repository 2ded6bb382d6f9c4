"""Multipart bodies in any pieces, whole and broken off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lung_nodules.archive.multipart import boundary_of, iterate_first_part
from lung_nodules.archive.refusals import ArchiveRefusal

BOUNDARY = b"b0"
PARTS = st.binary(max_size=200).filter(lambda part: b"--" + BOUNDARY not in part)


def wrap(*parts: bytes) -> bytes:
    whole = b"".join(
        b"--" + BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n" + part + b"\r\n" for part in parts
    )
    return whole + b"--" + BOUNDARY + b"--"


def split(body: bytes, sizes: list[int]) -> list[bytes]:
    pieces, start = [], 0
    for size in [*sizes, len(body)]:
        pieces.append(body[start : start + size])
        start += size
    return pieces


@given(parts=st.lists(PARTS, min_size=1, max_size=3), sizes=st.lists(st.integers(0, 40), max_size=20), tail=st.binary())
def test_the_first_part_comes_whole(parts: list[bytes], sizes: list[int], tail: bytes) -> None:
    body = b"\r\n" + wrap(*parts) + b"\r\n" + tail
    assert b"".join(iterate_first_part(split(body, sizes), BOUNDARY)) == parts[0]


@given(part=PARTS, data=st.data())
def test_a_body_that_breaks_off_is_told(part: bytes, data: st.DataObject) -> None:
    body = wrap(part)
    length = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        list(iterate_first_part([body[:length]], BOUNDARY))


def test_a_head_without_end_is_not_read_for_ever() -> None:
    with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        list(iterate_first_part((b"x" * 1024 for _ in range(10_000)), BOUNDARY))


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary="a b"', b"a b"),
        ("Multipart/Related;boundary=abc", b"abc"),
        ("multipart/related; type=application/dicom", None),
        ("application/dicom", None),
        ("", None),
    ],
)
def test_the_boundary_is_read(content_type: str, boundary: bytes | None) -> None:
    assert boundary_of(content_type) == boundary
