"""What every push does: read which objects the files hold, store them, and ask afterwards whether they are there."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lung_nodules.archive.naming import check_uid
from lung_nodules.archive.protocol import InstanceKey, PushFailure, PushOutcome
from lung_nodules.archive.received import read_key
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.retrying import call_with_retries
from lung_nodules.archive.settings import RetrySettings

if TYPE_CHECKING:
    from lung_nodules.archive.protocol import Archive

DUPLICATE = 0x0111  # Failure Reason: the archive has that instance already (PS3.7 C.5.8)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """What the archive answered for one object; `code` is empty where it took it."""

    code: str = ""
    status: int | None = None


def read_keys(files: Sequence[Path]) -> dict[InstanceKey, Path]:
    """Which object each file holds.

    Raises:
        ArchiveRefusal: ``push-nothing`` where there is no file or one that is no DICOM object; ``bad-uid``.
    """
    keys: dict[InstanceKey, Path] = {}
    for path in files:
        try:
            key = read_key(path)
        except (ArchiveRefusal, OSError) as error:
            raise ArchiveRefusal("push-nothing", "A file to push cannot be read as a DICOM object.") from error
        for uid in (key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid):
            check_uid(uid)
        keys[key] = path
    if not keys:
        raise ArchiveRefusal("push-nothing", "There is no file to push.")
    return keys


def confirm(archive: Archive, answers: Mapping[InstanceKey, Stored], retries: RetrySettings) -> PushOutcome:
    """Ask for each object that was sent; those that the archive refused as its own already count when it has them.

    Archives may take a while until a query finds what they took, so those are asked for again.
    """
    hoped = {key for key, stored in answers.items() if not stored.code or stored.status == DUPLICATE}
    missing = set(hoped)

    def look() -> None:
        missing.difference_update(_find(archive, missing))
        if missing:
            raise ArchiveRefusal("push-not-confirmed", "The archive took objects that a query does not find yet.")

    try:
        if missing:
            call_with_retries(look, retries)
    except ArchiveRefusal as refusal:
        logger.warning("%d of %d objects were not confirmed: %s", len(missing), len(answers), refusal.code)
    failures = [
        PushFailure(key.sop_instance_uid, stored.code or "push-not-confirmed", stored.status)
        for key, stored in sorted(answers.items(), key=lambda item: item[0].sop_instance_uid)
        if key in missing or key not in hoped
    ]
    return PushOutcome(len(answers) - len(failures), tuple(failures))


def _find(archive: Archive, keys: set[InstanceKey]) -> set[InstanceKey]:
    """Those of the objects that a query finds, one query a series."""
    by_series: dict[tuple[str, str], set[InstanceKey]] = defaultdict(set)
    for key in keys:
        by_series[key.study_instance_uid, key.series_instance_uid].add(key)
    found: set[InstanceKey] = set()
    for (study, series), wanted in by_series.items():
        listed = set(_list_or_none(archive, study, series))
        found.update(key for key in wanted if key.sop_instance_uid in listed)
    return found


def _list_or_none(archive: Archive, study: str, series: str) -> Sequence[str]:
    try:
        return archive.find_instances(study, series)
    except ArchiveRefusal as refusal:
        if refusal.code in ("study-not-found", "series-not-found", "archive-short-count"):
            return ()
        raise


def answer_or_code(store: Callable[[], Stored], retries: RetrySettings) -> Stored:
    """Store one object, again where that can help; what does not heal and is the object's own becomes its answer.

    Raises:
        ArchiveRefusal: What concerns the archive as a whole: it would be the same for the next object.
    """
    try:
        return call_with_retries(store, retries)
    except ArchiveRefusal as refusal:
        if refusal.code in ("archive-too-large", "bad-query", "archive-not-supported"):
            return Stored("push-rejected")
        raise
