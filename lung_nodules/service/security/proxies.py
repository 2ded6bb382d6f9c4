"""Who calls, and by which scheme, where a proxy in front passes both on in X-Forwarded-For and X-Forwarded-Proto.

Anybody can send these headers, so they count where the connection comes from a proxy that the settings trust, and each
hop of the list as long as the one that wrote it is trusted. Not uvicorn's own middleware: that takes any text for an
address, and the list from the environment.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SCHEMES = ("http", "https")


class TrustedProxies:
    """Puts the caller's address and scheme in place of the proxy's; every other such header is ignored.

    Args:
        app: What comes next.
        networks: Where the trusted proxies are; none: nobody is.
    """

    def __init__(self, app: ASGIApp, networks: Sequence[Network]) -> None:
        self.app = app
        self._networks = tuple(networks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as the one that it is."""
        peer = _address_of(scope["client"][0]) if scope.get("client") else None
        if scope["type"] == "http" and peer is not None and self._trusts(peer):
            scope = {**scope, **self._told_by_proxy(peer, Headers(scope=scope))}
        await self.app(scope, receive, send)

    def _told_by_proxy(self, peer: Address, headers: Headers) -> dict[str, Any]:
        told: dict[str, Any] = {}
        caller = self._caller(peer, _items(headers, "x-forwarded-for"))
        if caller is not peer:
            told["client"] = (str(caller), 0)
        schemes = _items(headers, "x-forwarded-proto")
        if schemes and schemes[-1].lower() in _SCHEMES:
            told["scheme"] = schemes[-1].lower()
        return told

    def _caller(self, peer: Address, hops: Iterable[str]) -> Address:
        """The first hop, from our end, that is no trusted proxy; before one that cannot be read, the last that can."""
        caller = peer
        for hop in reversed(list(hops)):
            address = _address_of(hop)
            if address is None:
                break
            caller = address
            if not self._trusts(address):
                break
        return caller

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _items(headers: Headers, name: str) -> list[str]:
    """The items of a list that may be spread over several headers."""
    return [item.strip() for value in headers.getlist(name) for item in value.split(",")]


def _address_of(text: str) -> Address | None:
    """An address without its port; an IPv4 address that is written as an IPv6 one (::ffff:192.0.2.1) as itself."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
