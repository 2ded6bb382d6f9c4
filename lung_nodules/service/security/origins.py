"""Which pages a browser may call us from.

A browser that stands on this machine lets any page of the web send requests to 127.0.0.1. Without an issuer, whoever
can connect may do everything, so two doors are shut: a Host that is no name of a loopback address (a name that its
owner lets point at 127.0.0.1, DNS rebinding), and, in every mode, a request that changes something and whose Origin is
neither ours nor in `cors_origins` (a form or a script of another page).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from lung_nodules.archive.settings import is_loopback
from lung_nodules.service.api.problems import ProblemRefusal, of_refusal
from lung_nodules.service.settings import ServiceSettings

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OriginGuard:
    """Refuses requests that a foreign page has made a browser send."""

    def __init__(self, app: ASGIApp, settings: ServiceSettings) -> None:
        self.app = app
        self._loopback_only = settings.auth.mode != "oidc"
        self._allowed = frozenset(settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = self._refusal_of(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
        else:
            await of_refusal(Request(scope), refusal)(scope, receive, send)

    def _refusal_of(self, scope: Scope) -> ProblemRefusal | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._loopback_only and not is_loopback(_name_of(host)):
            return ProblemRefusal(421, "foreign-host", "The service answers under the names of this machine alone.")
        if scope["method"] in _SAFE_METHODS or self._is_ours(headers, host):
            return None
        return ProblemRefusal(403, "foreign-origin", "A page of another origin may not do this.", "See cors_origins.")

    def _is_ours(self, headers: Headers, host: str) -> bool:
        origin = headers.get("origin")
        if origin is None:  # no browser, or a same-origin request of an old one
            return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
        return origin in self._allowed or (bool(host) and _netloc_of(origin) == host.lower())


def _netloc_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name_of(host: str) -> str:
    """The name or address in a Host header, without port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
