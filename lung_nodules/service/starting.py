"""What is looked at before a part of the service starts.

What cannot work is one sentence and an exit code, and not a process that fails again and again.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Set as AbstractSet
from pathlib import Path

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.jobs.models_hash import check_models
from lung_nodules.service.settings import ServiceSettings


def check_data_folder(folder: Path) -> None:
    """Make the data folder where it is missing, and see whether files can be made in it.

    Raises:
        UsageRefusal: ``data-folder-unusable``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        sentence = f"The data folder {folder} cannot be used: {error.strerror}."
        raise UsageRefusal("data-folder-unusable", sentence, "Give another folder with --data.") from error


def check_parts(settings: ServiceSettings, parts: AbstractSet[str]) -> None:
    """Look at models and addresses of the parts that are to start.

    Raises:
        UsageRefusal: ``bad-settings`` of the line, or ``address-unusable``.
        ModelRefusal: A model is missing, altered or does not fit.
    """
    if "workers" in parts:
        check_models(settings)
    if "api" in parts:
        check_address("The API", settings.host, settings.port)
    if "listener" in parts and settings.listener is not None:
        check_address("The listener", settings.listener.host, settings.listener.port)


def check_desk(settings: ServiceSettings) -> None:
    """See whether the desk can be opened; the tables are up to date afterwards.

    Raises:
        UsageRefusal: ``bad-settings``, ``database-unreachable`` or ``database-version``.
        ModelRefusal: A model is missing.
    """
    asyncio.run(_open_desk(settings))


def check_address(what: str, host: str, port: int) -> None:
    """See whether a server could listen on an address, as asyncio's do.

    Args:
        what: Would listen, for the sentence.
        host: Name or address.
        port: 0: any.

    Raises:
        UsageRefusal: ``address-unusable``: the port is taken or reserved, or the host is not this machine.
    """
    try:
        asyncio.run(_bind(host, port))
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None) or 0
        why = os.strerror(number) if number > 0 else "there is no such host"  # negative: of the resolver
        sentence = f"{what} cannot listen on {join_address(host, port)}: {why}."
        raise UsageRefusal("address-unusable", sentence, "Stop what listens there, or take another port.") from error


def join_address(host: str, port: int) -> str:
    """HOST:PORT as URLs have it: an IPv6 address in brackets (RFC 3986)."""
    return f"{f'[{host}]' if ':' in host else host}:{port}"


async def _open_desk(settings: ServiceSettings) -> None:
    from lung_nodules.service.jobs.desk import open_desk

    async with open_desk(settings):
        pass


async def _bind(host: str, port: int) -> None:
    """Take the port without listening, and leave it."""
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port, start_serving=False)
    server.close()
    await server.wait_closed()
