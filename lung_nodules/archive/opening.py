"""From settings to an archive that can be asked; the libraries that speak its protocol are loaded here."""

from __future__ import annotations

from lung_nodules.archive.protocol import Archive, ChangeFeed
from lung_nodules.archive.settings import ArchiveSettings, DicomwebSettings, DimseSettings
from lung_nodules.errors import UsageRefusal


def open_archive(settings: ArchiveSettings, name: str = "archive") -> Archive:
    """Make an archive; nothing is asked of it yet.

    Args:
        settings: How it is reached.
        name: Its name in the settings; the cache keeps the instances of archives apart by it.

    Raises:
        ArchiveRefusal: ``archive-settings`` where credentials or certificates cannot be read.
        UsageRefusal: ``not-installed`` where pynetdicom is not.
    """
    if isinstance(settings, DicomwebSettings):
        from lung_nodules.archive.dicomweb import DicomwebArchive

        return DicomwebArchive(settings, name)
    if isinstance(settings, DimseSettings):
        return _open_dimse(settings, name)
    from lung_nodules.archive.folder import FolderArchive

    return FolderArchive(settings, name)


def open_change_feed(settings: ArchiveSettings) -> ChangeFeed | None:
    """The change feed of an archive; None where it has none."""
    if not isinstance(settings, DicomwebSettings) or settings.change_feed is None:
        return None
    from lung_nodules.archive.orthanc_changes import OrthancChanges

    return OrthancChanges(settings)


def _open_dimse(settings: DimseSettings, name: str) -> Archive:
    try:
        from lung_nodules.archive.dimse import DimseArchive
    except ModuleNotFoundError as error:
        raise UsageRefusal(
            "not-installed", "DIMSE needs pynetdicom, which is not installed.", "pip install 'lung-nodules[service]'"
        ) from error
    return DimseArchive(settings, name)
