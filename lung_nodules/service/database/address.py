"""Which database the settings mean."""

from __future__ import annotations

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.database.embedded import embedded_url, socket_folder_of
from lung_nodules.service.settings import ServiceSettings, read_secret


def database_url(settings: ServiceSettings) -> str:
    """The libpq URL of the database: what `database.url_file` holds, or the embedded server's.

    Raises:
        UsageRefusal: ``bad-settings`` where there is neither.
    """
    if settings.database.url_file is not None:
        return read_secret(settings.database.url_file)
    if not settings.database.embedded:
        raise UsageRefusal("bad-settings", "database.embedded is off, and database.url_file names no database.")
    return embedded_url(socket_folder_of(settings.data_folder))


def is_embedded(settings: ServiceSettings) -> bool:
    """Whether the database is the embedded server, which `serve` starts."""
    return settings.database.url_file is None and settings.database.embedded
