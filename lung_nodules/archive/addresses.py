"""Addresses that are never asked, whatever name of the settings leads there.

Whoever rules a name can let it point anywhere, also between two requests (DNS rebinding). Archives are within private
networks, so these are asked; but at link-local addresses a cloud gives a machine its credentials, and nothing else that
we know of lies there. What counts is the address that a connection has: see `connecting`.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# credentials of a machine that are not link-local: Alibaba Cloud, Azure, AWS, Google Cloud
METADATA = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254")))
NEVER_ASKED = "at this address a cloud gives out credentials, or nobody is: it is never asked"
_NAME = re.compile(r"[\w-]{1,63}(\.[\w-]{1,63})*\.?")  # of a host; also with letters beyond ASCII, and Docker's _
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenAddress(Exception):  # noqa: N818  # says what was met
    """A name leads to an address that is never asked."""

    def __init__(self) -> None:
        super().__init__("a name leads to an address that is never asked")


def is_forbidden(host: str) -> bool:
    """Whether an address, as text, is never asked; a name is not known to be."""
    try:
        address = _innermost(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return False
    return address.is_link_local or address.is_multicast or address.is_unspecified or address in METADATA


def is_ip_address(text: str) -> bool:
    """Whether a text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def check_host(host: str) -> str:
    """Give back the host of a setting.

    Raises:
        ValueError: It is neither a name nor an address, or an address that is never asked.
    """
    if not _NAME.fullmatch(host) and not is_ip_address(host):
        raise ValueError("a host is a name or an IP address, without blanks and other signs")
    if is_forbidden(host):
        raise ValueError(NEVER_ASKED)
    return host


def check_url(url: str) -> str:
    """Likewise a URL, by its host and its port.

    Raises:
        ValueError: Of `check_host`; or it holds a blank, or its port is none.
    """
    if any(sign.isspace() or not sign.isprintable() for sign in url):
        raise ValueError("an address holds no blanks")
    parts = urlsplit(url)
    if parts.hostname:
        check_host(parts.hostname)
    if not _has_sound_port(parts):
        raise ValueError("the port of an address is a number from 1 to 65535")
    return url


def _has_sound_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:  # no number, or too large a one
        return False


def _innermost(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4, Teredo or NAT64."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    teredo = address.teredo[1] if address.teredo else None
    translated = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return address.ipv4_mapped or address.sixtofour or teredo or translated or address
