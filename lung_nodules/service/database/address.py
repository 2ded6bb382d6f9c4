"""Which database the settings mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from lung_nodules.archive.addresses import is_ip_address
from lung_nodules.errors import UsageRefusal
from lung_nodules.service.database.embedded import embedded_url, socket_folder_of
from lung_nodules.service.settings import ServiceSettings, read_secret

_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")


def database_url(settings: ServiceSettings) -> str:
    """The libpq URL of the database: what `database.url_file` holds, or the embedded server's.

    Raises:
        UsageRefusal: ``bad-settings`` where there is neither, or the file holds no such URL; its text is never in the
            sentence.
    """
    if settings.database.url_file is not None:
        url = read_secret(settings.database.url_file)
        if not _is_address(_parse(url)):
            raise UsageRefusal(
                "bad-settings",
                f"The file {settings.database.url_file} holds no database URL that can be used.",
                "Write postgresql://user:password@host/name, with %40 for @, %2F for / and so on in the password.",
            )
        return url
    if not settings.database.embedded:
        raise UsageRefusal("bad-settings", "database.embedded is off, and database.url_file names no database.")
    return embedded_url(socket_folder_of(settings.data_folder))


def is_embedded(settings: ServiceSettings) -> bool:
    """Whether the database is the embedded server, which `serve` starts."""
    return settings.database.url_file is None and settings.database.embedded


def _parse(url: str) -> Mapping[str, Any] | None:
    """The parts of a URL as libpq reads it; None where it cannot. Its error quotes the URL, so it goes no further."""
    try:
        return conninfo_to_dict(url)
    except psycopg.Error:
        return None


def _is_address(parts: Mapping[str, Any] | None) -> bool:
    """Whether hosts, ports and name can be such: where a password is not encoded, a piece of it is taken for them."""
    if parts is None:
        return False
    hosts, ports = (str(parts.get(key, "")).split(",") for key in ("host", "port"))
    is_named_well = "@" not in str(parts.get("dbname", ""))
    return is_named_well and all(map(_is_host, hosts)) and all(map(_is_port, ports))


def _is_host(text: str) -> bool:
    """Whether libpq can take it for a host: none, a name, an address, or the folder of a socket."""
    return not text or text.startswith("/") or _HOST_NAME.fullmatch(text) is not None or is_ip_address(text)


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdecimal() and 0 < int(text) < 65536)
