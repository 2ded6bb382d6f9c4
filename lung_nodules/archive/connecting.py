"""Connections that look where they lead, before a byte is sent: for `requests`, `urllib.request`, and TLS."""

from __future__ import annotations

import http.client
import socket
import ssl
import urllib.request
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

from lung_nodules.archive.addresses import ForbiddenAddress, is_forbidden


class GuardedAdapter(HTTPAdapter):
    """Lets `requests` connect to no forbidden address.

    Raises:
        ForbiddenAddress: From `send`.
    """

    def init_poolmanager(self, *arguments: Any, **more: Any) -> None:
        """Make the pools, of connections that look where they lead."""
        super().init_poolmanager(*arguments, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class GuardedHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Lets `urllib.request` connect to no forbidden address.

    Raises:
        ForbiddenAddress: From `open` of the opener that has it.
    """

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open a plain connection."""
        return self.do_open(_PlainConnection, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        """Open an encrypted connection."""
        return self.do_open(_TlsConnection, req)


class GuardedContext(ssl.SSLContext):
    """Checks certificates as Python does by default, and encrypts no connection to a forbidden address.

    Raises:
        ForbiddenAddress: From `wrap_socket`.
    """

    def __new__(cls) -> GuardedContext:
        """Make one for a client."""
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs()
        return context

    def wrap_socket(self, sock: socket.socket, *arguments: Any, **more: Any) -> ssl.SSLSocket:
        """Look where a connected socket leads before the first word of TLS."""
        return super().wrap_socket(_check_peer(sock), *arguments, **more)


class _PlainConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _check_peer(self.sock)


class _TlsConnection(http.client.HTTPSConnection, _PlainConnection):
    """Its `connect` calls that of the plain one, and only then encrypts."""


class _PooledConnection(urllib3.connection.HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _check_peer(super()._new_conn())


class _PooledTlsConnection(urllib3.connection.HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _check_peer(super()._new_conn())


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PooledConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _PooledTlsConnection


def _check_peer(connected: socket.socket) -> socket.socket:
    if is_forbidden(str(connected.getpeername()[0])):
        connected.close()
        raise ForbiddenAddress
    return connected
