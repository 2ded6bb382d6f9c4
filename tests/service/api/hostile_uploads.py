"""Hostile uploads by number: each is a body, its content type, and whether a good service could take it."""

from __future__ import annotations

import io
import random
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

MARK = "DOE^JANE"  # stands in names of files and fields; it must turn up nowhere


@dataclass(frozen=True)
class Hostile:
    kind: str
    body: bytes
    content_type: str
    may_be_taken: bool = False


def dicom_like(random_: random.Random, size: int = 700) -> bytes:
    return bytes(128) + b"DICM" + random_.randbytes(size)


def zip_of(members: list[tuple[zipfile.ZipInfo | str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def info(name: str, mode: int = 0) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def good_zip(r: random.Random) -> bytes:
    return zip_of([(f"{MARK}/{n}.dcm", dicom_like(r)) for n in range(r.randint(1, 5))])


def form_of(parts: list[tuple[str, bytes]], boundary: str = "gap", closed: bool = True) -> tuple[bytes, str]:
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + data
        + b"\r\n"
        for name, data in parts
    )
    return body + (f"--{boundary}--\r\n".encode() if closed else b""), f"multipart/form-data; boundary={boundary}"


def truncated_zip(r: random.Random) -> bytes:
    whole = good_zip(r)
    return whole[: r.randrange(1, len(whole))]


def flipped_zip(r: random.Random) -> bytes:
    """Some bytes changed anywhere: in names, sizes, offsets, data."""
    whole = bytearray(good_zip(r))
    for _ in range(r.randint(1, 12)):
        whole[r.randrange(len(whole))] = r.randrange(256)
    return bytes(whole)


def flipped_directory(r: random.Random) -> bytes:
    whole = bytearray(good_zip(r))
    begin = whole.find(b"PK\x01\x02")
    for _ in range(r.randint(1, 6)):
        whole[r.randrange(begin, len(whole))] = r.choice([0, 255, r.randrange(256)])
    return bytes(whole)


def bomb(r: random.Random) -> bytes:
    return zip_of([(f"{n}.dcm", bytes(r.randint(2, 6) * 1024 * 1024)) for n in range(r.randint(1, 3))])


def overlapping(r: random.Random) -> bytes:
    """One kernel, many entries of the table of contents that point at it."""
    content = r.randbytes(5000)
    whole = zip_of([("a.dcm", content)], zipfile.ZIP_STORED)
    begin, end = whole.find(b"PK\x01\x02"), whole.find(b"PK\x05\x06")
    entry = whole[begin:end]
    count = r.randint(2, 40)
    entries = b"".join(entry.replace(b"a.dcm", f"{n:05d}".encode()) for n in range(count))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), begin, 0)
    return whole[:begin].replace(b"a.dcm", b"00000") + entries + tail


def lying_size(r: random.Random) -> bytes:
    """A member that declares fewer bytes than it unpacks to, in both headers."""
    content = r.randbytes(100) * 500
    whole = bytearray(zip_of([("a.dcm", content)]))
    for at in (whole.find(b"PK\x03\x04") + 22, whole.find(b"PK\x01\x02") + 24):
        whole[at : at + 4] = struct.pack("<L", r.randint(1, 1000))
    return bytes(whole)


def encrypted(r: random.Random) -> bytes:
    whole = bytearray(good_zip(r))
    at = -1
    while (at := whole.find(b"PK\x01\x02", at + 1)) >= 0:
        whole[at + 8] |= 1
    return bytes(whole)


def many_entries(r: random.Random) -> bytes:
    return zip_of([(f"{n}", b"x") for n in range(r.randint(201, 400))], zipfile.ZIP_STORED)


def claimed_count(r: random.Random) -> bytes:
    """An end record that speaks of a table of contents of gigabytes."""
    whole = bytearray(good_zip(r))
    end = whole.find(b"PK\x05\x06")
    whole[end + 12 : end + 16] = struct.pack("<L", r.randint(1 << 28, (1 << 32) - 2))
    return bytes(whole)


def in_zip(name: Callable[[random.Random], str]) -> Callable[[random.Random], bytes]:
    return lambda r: zip_of([("ok.dcm", dicom_like(r)), (name(r), dicom_like(r))])


def escaping(r: random.Random) -> str:
    return r.choice(
        [
            f"../{MARK}",
            "a/../../x",
            "/etc/passwd",
            "\\\\host\\x",
            "C:\\x",
            "..\\..\\x",
            "a/./../../b",
            f"/{MARK}/../x",
            "..",
        ]
    )


def linked(r: random.Random) -> bytes:
    mode = r.choice([stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o600, stat.S_IFCHR | 0o600, stat.S_IFSOCK | 0o600])
    return zip_of([("ok.dcm", dicom_like(r)), (info("link", mode), b"/etc/passwd")])


def doubled(r: random.Random) -> bytes:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return zip_of([("a/b.dcm", dicom_like(r)), (r.choice(["a/b.dcm", "a//b.dcm", "./a/b.dcm", "a\\b.dcm"]), b"x")])


def nested(r: random.Random) -> bytes:
    return zip_of([("ok.dcm", dicom_like(r)), (r.choice(["in.zip", "in.dcm"]), good_zip(r))])


def other_method(r: random.Random) -> bytes:
    return zip_of([("a.dcm", dicom_like(r))], r.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))


def as_zip(kind: str, body: bytes, may_be_taken: bool = False) -> Hostile:
    return Hostile(kind, body, "application/zip", may_be_taken)


def as_form(kind: str, parts: list[tuple[str, bytes]], may_be_taken: bool = False, **options: object) -> Hostile:
    body, content_type = form_of(parts, **options)  # type: ignore[arg-type]
    return Hostile(kind, body, content_type, may_be_taken)


def cut_form(r: random.Random) -> Hostile:
    body, content_type = form_of([(f"{MARK}.dcm", dicom_like(r)) for _ in range(r.randint(1, 4))])
    return Hostile("cut form", body[: r.randrange(1, len(body) - 4)], content_type)


def flipped_form(r: random.Random) -> Hostile:
    body, content_type = form_of([(f"{MARK}.dcm", dicom_like(r)) for _ in range(r.randint(1, 4))])
    changed = bytearray(body)
    for _ in range(r.randint(1, 8)):
        changed[r.randrange(len(changed))] = r.randrange(256)
    return Hostile("flipped form", bytes(changed), content_type, may_be_taken=True)


def wild_names(r: random.Random) -> Hostile:
    names = [f"../../{MARK}", "", f"{MARK}\\..\\x", "a" * 3000, "%00", "/dev/null", "..", "."]
    return as_form("wild names", [(r.choice(names), dicom_like(r)) for _ in range(3)], may_be_taken=True)


def zip_in_form(r: random.Random) -> Hostile:
    return as_form("zip among files", [("a.dcm", dicom_like(r)), (f"{MARK}.zip", good_zip(r))])


def bad_boundary(r: random.Random) -> Hostile:
    body, _ = form_of([("a", dicom_like(r))])
    types = ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=" + "b" * 4000]
    return Hostile("bad boundary", body, r.choice([*types, "multipart/form-data; boundary=other"]))


def foreign_type(r: random.Random) -> Hostile:
    types = [
        "",
        "text/plain",
        "application/json",
        "application/x-tar",
        f"application/{MARK}",
        "multipart/mixed; boundary=gap",
    ]
    return Hostile("foreign type", r.randbytes(r.randint(0, 3000)), r.choice(types))


def noise(r: random.Random) -> Hostile:
    return as_zip("noise", r.choice([b"", b"PK\x03\x04", b"PK\x05\x06"]) + r.randbytes(r.randint(0, 5000)))


def raw_deflate(r: random.Random) -> Hostile:
    return as_zip("raw deflate", zlib.compress(bytes(r.randint(1000, 5_000_000))))


KINDS: tuple[Callable[[random.Random], Hostile], ...] = (
    lambda r: as_zip("truncated", truncated_zip(r)),
    lambda r: as_zip("flipped", flipped_zip(r), may_be_taken=True),
    lambda r: as_zip("flipped directory", flipped_directory(r), may_be_taken=True),
    lambda r: as_zip("bomb", bomb(r)),
    lambda r: as_zip("overlapping", overlapping(r)),
    lambda r: as_zip("lying size", lying_size(r)),
    lambda r: as_zip("encrypted", encrypted(r)),
    lambda r: as_zip("many entries", many_entries(r)),
    lambda r: as_zip("claimed count", claimed_count(r)),
    lambda r: as_zip("escaping", in_zip(escaping)(r)),
    lambda r: as_zip("linked", linked(r)),
    lambda r: as_zip("doubled", doubled(r)),
    lambda r: as_zip("nested", nested(r)),
    lambda r: as_zip("other method", other_method(r)),
    lambda r: as_zip("empty archive", zip_of([])),
    lambda r: as_zip("empty files", zip_of([("a.dcm", b""), ("b/", b"")])),
    lambda r: as_form("many files", [(f"{n}", b"x") for n in range(r.randint(201, 300))]),
    lambda r: as_form("large", [("a.dcm", r.randbytes(3 * 1024 * 1024))]),
    lambda r: as_form("no files", []),
    lambda r: as_form("not closed", [("a.dcm", dicom_like(r))], closed=False),
    cut_form,
    flipped_form,
    wild_names,
    zip_in_form,
    bad_boundary,
    foreign_type,
    noise,
    raw_deflate,
)


def hostile(number: int) -> Hostile:
    """The upload of a number, always the same."""
    r = random.Random(number)
    return KINDS[number % len(KINDS)](r)
