"""What a peer of the listener may do before its first instance is looked at.

pynetdicom reads a PDU of any length, and an instance of any size, into memory before it asks anybody: here a peer that
sends more than the listener would take is cut off while it sends.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from lung_nodules.archive.refusals import ArchiveRefusal

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAX_PDU_BYTES = 2**20  # a peer keeps to the 16 KiB that are offered; what asks for an association may be longer
_REJECTED_FOR_GOOD = (0x01, 0x01, 0x01)  # PS3.8 9.3.4: permanent, by the service user, no reason given


@dataclass
class _Message:
    """What of one message has been read."""

    num_bytes: int = 0


class Gate:
    """Watches every association of a listener.

    Args:
        allowed_hosts: Where peers may be; empty: anywhere.
        max_message_bytes: Of one instance with its command.
    """

    def __init__(self, allowed_hosts: Sequence[Network], max_message_bytes: int) -> None:
        self._allowed_hosts = tuple(allowed_hosts)
        self._max_message_bytes = max_message_bytes
        self._messages: WeakKeyDictionary[Association, _Message] = WeakKeyDictionary()

    def handlers(self) -> list[tuple[evt.EventType, Callable[[Event], object]]]:
        """For `AE.start_server`."""
        return [
            (evt.EVT_CONN_OPEN, self._bound),
            (evt.EVT_REQUESTED, self._check_host),
            (evt.EVT_DIMSE_RECV, self._begin_message),
            (evt.EVT_CONN_CLOSE, self._free_place),
        ]

    def _bound(self, event: Event) -> None:
        """Let what is read from the peer be counted; pynetdicom aborts the association where reading raises."""
        reader = event.assoc.dul.socket
        assert reader is not None
        read = reader.recv
        message = self._messages.setdefault(event.assoc, _Message())

        def read_bounded(nr_bytes: int) -> bytearray:
            message.num_bytes += nr_bytes
            if nr_bytes > _MAX_PDU_BYTES or message.num_bytes > self._max_message_bytes:
                raise ArchiveRefusal("archive-too-large", "A peer sends more than is taken.")
            return read(nr_bytes)

        reader.recv = read_bounded  # type: ignore[method-assign]  # pynetdicom has no hook before a PDU is whole

    def _begin_message(self, event: Event) -> None:
        """A message has come whole: the next one is counted from its beginning."""
        self._messages.setdefault(event.assoc, _Message()).num_bytes = 0

    def _check_host(self, event: Event) -> None:
        peer = event.assoc.requestor.address_info
        if self._allowed_hosts and (peer is None or not self._is_allowed(peer.address)):
            event.assoc.acse.send_reject(*_REJECTED_FOR_GOOD)

    def _free_place(self, event: Event) -> None:
        """End the association of a peer that left without asking for one, as a probe of a port does.

        pynetdicom would go on to wait for its request, and count it, until the time-out.
        """
        if event.assoc.requestor.primitive is None:
            event.assoc.dul.to_user_queue.put(None)  # type: ignore[arg-type]  # what a time-out comes to

    def _is_allowed(self, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address):
            address = address.ipv4_mapped or address
        return any(address in network for network in self._allowed_hosts)
