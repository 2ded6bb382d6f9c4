"""A small OpenID Connect provider that people sign in at: discovery, authorization code with PKCE, refresh, logout.

It refuses what a provider refuses: an unregistered address, a verifier that does not fit, a code or refresh token that
was used before.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from identity_provider import AUDIENCE, Provider

CLIENT = "lung-nodules-page"
REALM = "/realm"
SESSION = "provider_session"


class SignInProvider(Provider):
    """Keeps who is signed in and what was given out.

    Attributes:
        users: Roles by name.
        page: The one address that people are sent back to; empty until a page is there.
        token_lifetime_s: Of access tokens.
        num_refreshes: How often one was renewed.
        can_end_sessions: Whether there is an address at which the page ends one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.users = {"vera": ["viewer"], "olga": ["operator"], "ada": ["admin"], "nemo": []}
        self.page = ""
        self.issuer = ""
        self.token_lifetime_s = 600
        self.num_refreshes = 0
        self.can_end_sessions = True
        self.sessions: dict[str, str] = {}
        self.codes: dict[str, tuple[str, dict[str, str]]] = {}
        self.refreshes: dict[str, str] = {}

    def forget_everybody(self) -> None:
        """End all sessions, as an administrator of the provider does."""
        self.sessions.clear()
        self.refreshes.clear()

    def discovery(self) -> dict[str, Any]:
        places = {"authorization_endpoint": "auth", "token_endpoint": "token"}
        if self.can_end_sessions:
            places["end_session_endpoint"] = "logout"
        return {"issuer": self.issuer, **{name: f"{self.issuer}/{path}" for name, path in places.items()}}

    def authorize(self, asked: dict[str, str], user: str | None) -> str | None:
        """Where to send the browser; None where somebody has to say who they are first."""
        assert asked["redirect_uri"] == self.page
        assert (asked["client_id"], asked["response_type"]) == (CLIENT, "code")
        assert asked["code_challenge_method"] == "S256"
        if user is None:
            if asked.get("prompt") != "none":
                return None
            return f"{self.page}?{urlencode({'error': 'login_required', 'state': asked['state']})}"
        code = secrets.token_urlsafe()
        self.codes[code] = (user, asked)
        return f"{self.page}?{urlencode({'code': code, 'state': asked['state']})}"

    def grant(self, form: dict[str, str]) -> dict[str, Any] | None:
        """Tokens for a code or a refresh token; None where it is not good, or not any more."""
        if form.get("client_id") != CLIENT:
            return None
        if form["grant_type"] == "refresh_token":
            user = self.refreshes.pop(form["refresh_token"], None)
            self.num_refreshes += user is not None
            return self._tokens(user) if user else None
        user, asked = self.codes.pop(form["code"], (None, {}))
        proof = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        is_good = user is not None and proof == asked["code_challenge"] and form["redirect_uri"] == self.page
        return self._tokens(user) if is_good and user else None

    def _tokens(self, user: str) -> dict[str, Any]:
        refresh = secrets.token_urlsafe()
        self.refreshes[refresh] = user
        told: dict[str, Any] = {"iss": self.issuer, "sub": user}
        access = self.sign(**told, aud=AUDIENCE, roles=self.users[user], exp=self._ends_at())
        return {
            "access_token": access,
            "id_token": self.sign(**told, aud=CLIENT, roles=None),
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": self.token_lifetime_s,
            "scope": "openid",
        }

    def _ends_at(self) -> int:
        now: int = self.claims()["iat"]
        return now + self.token_lifetime_s


@contextmanager
def sign_in_provider() -> Iterator[SignInProvider]:
    """Run it on a free port."""
    made = SignInProvider()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"made": made}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.issuer = f"http://127.0.0.1:{server.server_port}{REALM}"
    made.url = f"{made.issuer}/keys"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """Speaks for the provider that its server belongs to."""

    made: SignInProvider

    def do_GET(self) -> None:
        path, asked = self._asked()
        if path == "/.well-known/openid-configuration":
            self._tell(self.made.discovery())
        elif path == "/keys":
            self._tell(self.made.jwks())
        elif path == "/auth":
            self._authorize(asked, self.made.sessions.get(self._session()))
        elif path == "/logout":
            assert asked["post_logout_redirect_uri"] == self.made.page
            self.made.sessions.pop(self._session(), None)
            self._send_to(self.made.page)
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        path, asked = self._asked()
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        if path == "/token":
            tokens = self.made.grant(form)
            self._tell(tokens or {"error": "invalid_grant"}, 200 if tokens else 400)
            return
        session = secrets.token_urlsafe()
        self.made.sessions[session] = form["user"]
        self._authorize(asked, form["user"], session)

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        return parts.path.removeprefix(REALM), dict(parse_qsl(parts.query))

    def _session(self) -> str:
        pairs = (pair.strip().split("=", 1) for pair in self.headers.get("Cookie", "").split(";") if "=" in pair)
        return dict(pairs).get(SESSION, "")

    def _authorize(self, asked: dict[str, str], user: str | None, session: str = "") -> None:
        place = self.made.authorize(asked, user)
        if place is not None:
            self._send_to(place, session)
            return
        buttons = "".join(f'<button name="user" value="{name}">{name}</button>' for name in self.made.users)
        self._answer(f'<form method="post">Who are you? {buttons}</form>'.encode(), "text/html")

    def _send_to(self, place: str, session: str = "") -> None:
        self.send_response(303)
        self.send_header("Location", place)
        if session:
            self.send_header("Set-Cookie", f"{SESSION}={session}; HttpOnly; SameSite=Lax; Path=/")
        self.end_headers()

    def _tell(self, document: Any, status: int = 200) -> None:
        self._answer(json.dumps(document).encode(), "application/json", status)

    def _answer(self, body: bytes, kind: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.made.page:  # the page of one origin may call
            self.send_header("Access-Control-Allow-Origin", self.made.page.rstrip("/"))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
