"""A real database, and real servers on loopback ports, each with the settings that a test asks for."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest
from api_server import RunningApi, serving
from identity_provider import AUDIENCE, ISSUER, Provider, provider

from lung_nodules.service.database.embedded import embedded_server
from lung_nodules.service.settings import ServiceSettings

NO_ANALYSIS = "lung_nodules.service.api.app:create_app"  # never called: these tests start no worker


@pytest.fixture(scope="session")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_server(tmp_path_factory.mktemp("database")) as server:
        yield server.url


@pytest.fixture(scope="session")
def make_settings(database_server: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ServiceSettings]:
    """Settings with an empty database and an empty data folder."""

    def make(**changes: Any) -> ServiceSettings:
        name = f"api_{secrets.token_hex(6)}"
        with psycopg.connect(database_server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        folder = tmp_path_factory.mktemp(name)
        url_file = folder / "url"
        url_file.write_text(database_server.replace("/postgres?", f"/{name}?"))
        defaults: dict[str, Any] = {
            "data_folder": folder / "data",
            "database": {"url_file": url_file, "embedded": False},
            "workers": {"analysis": NO_ANALYSIS},
        }
        return ServiceSettings(**{**defaults, **changes})

    return make


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., RunningApi]]:
    """Start servers that run until the session ends."""
    with ExitStack() as stack:
        yield lambda settings, token=None: stack.enter_context(serving(settings, token))


@pytest.fixture(scope="session")
def api(serve: Callable[..., RunningApi], make_settings: Callable[..., ServiceSettings]) -> RunningApi:
    """A server in which everybody is an admin, with a folder as its archive, and wide rates."""
    return serve(make_settings(rate_limit={"per_minute": 1_000_000, "burst": 1_000_000}))


@pytest.fixture(scope="module")
def issuer() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture(scope="module")
def guarded(
    serve: Callable[..., RunningApi], make_settings: Callable[..., ServiceSettings], issuer: Provider
) -> RunningApi:
    """A server that takes the issuer's tokens."""
    auth = {"mode": "oidc", "issuer": ISSUER, "audience": AUDIENCE, "jwks_url": issuer.url}
    return serve(make_settings(auth=auth, host="0.0.0.0"))
