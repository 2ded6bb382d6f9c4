"""An identity provider of the tests: keys that it makes, and a real server of its JWKS."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://issuer.test/realm"
AUDIENCE = "lung-nodules"


class Provider:
    """Signs tokens and serves the public keys that it lists.

    Attributes:
        keys: Private keys by kid; those in `hidden` are not listed.
        num_requests: How often the keys were asked for.
        delay_s: Before each answer.
        answer: What is served in place of the keys, where set: a body, or a status.
    """

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "rsa": rsa.generate_private_key(65537, 2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
            "hidden": rsa.generate_private_key(65537, 2048),
        }
        self.hidden = {"hidden"}
        self.extra_keys: list[dict[str, Any]] = []
        self.num_requests = 0
        self.delay_s = 0.0
        self.answer: bytes | int | None = None
        self.url = ""

    def jwks(self) -> dict[str, Any]:
        listed = []
        for kid, key in self.keys.items():
            if kid in self.hidden:
                continue
            kind = {"rsa": jwt.algorithms.RSAAlgorithm, "ec": jwt.algorithms.ECAlgorithm}.get(kid.split("-")[0])
            algorithm = kind or jwt.algorithms.OKPAlgorithm
            entry = json.loads(algorithm.to_jwk(key.public_key()))
            listed.append({**entry, "kid": kid, "use": "sig"})
        return {"keys": [*listed, *self.extra_keys]}

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "anna",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "roles": ["operator"],
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def sign(
        self, kid: str = "rsa", algorithm: str = "RS256", headers: dict[str, Any] | None = None, **changes: Any
    ) -> str:
        return jwt.encode(self.claims(**changes), self.keys[kid], algorithm, headers={"kid": kid, **(headers or {})})

    def public_pem(self, kid: str = "rsa") -> bytes:
        pem: bytes = self.keys[kid].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def public_der(self, kid: str = "rsa") -> bytes:
        der: bytes = self.keys[kid].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return der


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a provider on a free port."""
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.num_requests += 1
            time.sleep(made.delay_s)
            answer = made.answer
            if isinstance(answer, int):
                self.send_response(answer)
                if answer in (301, 302, 307):
                    self.send_header("Location", made.url + "/other")
                self.end_headers()
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer if answer is not None else json.dumps(made.jwks()).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}/keys"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()


def bearer(issuer: Provider, role: str, name: str = "") -> dict[str, str]:
    """The header of a user with a role."""
    return {"Authorization": f"Bearer {issuer.sign(roles=[role], sub=name or f'{role}-user')}"}
