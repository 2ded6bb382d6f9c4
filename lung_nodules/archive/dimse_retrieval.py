"""Instances by C-GET, on the association that asked, or by C-MOVE into a store SCP of our own (PS3.4 C.4.2, C.4.3).

Whether something is missing is told by what came, never by the counts of sub-operations in the answer.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from pydicom import Dataset
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made when the module is loaded
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from lung_nodules.archive.dimse_association import (
    TRANSFER_SYNTAXES,
    associate,
    check_status,
    storage_contexts,
)
from lung_nodules.archive.http_session import MIB
from lung_nodules.archive.protocol import InstanceKey, InstanceSink
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DimseSettings

_SUCCESS, _OUT_OF_RESOURCES, _NOT_OURS, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xA900, 0xC000
_UIDS_PER_REQUEST = 64  # 64 characters each: 4 KiB of identifier


class Receiver:
    """Takes what an archive sends, and knows what is still missing.

    Args:
        wanted: The instances to come.
        into: Where they go.
        max_instance_mib: A larger one is refused.
    """

    def __init__(self, wanted: Sequence[InstanceKey], into: InstanceSink, max_instance_mib: int) -> None:
        self._missing = {key.sop_instance_uid: key for key in wanted}
        self._into = into
        self._max_bytes = max_instance_mib * MIB
        self._problem: ArchiveRefusal | None = None
        self._lock = threading.Lock()

    def missing(self) -> list[InstanceKey]:
        """What has not come yet."""
        with self._lock:
            return list(self._missing.values())

    def missing_of(self, keys: Sequence[InstanceKey]) -> list[InstanceKey]:
        """Those of `keys` that have not come yet."""
        with self._lock:
            return [key for key in keys if key.sop_instance_uid in self._missing]

    def check(self, keys: Sequence[InstanceKey]) -> None:
        """Check that all of `keys` have come.

        Raises:
            ArchiveRefusal: Why one could not be taken, or ``archive-short-count``.
        """
        missing = self.missing_of(keys)
        problem, self._problem = self._problem, None
        if missing:
            raise problem or ArchiveRefusal(
                "archive-short-count", f"{len(missing)} of {len(keys)} instances did not come."
            )

    def handle(self, event: Event) -> int:
        """Take one instance: a handler of C-STORE requests; the status to answer."""
        assert isinstance(event.request, C_STORE)
        with self._lock:
            key = self._missing.get(str(event.request.AffectedSOPInstanceUID))
        if key is None:
            return _SUCCESS  # came before, or was not asked for: nothing is lost either way
        try:
            self._into.receive(key, [self._check_size(event.encoded_dataset())])
        except ArchiveRefusal as refusal:
            self._problem = refusal
            return _OUT_OF_RESOURCES if refusal.code == "cache-full" else _NOT_OURS
        except OSError:
            self._problem = ArchiveRefusal("cache-full", "An instance could not be written to the disk.")
            return _OUT_OF_RESOURCES
        with self._lock:
            self._missing.pop(key.sop_instance_uid, None)
        return _SUCCESS

    def _check_size(self, encoded: bytes) -> bytes:
        if len(encoded) > self._max_bytes:
            raise ArchiveRefusal("archive-too-large", "An instance is above the size limit.")
        return encoded


def make_identifier(level: str, keys: Mapping[str, str]) -> Dataset:
    """An Identifier (PS3.4 C.4.1.1.3): a level, and keys with values to match or empty ones to be told."""
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value or None)
    return identifier


def identifiers_of(keys: Sequence[InstanceKey], asks_for_series: bool) -> Iterator[Dataset]:
    """What to retrieve: instances by lists of their UIDs, or the one series that they are of."""
    if not keys:
        return
    parents = {"StudyInstanceUID": keys[0].study_instance_uid, "SeriesInstanceUID": keys[0].series_instance_uid}
    if asks_for_series:
        yield make_identifier("SERIES", parents)
        return
    for start in range(0, len(keys), _UIDS_PER_REQUEST):
        identifier = make_identifier("IMAGE", parents)
        identifier.SOPInstanceUID = [key.sop_instance_uid for key in keys[start : start + _UIDS_PER_REQUEST]]
        yield identifier


def get_instances(settings: DimseSettings, receiver: Receiver, identifier: Dataset, sop_classes: Sequence[str]) -> None:
    """One C-GET; instances come on the same association.

    Raises:
        ArchiveRefusal: The archive could not be asked, or failed; what came until then is kept.
    """
    contexts = storage_contexts(sop_classes)[:-1]
    roles = [build_role(each, scp_role=True) for each in sop_classes]
    contexts.append(build_context(StudyRootQueryRetrieveInformationModelGet))
    handlers = [(evt.EVT_C_STORE, receiver.handle)]
    with associate(settings, contexts, roles, handlers) as association:
        _read_answers(association.send_c_get(identifier, StudyRootQueryRetrieveInformationModelGet))


def move_instances(settings: DimseSettings, receiver: Receiver, identifier: Dataset) -> None:
    """One C-MOVE to our own AE title, where `open_store_scp` waits.

    Raises:
        ArchiveRefusal: As `get_instances`.
    """
    contexts = [build_context(StudyRootQueryRetrieveInformationModelMove)]
    with associate(settings, contexts) as association:
        _read_answers(
            association.send_c_move(identifier, settings.own_ae_title, StudyRootQueryRetrieveInformationModelMove)
        )


@contextmanager
def open_store_scp(settings: DimseSettings, receiver: Receiver, sop_classes: Sequence[str]) -> Iterator[None]:
    """Our own store SCP for a C-MOVE: it takes from the archive alone, by its AE title.

    Raises:
        ArchiveRefusal: ``archive-busy`` where another process listens on the port.
    """
    entity = AE(ae_title=settings.own_ae_title)
    entity.require_called_aet = True
    entity.require_calling_aet = [settings.ae_title]
    entity.maximum_associations = 2 * settings.num_connections
    entity.network_timeout = entity.dimse_timeout = settings.read_timeout_s
    for sop_class in sop_classes:
        entity.add_supported_context(sop_class, list(TRANSFER_SYNTAXES))
    handlers: list[tuple[evt.EventType, Callable[[Event], int]]] = [(evt.EVT_C_STORE, receiver.handle)]
    tls = _make_server_context(settings) if settings.tls else None
    try:
        server = entity.start_server(
            (settings.store_host, settings.store_port),
            block=False,
            evt_handlers=list(handlers),
            ssl_context=tls,
        )
    except OSError as error:
        raise ArchiveRefusal("archive-busy", "Our own port for C-MOVE is in use by another process.") from error
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()


def _make_server_context(settings: DimseSettings) -> ssl.SSLContext:
    """TLS for our own end: our certificate shown, that of the archive asked for."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=settings.ca_file)
    if not settings.client_certificate_file:
        raise ArchiveRefusal("archive-settings", "C-MOVE over TLS needs a certificate and a key of our own.")
    context.load_cert_chain(settings.client_certificate_file, settings.client_key_file)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _read_answers(answers: Iterator[tuple[Dataset, Dataset | None]]) -> None:
    """Read the answers to their end; sub-operations that failed show in what did not come."""
    for status, _ in answers:
        check_status(status)
