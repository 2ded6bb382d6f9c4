"""Associations with an archive (PS3.8), and what their ends and statuses mean."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydicom import Dataset
from pynetdicom import AE, _config, build_context
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from lung_nodules.archive.addresses import is_forbidden
from lung_nodules.archive.quiet import quieten_libraries
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DimseSettings
from lung_nodules.stages.dicom_file import quiet_pydicom

# what decoders are at hand for, each a context of its own, so that the archive need not convert what it has compressed
_UNCOMPRESSED = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2")
_OTHERS = (
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
TRANSFER_SYNTAXES = (*_UNCOMPRESSED, *_OTHERS)
MAX_CONTEXTS = 128  # PS3.8 9.3.2.2: odd numbers from 1 to 255

_AE_NOT_KNOWN = (0x03, 0x07)  # A-ASSOCIATE-RJ, source 1: calling, called AE title not recognized
_PENDING = (0xFF00, 0xFF01)
_WARNINGS = (0xB000, 0xB006, 0xB007)


def storage_contexts(sop_classes: Sequence[str]) -> list[PresentationContext]:
    """Contexts in which objects of these classes can come: one a class and compression."""
    syntaxes: list[list[str]] = [list(_UNCOMPRESSED), *([each] for each in _OTHERS)]
    contexts = [build_context(each, list(syntax)) for syntax in syntaxes for each in sop_classes]
    return contexts[:MAX_CONTEXTS]


@contextmanager
def associate(
    settings: DimseSettings,
    contexts: Sequence[PresentationContext],
    roles: Sequence[Any] = (),
    handlers: Sequence[tuple[Any, Callable[..., int]]] = (),
) -> Iterator[Association]:
    """Open an association, and release it.

    Args:
        settings: With whom.
        contexts: What is to be done.
        roles: For C-GET: that we take what the archive stores.
        handlers: Likewise, pynetdicom's events and what handles them.

    Raises:
        ArchiveRefusal: It could not be opened.
    """
    quieten_libraries()
    _config.LOG_HANDLER_LEVEL = "none"
    entity = AE(ae_title=settings.own_ae_title)
    entity.connection_timeout = settings.connect_timeout_s
    entity.acse_timeout = settings.connect_timeout_s
    entity.dimse_timeout = settings.read_timeout_s
    entity.network_timeout = settings.read_timeout_s
    address = _address_of(settings)
    tls = (make_tls_context(settings), settings.host) if settings.tls else None
    with quiet_pydicom():
        association = entity.associate(
            address,
            settings.port,
            contexts=list(contexts),
            ae_title=settings.ae_title,
            ext_neg=list(roles),
            evt_handlers=list(handlers),
            tls_args=tls,
        )
        if not association.is_established:
            raise _refusal_of(association, settings, address)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def make_tls_context(settings: DimseSettings) -> ssl.SSLContext:
    """What secures the connection: the archive's certificate is checked, always.

    Raises:
        ArchiveRefusal: ``archive-settings`` where a file of it cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.client_certificate_file:
            context.load_cert_chain(settings.client_certificate_file, settings.client_key_file)
    except (OSError, ssl.SSLError) as error:
        raise ArchiveRefusal("archive-settings", "A certificate or key file cannot be read.") from error
    return context


def check_status(status: Dataset) -> bool:
    """Look at the status of one answer.

    Returns:
        Whether more answers follow.

    Raises:
        ArchiveRefusal: It is neither pending nor a success; warnings are successes.
    """
    code = code_of(status)
    if code in _PENDING:
        return True
    if code == 0 or code in _WARNINGS:
        return False
    if code is None:
        raise ArchiveRefusal(
            "archive-unreachable",
            "The archive did not answer, or it ended the connection.",
            "Some archives do so where they do not know our AE title.",
        )
    if code == 0x0124:
        raise ArchiveRefusal("archive-auth", "The archive does not let our AE title do that (status 0124).")
    if 0xA700 <= code <= 0xA7FF or code == 0xFE00:
        raise ArchiveRefusal("archive-busy", f"The archive is out of resources (status {code:04X}).")
    if code in (0x0122, 0x0211):
        raise ArchiveRefusal("archive-not-supported", f"The archive does not support that (status {code:04X}).")
    if 0xA900 <= code <= 0xA9FF:
        raise ArchiveRefusal("bad-query", f"The archive does not accept the query (status {code:04X}).")
    raise ArchiveRefusal("archive-error", f"The archive failed on its side (status {code:04X}).")


def code_of(status: Dataset) -> int | None:
    """The number of a status; None where no answer came."""
    code = status.get("Status")
    return None if code is None else int(code)


def _address_of(settings: DimseSettings) -> str:
    """The address to connect to, and no name that could come to lead elsewhere after it was looked at."""
    try:
        address: str = AddressInformation.from_addr_port(settings.host, settings.port).address
    except (OSError, UnicodeError) as error:
        raise ArchiveRefusal("archive-unreachable", "The archive's name leads to no address.") from error
    if is_forbidden(address):
        raise ArchiveRefusal("archive-origin", "The archive's name leads to an address that is never asked.")
    return address


def _refusal_of(association: Association, settings: DimseSettings, address: str) -> ArchiveRefusal:
    """Why an association was not opened."""
    if association.is_rejected:
        answer = association.acceptor.primitive
        reason = getattr(answer, "diagnostic", None)
        if getattr(answer, "result", None) == 2:  # rejected for now
            return ArchiveRefusal("archive-busy", "The archive takes no further association for now.")
        if reason in _AE_NOT_KNOWN:
            return ArchiveRefusal(
                "archive-auth", "The archive does not know our AE title, or not its own.", "Make both known over there."
            )
        return ArchiveRefusal("archive-auth", "The archive rejected the association.")
    if association.rejected_contexts and not association.accepted_contexts:
        return ArchiveRefusal("archive-not-supported", "The archive supports none of what was asked for.")
    return _diagnose_connection(settings, address)


def _diagnose_connection(settings: DimseSettings, address: str) -> ArchiveRefusal:
    """Connect once more without DICOM, as pynetdicom does not say why a connection failed."""
    try:
        with socket.create_connection((address, settings.port), settings.connect_timeout_s) as plain:
            if settings.tls:
                with make_tls_context(settings).wrap_socket(plain, server_hostname=settings.host):
                    pass
    except ssl.SSLError:
        return ArchiveRefusal("archive-tls", "The archive's certificate is not trusted.", "Set ca_file.")
    except TimeoutError:
        return ArchiveRefusal("archive-timeout", "The archive did not answer in time.")
    except OSError:
        pass
    return ArchiveRefusal("archive-unreachable", "The archive cannot be reached, or it broke off.")
