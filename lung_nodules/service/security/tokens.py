"""Bearer tokens: who a token is for and which roles it holds, by PyJWT.

Two verifiers: `IssuerTokens` for tokens of an OpenID Connect provider (JWS signed with a private key whose public part
is in the provider's JWKS), `LocalTokens` for development, with one key that lies in a file on this machine. Which
algorithms are taken is fixed here and never read from a token: a token that says ``none``, or HS256 over the public
key, is refused (RFC 8725, 3.1 and 3.2). A refusal never repeats any part of a token.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

import jwt
from jwt import PyJWK

from lung_nodules.archive.settings import is_loopback
from lung_nodules.errors import UsageRefusal
from lung_nodules.service.security.access import AccessRefusal, Role, User
from lung_nodules.service.security.claims import token_refusal, user_of
from lung_nodules.service.security.keys import COOLDOWN_S, IssuerKeys
from lung_nodules.service.settings import AuthSettings, read_secret

# Asymmetric alone: whoever can check a token must not be able to make one.
ISSUER_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LOCAL_ALGORITHM = "HS256"
LOCAL_ISSUER = "lung-nodules-local"
LOCAL_AUDIENCE = "lung-nodules"
MIN_KEY_BYTES = 32  # RFC 7518, 3.2: as long as the hash
TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})  # not, say, logout+jwt, which the same key may sign
MAX_TOKEN_BYTES = 16_384
_REQUIRED = ["exp", "iss", "aud", "sub"]

# What PyJWT raises, most special first, and the code and sentence that a client gets.
_REASONS: tuple[tuple[type[jwt.PyJWTError], str, str], ...] = (
    (jwt.ExpiredSignatureError, "token-expired", "The token has expired."),
    (jwt.ImmatureSignatureError, "token-not-yet-valid", "The token is not valid yet."),
    (jwt.InvalidIssuedAtError, "token-not-yet-valid", "The token was issued in the future."),
    (jwt.InvalidAudienceError, "token-wrong-audience", "The token is for somebody else."),
    (jwt.InvalidIssuerError, "token-wrong-issuer", "The token is of another issuer."),
    (jwt.MissingRequiredClaimError, "token-incomplete", "The token lacks a claim that is needed."),
    (jwt.InvalidAlgorithmError, "token-algorithm", "The token is signed by an algorithm that is not taken."),
    (jwt.InvalidSignatureError, "token-signature", "The token's signature is not right."),
)


class Tokens(Protocol):
    """Tells who a token is for. `read` may block."""

    def read(self, token: str) -> User:
        """Check a token and give its user.

        Raises:
            AccessRefusal: 401 with a code for each thing that can be wrong; 403 ``no-role``; 503 where the issuer's
                keys cannot be had.
        """
        ...


class IssuerTokens:
    """Tokens of an OpenID Connect provider.

    The keys come from `jwks_url` alone, never from an address in a token (``jku``, ``x5u``); they are kept for five
    minutes, and asked for again when a token names a key that is not among them (rotation).

    Args:
        settings: With issuer, audience and jwks_url.

    Raises:
        UsageRefusal: ``bad-settings`` where one of them is missing, or the keys would come unencrypted from elsewhere.
    """

    def __init__(self, settings: AuthSettings, keys_cooldown_s: float = COOLDOWN_S) -> None:
        if not (settings.issuer and settings.audience and settings.jwks_url):
            raise UsageRefusal("bad-settings", "auth.mode=oidc needs auth.issuer, auth.audience and auth.jwks_url.")
        _check_keys_address(settings.jwks_url)
        self._settings = settings
        self._keys = IssuerKeys(settings.jwks_url, keys_cooldown_s)

    def read(self, token: str) -> User:
        """Check a token against the issuer's keys and give its user."""
        key = self._key_of(_header_of(token, ISSUER_ALGORITHMS))
        algorithm = key.algorithm_name
        if algorithm not in ISSUER_ALGORITHMS:
            raise token_refusal("token-key-unknown", "The token names a key that is not for signing.")
        assert self._settings.issuer is not None
        assert self._settings.audience is not None
        expected = _Expected(self._settings.issuer, self._settings.audience, self._settings.clock_skew_s)
        claims = _claims_of(token, key, (algorithm,), expected)
        return user_of(claims, self._settings, "oidc")

    def _key_of(self, header: Mapping[str, Any]) -> PyJWK:
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            raise token_refusal("token-key-unknown", "The token does not say by which key it is signed.")
        try:
            return self._keys.get_signing_key(kid)
        except jwt.PyJWKClientConnectionError as error:
            raise _no_keys() from error
        except jwt.PyJWKClientError as error:
            if not self._has_keys():
                raise _no_keys() from error
            raise token_refusal(
                "token-key-unknown", "The token is signed by a key that its issuer does not list."
            ) from error
        except (jwt.PyJWTError, ValueError) as error:  # an answer that is no list of keys
            raise _no_keys() from error

    def _has_keys(self) -> bool:
        """Whether the issuer has given keys at all; none are asked for here beyond what a cool-down allows."""
        try:
            return bool(self._keys.get_signing_keys())
        except jwt.PyJWTError:
            return False


class LocalTokens:
    """Tokens of the local key, for development: the key itself (an admin), or a JWT signed with it by HS256.

    Args:
        settings: With static_key_file; the key has 32 bytes or more.

    Raises:
        UsageRefusal: ``bad-settings`` without a file; ``weak-key`` where the key is short.
    """

    def __init__(self, settings: AuthSettings) -> None:
        if settings.static_key_file is None:
            raise UsageRefusal("bad-settings", "auth.mode=static needs auth.static_key_file.")
        self._settings = settings
        self._key = read_secret(settings.static_key_file)
        if len(self._key.encode()) < MIN_KEY_BYTES:
            advice = "Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            raise UsageRefusal("weak-key", f"The static key has fewer than {MIN_KEY_BYTES} bytes.", advice)

    def read(self, token: str) -> User:
        """Check a token against the local key and give its user."""
        if hmac.compare_digest(token.encode(), self._key.encode()):
            return User("static-key", Role.admin, "static")
        _header_of(token, (LOCAL_ALGORITHM,))
        expected = _Expected(LOCAL_ISSUER, LOCAL_AUDIENCE, self._settings.clock_skew_s)
        claims = _claims_of(token, self._key, (LOCAL_ALGORITHM,), expected)
        return user_of(claims, self._settings, "static")


def sign_local_token(key: str, subject: str, role: Role, lifetime: timedelta = timedelta(hours=8), **more: str) -> str:
    """Make a token of the local key for a user of one role, for development and tests.

    Args:
        key: The local key.
        subject: Who the user is.
        role: What the user may do.
        lifetime: How long.
        more: Further claims, such as the `name` that a corrected SR gives.
    """
    claims = {
        **more,
        "iss": LOCAL_ISSUER,
        "aud": LOCAL_AUDIENCE,
        "sub": subject,
        "roles": [str(role)],
        "exp": datetime.now(UTC) + lifetime,
    }
    return jwt.encode(claims, key, algorithm=LOCAL_ALGORITHM)


@dataclass(frozen=True)
class _Expected:
    issuer: str
    audience: str
    clock_skew_s: int


def _header_of(token: str, algorithms: tuple[str, ...]) -> Mapping[str, Any]:
    """Read the header that nothing has proved yet, for the names of key and algorithm."""
    if len(token) > MAX_TOKEN_BYTES:
        raise token_refusal("token-malformed", "The token is too long.")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError) as error:
        raise token_refusal("token-malformed", "The token is no signed JWT.") from error
    if header.get("alg") not in algorithms:
        raise token_refusal("token-algorithm", "The token is signed by an algorithm that is not taken.")
    if str(header.get("typ", "JWT")).lower() not in TYPES:  # RFC 8725, 3.11
        raise token_refusal("token-wrong-type", "The token is no access token.")
    return header


def _claims_of(token: str, key: PyJWK | str, algorithms: tuple[str, ...], expected: _Expected) -> Mapping[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(algorithms),
            issuer=expected.issuer,
            audience=expected.audience,
            leeway=expected.clock_skew_s,
            options={"require": _REQUIRED, "enforce_minimum_key_length": True},
        )
    except jwt.PyJWTError as error:
        code, sentence = next(
            ((code, sentence) for kind, code, sentence in _REASONS if isinstance(error, kind)),
            ("token-malformed", "The token cannot be read."),
        )
        raise token_refusal(code, sentence) from error
    except (ValueError, TypeError, OverflowError) as error:  # claims of a wrong kind
        raise token_refusal("token-malformed", "The token cannot be read.") from error
    return claims


def _check_keys_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or "")):
        return
    raise UsageRefusal("bad-settings", "auth.jwks_url must begin with https://: whoever alters keys can sign tokens.")


def _no_keys() -> AccessRefusal:
    return AccessRefusal(
        503, "issuer-unreachable", "The identity provider's keys cannot be had.", "Try again soon.", 10
    )
