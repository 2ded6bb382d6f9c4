"""Headers that tell a browser what a page of ours may do: as little as it can live with.

A fixed table by hand and not a library, because it is one, and because a test holds it against the page.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lung_nodules.archive.settings import is_loopback
from lung_nodules.errors import UsageRefusal
from lung_nodules.service.settings import AuthSettings

# No inline script or style, nothing from elsewhere, in nobody's frame. blob: and data: are pictures that the page
# draws itself; a worker of the page may be one too.
PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "font-src 'self'",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
    )
)
DATA_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_DATA_PATHS = ("/v1/", "/health/", "/metrics", "/openapi.json", "/generate_report")


def page_policy(auth: AuthSettings) -> str:
    """The policy of the page; where it signs in by itself, it may also call the issuer.

    Raises:
        UsageRefusal: ``bad-settings`` where the issuer is no address that tokens may be had from.
    """
    if auth.mode != "oidc" or auth.client_id is None:
        return PAGE_POLICY
    parts = urlsplit(auth.issuer or "")
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not (is_safe and re.fullmatch(r"[\w.:\[\]-]+", parts.netloc)):
        raise UsageRefusal("bad-settings", "With auth.client_id, auth.issuer must be an https:// address.")
    return PAGE_POLICY.replace("connect-src 'self'", f"connect-src 'self' {parts.scheme}://{parts.netloc}")


class SecurityHeaders:
    """Adds the headers to every answer, errors included."""

    def __init__(self, app: ASGIApp, auth: AuthSettings) -> None:
        self.app = app
        self._page_policy = page_policy(auth)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and put the headers on its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_data = scope["path"].startswith(_DATA_PATHS)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers[name] = value
                headers["Content-Security-Policy"] = DATA_POLICY if is_data else self._page_policy
                if is_data:
                    headers.setdefault("Cache-Control", "no-store")
                if scope.get("scheme") == "https":
                    headers["Strict-Transport-Security"] = "max-age=31536000"
            await send(message)

        await self.app(scope, receive, send_with_headers)
