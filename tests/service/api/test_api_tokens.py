"""Tokens that are wrong in each possible way, by keys made here and a real server of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_provider import AUDIENCE, ISSUER, Provider, provider

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.security.access import AccessRefusal, Role
from lung_nodules.service.security.identity import Identifier
from lung_nodules.service.security.tokens import IssuerTokens, LocalTokens, sign_local_token
from lung_nodules.service.settings import AuthSettings, ServiceSettings

KEY = "k" * 20 + "0123456789abcdef"


@pytest.fixture(scope="module")
def issuer() -> Iterator[Provider]:
    with provider() as running:
        yield running


def tokens_of(issuer: Provider, **changes: Any) -> IssuerTokens:
    values = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url, **changes}
    return IssuerTokens(AuthSettings(**values), keys_cooldown_s=0)


@pytest.fixture(scope="module")
def tokens(issuer: Provider) -> IssuerTokens:
    return tokens_of(issuer)


def encode(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed_by_hmac(issuer: Provider, key: bytes, header: dict[str, Any]) -> str:
    """What PyJWT itself refuses to make: HS256 with a public key as the secret."""
    text = f"{encode(header)}.{encode(issuer.claims())}"
    return f"{text}.{encode(hmac.digest(key, text.encode(), hashlib.sha256))}"


def altered(token: str, **changes: Any) -> str:
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    return f"{head}.{encode({**claims, **changes})}.{signature}"


def now() -> int:
    return int(time.time())


@pytest.mark.parametrize(("kid", "algorithm"), [("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA")])
def test_a_good_token_names_its_user(tokens: IssuerTokens, issuer: Provider, kid: str, algorithm: str) -> None:
    user = tokens.read(issuer.sign(kid, algorithm))
    assert (user.name, user.role, user.auth_mode) == ("anna", Role.operator, "oidc")


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "application/at+jwt", None])
@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["other", AUDIENCE]])
def test_an_access_token_for_us_among_others_is_good(
    tokens: IssuerTokens, issuer: Provider, typ: str | None, aud: object
) -> None:
    assert tokens.read(issuer.sign(headers={"typ": typ}, aud=aud)).name == "anna"


def test_what_a_token_says_of_its_key_is_not_looked_at(tokens: IssuerTokens, issuer: Provider) -> None:
    with provider() as elsewhere:
        told = {"jku": elsewhere.url, "x5u": elsewhere.url, "jwk": {"kty": "RSA"}, "x5c": ["MIIB"]}
        assert tokens.read(issuer.sign(headers=told)).name == "anna"
        assert elsewhere.num_requests == 0


BAD: dict[str, tuple[str, Callable[[Provider], str]]] = {
    "empty": ("token-malformed", lambda i: "x"),
    "no dots": ("token-malformed", lambda i: i.sign().replace(".", "")),
    "one dot": ("token-malformed", lambda i: i.sign().rpartition(".")[0]),
    "three dots": ("token-malformed", lambda i: i.sign() + ".x"),
    "no signature": ("token-signature", lambda i: i.sign().rpartition(".")[0] + "."),
    "not base64": ("token-malformed", lambda i: "$$$." + i.sign().partition(".")[2]),
    "header no object": ("token-malformed", lambda i: f"{encode([])}.{encode({})}.{encode(b'x')}"),
    "payload no object": (
        "token-malformed",
        lambda i: jwt.PyJWS().encode(b"[]", i.keys["rsa"], "RS256", headers={"kid": "rsa"}),
    ),
    "too long": ("token-malformed", lambda i: i.sign(padding="x" * 20_000)),
    "alg none": ("token-algorithm", lambda i: f"{encode({'alg': 'none', 'kid': 'rsa'})}.{encode(i.claims())}."),
    "alg NONE": ("token-algorithm", lambda i: f"{encode({'alg': 'NONE', 'kid': 'rsa'})}.{encode(i.claims())}."),
    "no alg": ("token-algorithm", lambda i: f"{encode({'kid': 'rsa'})}.{encode(i.claims())}.{encode(b'x')}"),
    "alg a list": ("token-algorithm", lambda i: f"{encode({'alg': ['RS256']})}.{encode(i.claims())}.{encode(b'x')}"),
    "HS256 over the public key": (
        "token-algorithm",
        lambda i: signed_by_hmac(i, i.public_pem(), {"alg": "HS256", "kid": "rsa"}),
    ),
    "RS256 said, HS256 done": (
        "token-signature",
        lambda i: signed_by_hmac(i, i.public_pem(), {"alg": "RS256", "kid": "rsa"}),
    ),
    "key of another kind": ("token-algorithm", lambda i: i.sign("rsa", "RS256", headers={"kid": "ec"})),
    "key of another user": ("token-signature", lambda i: i.sign("hidden", headers={"kid": "rsa"})),
    "kid unknown": ("token-key-unknown", lambda i: i.sign("hidden")),
    "kid missing": ("token-key-unknown", lambda i: jwt.encode(i.claims(), i.keys["rsa"], "RS256")),
    "kid a path": ("token-key-unknown", lambda i: i.sign(headers={"kid": "../../etc/passwd"})),
    "own key in the header": (
        "token-key-unknown",
        lambda i: i.sign("hidden", headers={"jwk": {"kty": "RSA"}, "jku": "http://127.0.0.1:1/", "kid": "mine"}),
    ),
    "key's address in the header": (
        "token-key-unknown",
        lambda i: i.sign("hidden", headers={"jku": i.url, "x5u": i.url, "x5c": ["MIIB"], "kid": "hidden"}),
    ),
    "key's address in the header, kid of another": (
        "token-signature",
        lambda i: i.sign("hidden", headers={"jku": i.url, "jwk": {"kty": "RSA"}, "kid": "rsa"}),
    ),
    "kid an address": ("token-key-unknown", lambda i: i.sign(headers={"kid": i.url})),
    "kid an injection": ("token-key-unknown", lambda i: i.sign(headers={"kid": "rsa' OR '1'='1"})),
    "kid a number": (
        "token-malformed",
        lambda i: f"{encode({'alg': 'RS256', 'kid': 7})}.{encode(i.claims())}.x" + "A" * 7,
    ),
    "RS256 by a key that is EC": ("token-algorithm", lambda i: i.sign("hidden", "RS256", headers={"kid": "ec"})),
    "ES256 by a key that is RSA": ("token-algorithm", lambda i: i.sign("ec", "ES256", headers={"kid": "rsa"})),
    "PS256 by a key that is for RS256": ("token-algorithm", lambda i: i.sign("rsa", "PS256")),
    "HS256 over the public key, as DER": (
        "token-algorithm",
        lambda i: signed_by_hmac(i, i.public_der(), {"alg": "HS256", "kid": "rsa"}),
    ),
    "HS256 over the key as it is listed": (
        "token-algorithm",
        lambda i: signed_by_hmac(i, json.dumps(i.jwks()["keys"][0]).encode(), {"alg": "HS256", "kid": "rsa"}),
    ),
    "ES256 of zeros": (  # CVE-2022-21449
        "token-signature",
        lambda i: f"{encode({'alg': 'ES256', 'kid': 'ec'})}.{encode(i.claims())}.{encode(bytes(64))}",
    ),
    "encrypted": (
        "token-malformed",
        lambda i: ".".join([encode({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": "rsa"}), *["QUJDRA"] * 4]),
    ),
    "encrypted, in three parts": (
        "token-algorithm",
        lambda i: f"{encode({'alg': 'dir', 'enc': 'A256GCM', 'kid': 'rsa'})}.{encode(i.claims())}.{encode(b'x')}",
    ),
    "two tokens": ("token-malformed", lambda i: f"{i.sign()} {i.sign()}"),
    "typ of a logout": ("token-wrong-type", lambda i: i.sign(headers={"typ": "logout+jwt"})),
    "typ of a proof": ("token-wrong-type", lambda i: i.sign(headers={"typ": "dpop+jwt"})),
    "typ no text": (
        "token-wrong-type",
        lambda i: jwt.PyJWS().encode(b"{}", i.keys["rsa"], headers={"typ": ["JWT"]}, algorithm="RS256"),
    ),
    "payload not encoded": ("token-malformed", lambda i: i.sign(headers={"crit": ["b64"], "b64": False})),
    "critical header empty": ("token-malformed", lambda i: i.sign(headers={"crit": []})),
    "critical header unknown": ("token-malformed", lambda i: i.sign(headers={"crit": ["exp2"], "exp2": 1})),
    "claims altered": ("token-signature", lambda i: altered(i.sign(), roles=["admin"])),
    "issuer wrong": ("token-wrong-issuer", lambda i: i.sign(iss="https://issuer.test/other")),
    "issuer longer": ("token-wrong-issuer", lambda i: i.sign(iss=ISSUER + "/")),
    "issuer missing": ("token-incomplete", lambda i: i.sign(iss=None)),
    "audience wrong": ("token-wrong-audience", lambda i: i.sign(aud="other")),
    "audience missing": ("token-incomplete", lambda i: i.sign(aud=None)),
    "audience a part": ("token-wrong-audience", lambda i: i.sign(aud="lung")),
    "audience in other letters": ("token-wrong-audience", lambda i: i.sign(aud=AUDIENCE.upper())),
    "issuer in other letters": ("token-wrong-issuer", lambda i: i.sign(iss=ISSUER.upper())),
    "audiences of others": ("token-wrong-audience", lambda i: i.sign(aud=["a", "b"])),
    "expired": ("token-expired", lambda i: i.sign(exp=now() - 31)),
    "expired when time began": ("token-expired", lambda i: i.sign(exp=0)),
    "exp missing": ("token-incomplete", lambda i: i.sign(exp=None)),
    "not yet valid": ("token-not-yet-valid", lambda i: i.sign(nbf=now() + 300)),
    "issued in the future": ("token-not-yet-valid", lambda i: i.sign(iat=now() + 300)),
    "subject missing": ("token-incomplete", lambda i: i.sign(sub=None)),
    "subject empty": ("token-malformed", lambda i: i.sign(sub="")),
    "subject of nobody": ("token-malformed", lambda i: i.sign(sub="-")),
    "subject with a line": ("token-malformed", lambda i: i.sign(sub="anna\nlog")),
    "subject long": ("token-malformed", lambda i: i.sign(sub="a" * 201)),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_refused_and_not_repeated(tokens: IssuerTokens, issuer: Provider, name: str) -> None:
    code, make = BAD[name]
    token = make(issuer)
    with pytest.raises(AccessRefusal) as refused:
        tokens.read(token)
    assert (refused.value.status, refused.value.code) == (401, code)
    assert token not in refused.value.sentence + refused.value.advice


def raw_claims(issuer: Provider, **changes: Any) -> str:
    """Claims of kinds that PyJWT would not sign."""
    payload = json.dumps({**issuer.claims(), **changes}).encode()
    return jwt.PyJWS().encode(payload, issuer.keys["rsa"], "RS256", headers={"kid": "rsa", "typ": "JWT"})


WRONG_KINDS = [
    (claim, value)
    for claim in ("exp", "nbf", "iat", "sub", "iss", "aud")
    for value in ("soon", [], {}, [1], 1e400, True)
    if (claim, value) not in (("sub", "soon"), ("nbf", True), ("iat", True))  # a name; a second after 1970
]


@pytest.mark.parametrize(("claim", "value"), WRONG_KINDS)
def test_a_claim_of_a_wrong_kind_is_refused(tokens: IssuerTokens, issuer: Provider, claim: str, value: object) -> None:
    with pytest.raises(AccessRefusal) as refused:
        tokens.read(raw_claims(issuer, **{claim: value}))
    assert refused.value.status == 401


@pytest.mark.parametrize(
    "roles", [None, [], ["reader"], "reader", {"admin": True}, 7, [["admin"]], "Admin", "administrator"]
)
def test_a_token_without_a_known_role_is_known_but_may_nothing(
    tokens: IssuerTokens, issuer: Provider, roles: object
) -> None:
    with pytest.raises(AccessRefusal) as refused:
        tokens.read(issuer.sign(roles=roles))
    assert (refused.value.status, refused.value.code) == (403, "no-role")


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        (["viewer"], Role.viewer),
        (["admin", "viewer"], Role.admin),
        ("viewer operator", Role.operator),
        (["x", "viewer"], Role.viewer),
    ],
)
def test_the_highest_role_counts(tokens: IssuerTokens, issuer: Provider, roles: object, role: Role) -> None:
    assert tokens.read(issuer.sign(roles=roles)).role == role


def test_roles_may_lie_within_a_claim_or_under_a_name_with_dots(issuer: Provider) -> None:
    nested = tokens_of(issuer, role_claim="realm_access.roles")
    assert nested.read(issuer.sign(roles=None, realm_access={"roles": ["admin"]})).role == Role.admin
    dotted = tokens_of(issuer, role_claim="https://x.test/roles")
    assert dotted.read(issuer.sign(**{"roles": None, "https://x.test/roles": ["viewer"]})).role == Role.viewer


def test_a_clock_may_be_off_by_the_skew(issuer: Provider) -> None:
    lenient = tokens_of(issuer, clock_skew_s=60)
    assert lenient.read(issuer.sign(exp=now() - 30, nbf=now() + 30)).name == "anna"
    strict = tokens_of(issuer, clock_skew_s=0)
    with pytest.raises(AccessRefusal, match="expired"):
        strict.read(issuer.sign(exp=now() - 2))


def test_keys_are_asked_for_once_and_again_when_they_rotate() -> None:
    with provider() as issuer:
        tokens = tokens_of(issuer)
        for _ in range(5):
            tokens.read(issuer.sign())
        assert issuer.num_requests == 1
        issuer.keys = {"rsa-2": rsa.generate_private_key(65537, 2048)}
        assert tokens.read(issuer.sign("rsa-2")).name == "anna"
        assert issuer.num_requests == 2


def test_unknown_keys_do_not_make_us_ask_all_the_time() -> None:
    with provider() as issuer:
        values = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url}
        tokens = IssuerTokens(AuthSettings(**values))
        for number in range(20):
            with pytest.raises(AccessRefusal):
                tokens.read(issuer.sign("hidden", headers={"kid": f"k{number}"}))
        assert issuer.num_requests == 1


def test_while_the_issuer_is_away_its_keys_are_good_for_five_minutes() -> None:
    with provider() as issuer:
        tokens = tokens_of(issuer)
        token = issuer.sign()
        tokens.read(token)
        issuer.answer = 500
        assert tokens.read(token).name == "anna"
        with pytest.raises(AccessRefusal) as refused:
            tokens.read(issuer.sign("hidden"))
        assert refused.value.status in (401, 503)


def test_an_issuer_that_fails_is_not_asked_all_the_time() -> None:
    with provider() as issuer:
        values = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url}
        tokens, issuer.answer = IssuerTokens(AuthSettings(**values)), 500
        for _ in range(20):
            with pytest.raises(AccessRefusal, match="cannot be had"):
                tokens.read(issuer.sign())
        assert issuer.num_requests == 1


def test_an_issuer_that_was_away_is_asked_again() -> None:
    with provider() as away:
        tokens, away.answer = tokens_of(away), 500
        with pytest.raises(AccessRefusal):
            tokens.read(away.sign())
        away.answer = None
        assert tokens.read(away.sign()).name == "anna"


def test_many_who_come_at_once_make_us_ask_once() -> None:
    with provider() as issuer, ThreadPoolExecutor(12) as pool:
        issuer.delay_s, tokens = 0.3, tokens_of(issuer)
        users = list(pool.map(tokens.read, [issuer.sign() for _ in range(12)]))
        assert [user.name for user in users] == ["anna"] * 12
        assert issuer.num_requests == 1


def test_an_issuer_that_is_gone_is_no_reason_to_let_anybody_in() -> None:
    with provider() as issuer:
        token, tokens = issuer.sign(), tokens_of(issuer)
    with pytest.raises(AccessRefusal) as refused:
        tokens.read(token)
    assert (refused.value.status, refused.value.code) == (503, "issuer-unreachable")


def test_a_key_that_was_withdrawn_signs_no_more() -> None:
    with provider() as issuer:
        old = issuer.sign()
        tokens = tokens_of(issuer)
        tokens.read(old)
        issuer.hidden.add("rsa")
        with pytest.raises(AccessRefusal, match="does not list"):
            tokens.read(issuer.sign("hidden"))  # makes it ask again
        with pytest.raises(AccessRefusal, match="does not list"):
            tokens.read(old)


@pytest.mark.parametrize(
    "answer", [500, 404, 302, 200, b"", b"not json", b"[]", b'{"keys": []}', b'{"keys": 7}', b'{"keys": [{}]}']
)
def test_keys_that_cannot_be_had_are_our_trouble_and_not_the_callers(answer: bytes | int) -> None:
    with provider() as issuer:
        issuer.answer = answer
        with pytest.raises(AccessRefusal) as refused:
            tokens_of(issuer).read(issuer.sign())
        assert (refused.value.status, refused.value.code) == (503, "issuer-unreachable")
        assert issuer.num_requests <= 2  # no redirect was followed to a third


def test_a_secret_among_the_keys_signs_nothing(issuer: Provider) -> None:
    with provider() as other:
        secret = b"s" * 32
        other.extra_keys = [{"kty": "oct", "kid": "oct", "k": encode(secret), "alg": "HS256"}]
        token = jwt.encode(other.claims(), secret, "HS256", headers={"kid": "oct"})
        with pytest.raises(AccessRefusal) as refused:
            tokens_of(other).read(token)
        assert refused.value.code == "token-algorithm"
        said = signed_by_hmac(other, secret, {"alg": "RS256", "kid": "oct"})
        with pytest.raises(AccessRefusal) as refused:
            tokens_of(other).read(said)
        assert refused.value.code == "token-key-unknown"


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_change_of_any_byte_is_let_through(tokens: IssuerTokens, issuer: Provider, data: st.DataObject) -> None:
    token = issuer.sign(exp=now() + 3600)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="latin-1").filter(lambda c: c != token[at]))
    changed = token[:at] + other + token[at + 1 :]
    if at == len(token) - 1:  # base64url leaves some bits of the last character unused
        changed = token[:-1]
    with pytest.raises(AccessRefusal) as refused:
        tokens.read(changed)
    assert refused.value.status == 401


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=400))
def test_no_text_makes_a_verifier_fail(tokens: IssuerTokens, local: LocalTokens, text: str) -> None:
    for each in (tokens, local):
        with pytest.raises(AccessRefusal):
            each.read(text)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> LocalTokens:
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text(KEY + "\n")
    return LocalTokens(AuthSettings(mode="static", static_key_file=path))


def test_the_local_key_is_an_admin_and_signs_for_others(local: LocalTokens) -> None:
    assert local.read(KEY).role == Role.admin
    user = local.read(sign_local_token(KEY, "vera", Role.viewer))
    assert (user.name, user.role, user.auth_mode) == ("vera", Role.viewer, "static")


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (KEY[:-1], "token-malformed"),
        (sign_local_token("z" * 40, "vera", Role.admin), "token-signature"),
        (jwt.encode({"sub": "v", "roles": "admin", "exp": 9e9}, KEY, "HS256"), "token-incomplete"),
        (jwt.encode({"sub": "v"}, None, "none"), "token-algorithm"),
        (jwt.encode({"sub": "v"}, KEY * 2, "HS512"), "token-algorithm"),
    ],
)
def test_a_bad_local_token_is_refused(local: LocalTokens, token: str, code: str) -> None:
    with pytest.raises(AccessRefusal) as refused:
        local.read(token)
    assert (refused.value.status, refused.value.code) == (401, code)


def test_a_weak_or_missing_key_does_not_start(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("x" * 31)
    for path, code in ((short, "weak-key"), (tmp_path / "none", "bad-settings"), (None, "bad-settings")):
        with pytest.raises(UsageRefusal) as refused:
            LocalTokens(AuthSettings(mode="static", static_key_file=path))
        assert refused.value.code == code


@pytest.mark.parametrize("missing", ["issuer", "audience", "jwks_url"])
def test_an_issuer_that_is_half_set_does_not_start(issuer: Provider, missing: str) -> None:
    good = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url}
    with pytest.raises(UsageRefusal, match="needs"):
        IssuerTokens(AuthSettings(**{**good, missing: None}))


@pytest.mark.parametrize("url", ["http://keys.test/jwks", "ftp://keys.test/", "file:///etc/passwd", "keys"])
def test_keys_come_over_an_encrypted_line_alone(issuer: Provider, url: str) -> None:
    with pytest.raises(UsageRefusal, match="https"):
        tokens_of(issuer, jwks_url=url)


@pytest.mark.parametrize("mode", ["none", "static"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_a_public_address_needs_an_issuer(mode: str, host: str, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    with pytest.raises(UsageRefusal) as refused:
        Identifier(ServiceSettings(host=host, auth={"mode": mode, "static_key_file": key}))
    assert refused.value.code == "insecure-address"
