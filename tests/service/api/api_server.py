"""A server of the API in a thread, on a real socket."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx2
import psycopg
import uvicorn
from fastapi import FastAPI

from lung_nodules.service.settings import ServiceSettings
from lung_nodules.service.supervisor import server_config


class RunningApi:
    """A server, its settings, and a client of its own."""

    def __init__(
        self, app: FastAPI, settings: ServiceSettings, address: tuple[str, int], client: httpx2.Client
    ) -> None:
        self.app = app
        self.settings = settings
        self.address = address
        self.client = client

    def query(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        """Ask its database."""
        assert self.settings.database.url_file is not None
        with psycopg.connect(self.settings.database.url_file.read_text(), autocommit=True) as connection:
            cursor = connection.execute(text.encode(), values)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def serving(settings: ServiceSettings, token: str | None = None) -> Iterator[RunningApi]:
    """Run the API on a free port until the block ends."""
    config = server_config(settings)
    config.timeout_graceful_shutdown = 1
    app = cast(FastAPI, config.app)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = listening.getsockname()
        server = uvicorn.Server(config)
        failures: list[BaseException] = []

        def run() -> None:
            try:
                asyncio.run(server.serve([listening]))
            except BaseException as error:  # told to the test
                failures.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        assert server.started, failures
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            with httpx2.Client(
                base_url=f"http://127.0.0.1:{address[1]}", headers=headers, timeout=30, trust_env=False
            ) as client:
                yield RunningApi(app, settings, address, client)
        finally:
            server.should_exit = True
            thread.join(30)
