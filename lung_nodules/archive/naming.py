"""Names for studies, series and instances where their UIDs must not stand: in file names and in log lines."""

from __future__ import annotations

import hashlib
import re

from lung_nodules.archive.refusals import ArchiveRefusal

_UID = re.compile(r"[0-9]+(?:\.[0-9]+)*")  # PS3.5 9.1, leading zeros tolerated


def check_uid(uid: str) -> str:
    """Give a UID back if it may stand in an address or a query.

    Raises:
        ArchiveRefusal: ``bad-uid``.
    """
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise ArchiveRefusal("bad-uid", "A UID holds digits and dots alone, at most 64 of them.")
    return uid


def hash_uid(uid: str, length: int = 16) -> str:
    """The first hexadecimal digits of a UID's SHA-256; 16 keep a million studies apart."""
    return hashlib.sha256(uid.encode()).hexdigest()[:length]


def hash_content(sop_instance_uids: set[str]) -> str:
    """What a study's CT holds, as SHA-256 in hexadecimal of its sorted SOP Instance UIDs, joined by line feeds."""
    return hashlib.sha256("\n".join(sorted(sop_instance_uids)).encode()).hexdigest()
