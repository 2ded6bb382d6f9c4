import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from service_fixtures import make_settings, short_folder

from lung_nodules.service.database.embedded import EmbeddedServer, embedded_server
from lung_nodules.service.settings import ServiceSettings


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    with short_folder() as folder, embedded_server(folder) as started:
        yield started


@pytest.fixture
def make(server: EmbeddedServer, tmp_path: Path) -> Callable[..., ServiceSettings]:
    return lambda **changes: make_settings(server, tmp_path, **changes)


@pytest.fixture
def settings(make: Callable[..., ServiceSettings]) -> ServiceSettings:
    return make()


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine to its end, within the time that a test has."""
    return lambda coroutine: asyncio.run(asyncio.wait_for(coroutine, 240))
