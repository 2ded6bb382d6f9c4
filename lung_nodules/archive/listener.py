"""A C-STORE listener: scanners and archives send studies, and each one is passed on when it is quiet.

An instance is answered with success when it is whole on the disk, not before. Until it is whole it lies in memory:
one that breaks off leaves nothing behind.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when the module is loaded
from pynetdicom.transport import ThreadedAssociationServer

from lung_nodules.archive.dimse_association import TRANSFER_SYNTAXES
from lung_nodules.archive.gate import Gate
from lung_nodules.archive.http_session import MIB
from lung_nodules.archive.quiet import quieten_libraries
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import ListenerSettings
from lung_nodules.archive.spool import ReceivedStudy, StudySpool
from lung_nodules.stages.dicom_file import quiet_pydicom

_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_GIB = 1024**3
_MARGIN_BYTES = MIB  # an instance that is too large by less is answered, a larger one is cut off

logger = logging.getLogger(__name__)


class StoreListener:
    """Listens from `__enter__` to `__exit__`.

    Args:
        settings: Where, for whom, and when a study is complete.
        folder: The spool; see `StudySpool`.
        on_complete: Called in a thread with each complete study, one at a time. Where it raises, it is called again
            with the same study later; after a crash, too, so it must not mind being called twice.
        poll_s: Between two looks for studies that are quiet.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        folder: Path,
        on_complete: Callable[[ReceivedStudy], None],
        poll_s: float = 1.0,
    ) -> None:
        self._settings = settings
        self._on_complete = on_complete
        self._poll_s = poll_s
        self._spool = StudySpool(folder, int(settings.max_spool_gib * _GIB), settings.quiet_s, settings.keep_s)
        self._gate = Gate(settings.allowed_hosts, settings.max_instance_mib * MIB + _MARGIN_BYTES)
        self._server: ThreadedAssociationServer | None = None
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="listener", daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        """Begin to listen.

        Raises:
            ArchiveRefusal: ``archive-settings`` where the port is taken.
        """
        quieten_libraries()
        _config.LOG_HANDLER_LEVEL = "none"
        try:
            self._server = self._make_entity().start_server(
                (self._settings.host, self._settings.port),
                block=False,
                evt_handlers=[
                    (evt.EVT_C_STORE, self._handle_store),
                    (evt.EVT_C_ECHO, lambda _event: _SUCCESS),
                    *self._gate.handlers(),
                ],
            )
        except OSError as error:
            raise ArchiveRefusal("archive-settings", "The listener's port cannot be opened.") from error
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
        self._watcher.join()

    def _make_entity(self) -> AE:
        settings = self._settings
        entity = AE(ae_title=settings.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = list(settings.allowed_ae_titles)
        entity.maximum_associations = settings.max_associations
        entity.network_timeout = entity.dimse_timeout = entity.acse_timeout = settings.network_timeout_s
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), list(TRANSFER_SYNTAXES))
        entity.add_supported_context(Verification)
        return entity

    def _handle_store(self, event: Event) -> int:
        """Take one instance; the status to answer."""
        assert isinstance(event.request, C_STORE)
        try:
            encoded = event.encoded_dataset()
            if len(encoded) > self._settings.max_instance_mib * MIB:
                return _OUT_OF_RESOURCES
            with quiet_pydicom():
                self._spool.receive([encoded])
        except ArchiveRefusal as refusal:
            logger.warning("An instance was not taken: %s", refusal.code)
            return _OUT_OF_RESOURCES if refusal.code == "cache-full" else _CANNOT_UNDERSTAND
        except OSError as error:
            logger.warning("An instance was not taken: %s", error.__class__.__name__)
            return _OUT_OF_RESOURCES
        return _SUCCESS

    def _watch(self) -> None:
        while not self._stopping.wait(self._poll_s):
            try:
                self._spool.pass_on(self._on_complete)
            except OSError as error:
                logger.warning("The spool cannot be looked at: %s", error.__class__.__name__)
