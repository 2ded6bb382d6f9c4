"""Whose word counts on who calls: that of a proxy which the settings trust, and of nobody else."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from api_server import RunningApi
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from identity_provider import AUDIENCE, ISSUER, provider

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.security.proxies import TrustedProxies
from lung_nodules.service.settings import read_service_settings
from lung_nodules.service.supervisor import server_config

PROXIES = ("127.0.0.1", "10.1.0.0/24", "fd00:1::/64")
Headers = list[tuple[str, str]]


def seen(peer: str | None, headers: Headers, proxies: tuple[str, ...] = PROXIES) -> tuple[str, str]:
    """Address and scheme that the application sees."""
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "client": (peer, 4711) if peer else None, "scheme": "http", "headers": raw}
    middleware = TrustedProxies(app, [ip_network(each) for each in proxies])
    asyncio.run(middleware(scope, None, None))  # type: ignore[arg-type]  # neither is called
    return scopes[0]["client"][0] if scopes[0]["client"] else "-", scopes[0]["scheme"]


@pytest.mark.parametrize("peer", ["192.0.2.9", "10.1.1.0", "::1", "fd00:2::1", "::ffff:192.0.2.9", None])
@pytest.mark.parametrize("proxies", [PROXIES, ()])
def test_a_stranger_is_not_believed(peer: str | None, proxies: tuple[str, ...]) -> None:
    told = [("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-Proto", "https"), ("X-Real-IP", "198.51.100.7")]
    assert seen(peer, told, proxies) == (peer or "-", "http")


def test_by_default_nobody_is_believed() -> None:
    assert read_service_settings().trusted_proxies == ()
    assert seen("127.0.0.1", [("X-Forwarded-For", "198.51.100.7")], ()) == ("127.0.0.1", "http")


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.1.0.77", "fd00:1::5", "::ffff:10.1.0.77"])
def test_a_trusted_proxy_is_believed(peer: str) -> None:
    told = [("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-Proto", "https")]
    assert seen(peer, told) == ("198.51.100.7", "https")


@pytest.mark.parametrize(
    ("hops", "caller"),
    [
        (["1.1.1.1, 198.51.100.7"], "198.51.100.7"),  # what the caller had sent himself stands before
        (["1.1.1.1", "198.51.100.7"], "198.51.100.7"),
        (["1.1.1.1, 198.51.100.7, 10.1.0.9"], "198.51.100.7"),  # two proxies of ours
        (["10.1.0.8, 10.1.0.9"], "10.1.0.8"),  # one of ours has called
        (["198.51.100.7:52113"], "198.51.100.7"),
        (["[2001:db8::7]:52113"], "2001:db8::7"),
        (["2001:DB8::7"], "2001:db8::7"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["198.51.100.7, unknown"], "10.1.0.1"),
        (["198.51.100.7, unknown, 10.1.0.9"], "10.1.0.9"),
        (["DOE^JANE"], "10.1.0.1"),
        (["198.51.100.7,"], "10.1.0.1"),
        ([""], "10.1.0.1"),
        ([], "10.1.0.1"),
    ],
)
def test_each_hop_is_believed_as_long_as_the_one_that_wrote_it(hops: list[str], caller: str) -> None:
    assert seen("10.1.0.1", [("X-Forwarded-For", hop) for hop in hops])[0] == caller


@pytest.mark.parametrize(
    ("told", "scheme"), [("HTTPS", "https"), ("http, https", "https"), ("file", "http"), ("", "http")]
)
def test_a_scheme_is_one_of_two(told: str, scheme: str) -> None:
    assert seen("127.0.0.1", [("X-Forwarded-Proto", told)])[1] == scheme


@pytest.mark.parametrize("name", ["Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "X-Forwarded-Host"])
def test_other_headers_say_nothing(name: str) -> None:
    assert seen("127.0.0.1", [(name, "198.51.100.7")]) == ("127.0.0.1", "http")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    st.lists(st.text(st.characters(codec="latin-1"), max_size=50), max_size=4), st.sampled_from(["10.1.0.1", "8.8.8.8"])
)
def test_no_text_becomes_an_address(hops: list[str], peer: str) -> None:
    address, scheme = seen(peer, [("X-Forwarded-For", hop) for hop in hops] + [("X-Forwarded-Proto", "".join(hops))])
    ip_network(address)
    assert scheme in ("http", "https")
    assert peer == address or peer == "10.1.0.1"


@pytest.mark.parametrize("proxies", [["*"], ["0.0.0.0/0"], ["::/0"], ["proxy.example"], ["10.1.0.7/24"], [""]])
def test_proxies_are_named_one_by_one(proxies: list[str]) -> None:
    with pytest.raises(UsageRefusal, match="trusted_proxies"):
        read_service_settings(None, {"trusted_proxies": proxies})


def test_the_environment_names_them_and_a_child_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUNG_NODULES_SERVICE__TRUSTED_PROXIES", '["10.1.0.0/24", "fd00:1::7"]')
    read = read_service_settings()
    monkeypatch.delenv("LUNG_NODULES_SERVICE__TRUSTED_PROXIES")
    (tmp_path / "settings.yaml").write_text(read.model_dump_json())
    child = read_service_settings(tmp_path / "settings.yaml")
    assert child.trusted_proxies == read.trusted_proxies == (ip_network("10.1.0.0/24"), ip_network("fd00:1::7"))


def test_the_environment_of_uvicorn_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    assert not server_config(read_service_settings()).proxy_headers


@pytest.mark.service
@pytest.mark.parametrize(("trusted", "caller"), [((), "127.0.0.1"), (("127.0.0.1",), "198.51.100.7")])
def test_audit_and_rates_see_the_caller(
    serve: Callable[..., RunningApi],
    make_settings: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
    trusted: tuple[str, ...],
    caller: str,
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    with provider() as issuer:
        auth = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url}
        api = serve(make_settings(auth=auth, trusted_proxies=trusted, rate_limit={"per_minute": 40, "burst": 40}))

        def ask(address: str) -> Any:
            told = {"X-Forwarded-For": f"{secrets.randbelow(200)}.1.1.1, {address}", "X-Forwarded-Proto": "https"}
            bad = {"Authorization": f"Bearer {issuer.sign('hidden')}"}
            return api.client.get("/v1/me", headers={**told, **bad})

        answers = [ask("198.51.100.7") for _ in range(6)]
        assert answers[-1].status_code == 429
        assert ask("198.51.100.8").status_code == (401 if trusted else 429), "another caller behind the same proxy"
        assert ("Strict-Transport-Security" in answers[0].headers) == bool(trusted)
        assert caller in {address for (address,) in api.query("SELECT address FROM audit_entries")}
