"""What the page needs to sign in at an issuer, and where a service that knows none may be offered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from api_server import RunningApi
from identity_provider import AUDIENCE
from pydantic import ValidationError

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.api.app import create_app
from lung_nodules.service.security.headers import PAGE_POLICY, page_policy
from lung_nodules.service.settings import AuthSettings, ServiceSettings, check_address

ISSUER = "https://idp.example.org:8443/realms/radiology"
OIDC: dict[str, Any] = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{ISSUER}/certs"}


@pytest.mark.service
def test_whoever_asks_learns_where_to_sign_in_and_no_more(
    serve: Callable[..., RunningApi], make_settings: Callable[..., ServiceSettings]
) -> None:
    api = serve(make_settings(auth={**OIDC, "client_id": "page", "scope": "openid offline_access"}))
    answer = api.client.get("/v1/sign-in")
    assert answer.json() == {
        "mode": "oidc",
        "issuer": ISSUER,
        "client_id": "page",
        "scope": "openid offline_access",
    }
    assert api.client.get("/v1/me").status_code == 401
    policy = api.client.get("/").headers["Content-Security-Policy"]
    assert "connect-src 'self' https://idp.example.org:8443;" in policy


def test_the_page_may_call_nobody_but_an_issuer_that_it_signs_in_at() -> None:
    for auth in ({}, {"mode": "static", "issuer": ISSUER, "client_id": "page"}, OIDC):
        assert page_policy(AuthSettings(**auth)) == PAGE_POLICY
    allowed = page_policy(AuthSettings(**OIDC, client_id="page"))
    assert allowed.replace(" https://idp.example.org:8443", "") == PAGE_POLICY


@pytest.mark.parametrize(
    "issuer", ["https://idp.example.org;script-src *", "https://idp.example.org;script-src", "https://a b"]
)
def test_an_issuer_that_is_no_address_is_no_setting(issuer: str) -> None:
    with pytest.raises(ValidationError, match=r"holds no blanks|without blanks"):
        AuthSettings(**{**OIDC, "issuer": issuer}, client_id="page")


@pytest.mark.parametrize("issuer", ["http://idp.example.org", "//idp", "idp", "https://"])
def test_an_issuer_that_tokens_may_not_come_from_is_refused(issuer: str) -> None:
    auth = AuthSettings(**{**OIDC, "issuer": issuer}, client_id="page")
    with pytest.raises(UsageRefusal, match="bad-settings"):
        create_app(ServiceSettings(auth=auth))


@pytest.mark.parametrize("published", ["0.0.0.0:8080", "8080", "192.0.2.7:8080", "pacs.example.org:80", "[::]:80", ""])
@pytest.mark.parametrize("mode", ["none", "static"])
def test_a_service_without_an_issuer_is_offered_to_this_machine_alone(published: str, mode: str) -> None:
    with pytest.raises(UsageRefusal, match="insecure-address"):
        check_address(ServiceSettings(published=published, auth=AuthSettings(mode=mode)))
    check_address(ServiceSettings(published=published, auth=AuthSettings(mode="oidc")))


@pytest.mark.parametrize("published", [None, "127.0.0.1:8080", "localhost:80", "[::1]:8080"])
def test_on_this_machine_nobody_has_to_say_who_they_are(published: str | None) -> None:
    check_address(ServiceSettings(published=published))
