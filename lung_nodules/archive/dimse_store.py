"""C-STORE (PS3.4 B): several associations, each status read, and a query afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from pynetdicom import build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from lung_nodules.archive.dimse_association import MAX_CONTEXTS, associate, check_status, code_of
from lung_nodules.archive.protocol import InstanceKey, PushOutcome
from lung_nodules.archive.pushing import Stored, confirm, read_keys
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.retrying import call_with_retries
from lung_nodules.archive.settings import DimseSettings
from lung_nodules.settings import InstancesSettings
from lung_nodules.stages.dicom_file import read_header

if TYPE_CHECKING:
    from lung_nodules.archive.protocol import Archive

_UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_ABOUT_THE_ARCHIVE = (
    "archive-busy",
    "archive-unreachable",
    "archive-timeout",
    "archive-auth",
    "archive-tls",
    "archive-settings",
)


def store_files(archive: Archive, settings: DimseSettings, files: Sequence[Path]) -> PushOutcome:
    """Store files, read each status, and ask whether the objects are there.

    Raises:
        ArchiveRefusal: See `Archive.push`.
    """
    items = list(read_keys(files).items())
    num_shares = min(settings.num_connections, len(items))
    answers: dict[InstanceKey, Stored] = {}

    def store(share: Sequence[tuple[InstanceKey, Path]]) -> None:
        call_with_retries(lambda: _store_share(settings, share, answers), settings.retries)

    with ThreadPoolExecutor(num_shares) as pool:
        for future in [pool.submit(store, items[start::num_shares]) for start in range(num_shares)]:
            future.result()
    return confirm(archive, answers, settings.retries)


def _store_share(
    settings: DimseSettings, share: Sequence[tuple[InstanceKey, Path]], answers: dict[InstanceKey, Stored]
) -> None:
    """Store what has no answer yet on one association.

    Raises:
        ArchiveRefusal: What concerns the archive as a whole.
    """
    waiting = [(key, path) for key, path in share if key not in answers]
    with associate(settings, _contexts_for([path for _, path in waiting])) as association:
        for key, path in waiting:
            answers[key] = _store(association, path)


def _store(association: Association, path: Path) -> Stored:
    try:
        status = association.send_c_store(path)
    except (ValueError, AttributeError):  # no accepted context for the class and compression of this object
        return Stored("push-rejected", 0x0122)
    except RuntimeError as error:  # the association is gone
        raise ArchiveRefusal("archive-unreachable", "The connection broke off.") from error
    try:
        check_status(status)
    except ArchiveRefusal as refusal:
        if refusal.code in _ABOUT_THE_ARCHIVE:
            raise
        return Stored("push-rejected", code_of(status))
    return Stored()


def _contexts_for(files: Sequence[Path]) -> list[PresentationContext]:
    """One context a class and compression; what is not compressed may go in either order of explicitness."""
    pairs: set[tuple[str, tuple[str, ...]]] = set()
    for path in files:
        header, _ = read_header(path, InstancesSettings())
        syntax = str(header.file_meta.TransferSyntaxUID)
        pairs.add((str(header.SOPClassUID), _UNCOMPRESSED if syntax in _UNCOMPRESSED else (syntax,)))
    return [build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in sorted(pairs)][:MAX_CONTEXTS]
