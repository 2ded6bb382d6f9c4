"""How many event streams a user may have open."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx2
import pytest
from api_server import RunningApi
from identity_provider import AUDIENCE, ISSUER, Provider, bearer
from results_maker import add_job

from lung_nodules.service.api.streams import Streams
from lung_nodules.service.security.access import AccessRefusal

ALL = "/v1/events"


@contextmanager
def following(api: RunningApi, path: str, headers: dict[str, str]) -> Iterator[httpx2.Response]:
    with api.client.stream("GET", path, headers=headers) as answer:
        if answer.is_error:
            answer.read()
        yield answer


@pytest.mark.service
def test_streams_of_a_user_are_bounded_and_a_closed_one_makes_room(
    serve: Callable[..., RunningApi], make_settings: Callable[..., object], issuer: Provider
) -> None:
    auth = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url}
    api = serve(make_settings(auth=auth, rate_limit={"streams": 2}))
    vera, olga = bearer(issuer, "viewer", "vera"), bearer(issuer, "operator", "olga")
    job = f"/v1/jobs/{add_job(api)}/events"
    with ExitStack() as first:
        for path in (ALL, job):
            assert first.enter_context(following(api, path, vera)).status_code == 200
        for path in (ALL, job):
            with following(api, path, vera) as refused:
                assert (refused.status_code, refused.json()["code"]) == (429, "too-many-streams")
                assert refused.headers["Content-Type"] == "application/problem+json"
                assert 1 <= int(refused.headers["Retry-After"]) <= 60
        with following(api, ALL, olga) as others:
            assert others.status_code == 200
        assert api.client.get("/v1/jobs", headers=vera).status_code == 200
    deadline = time.monotonic() + 10
    while True:
        with following(api, ALL, vera) as again:
            if again.status_code == 200:
                break
        assert time.monotonic() < deadline, "what was closed still counts"
        time.sleep(0.1)


def test_a_place_is_given_back_whatever_ends_the_stream() -> None:
    streams = Streams(1)
    for _ in range(3):
        with suppress(ZeroDivisionError), streams.one("vera"):
            with pytest.raises(AccessRefusal, match="too-many-streams"), streams.one("vera"):
                pass
            raise ZeroDivisionError
