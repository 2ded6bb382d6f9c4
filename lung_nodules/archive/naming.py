"""Names for studies, series and instances where their UIDs must not stand: in file names and in log lines."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import pydicom

from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.stages.study import digest_identity

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")  # PS3.5 9.1, leading zeros tolerated


def is_uid(text: str) -> bool:
    """Whether a text is a UID."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def check_uid(uid: str) -> str:
    """Give a UID back if it may stand in an address or a query.

    Raises:
        ArchiveRefusal: ``bad-uid``.
    """
    if not is_uid(uid):
        raise ArchiveRefusal("bad-uid", "A UID holds digits and dots alone, at most 64 of them.")
    return uid


def hash_uid(uid: str, length: int = 16) -> str:
    """The first hexadecimal digits of a UID's SHA-256; 16 keep a million studies apart."""
    return hashlib.sha256(uid.encode()).hexdigest()[:length]


def hash_content(sop_instance_uids: Iterable[str], identities: Iterable[str]) -> str:
    """What a study's CT holds and whose it is: when this changes, the study is read again.

    Args:
        sop_instance_uids: Of all CT instances.
        identities: `digest_identity` of one instance a series, the first one by its UID.

    Returns:
        SHA-256 in hexadecimal; neither order nor repetition counts.
    """
    parts = (*sorted(set(sop_instance_uids)), "", *sorted(set(identities)))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def hash_content_of(headers: Iterable[pydicom.Dataset]) -> str:
    """`hash_content` of a study of which every CT instance is at hand."""
    first: dict[str, tuple[str, pydicom.Dataset]] = {}
    uids = set()
    for header in headers:
        uid, series = (str(header.get(keyword) or "") for keyword in ("SOPInstanceUID", "SeriesInstanceUID"))
        uids.add(uid)
        if series not in first or uid < first[series][0]:
            first[series] = uid, header
    return hash_content(uids, (digest_identity(header) for _, header in first.values()))
