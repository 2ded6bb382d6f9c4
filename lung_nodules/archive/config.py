"""Archives by name, from the service's YAML file; or by what an address says, on the command line."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from lung_nodules.archive.settings import ArchiveSettings, DicomwebSettings, FolderSettings
from lung_nodules.errors import UsageRefusal

_ARCHIVES: TypeAdapter[dict[str, ArchiveSettings]] = TypeAdapter(dict[str, ArchiveSettings])


def choose_archive(wanted: str, config_file: Path | None) -> tuple[str, ArchiveSettings]:
    """Find the archive that is meant.

    Args:
        wanted: A name in `config_file`, the address of a DICOMweb server, or a folder.
        config_file: YAML with a section ``archives``; other sections are not looked at.

    Returns:
        Its name and its settings.

    Raises:
        UsageRefusal: ``no-archive``, or ``bad-settings``.
    """
    named = read_archives(config_file) if config_file else {}
    if wanted in named:
        return wanted, named[wanted]
    try:
        if wanted.startswith(("http://", "https://")):
            return wanted, DicomwebSettings(kind="dicomweb", url=wanted)
    except ValidationError as error:
        raise _bad_settings("--archive", error) from error
    if Path(wanted).is_dir():
        return wanted, FolderSettings(kind="folder", path=Path(wanted))
    raise UsageRefusal(
        "no-archive",
        "There is no archive of that name, and it is neither an address nor a folder.",
        f"The configuration names {', '.join(sorted(named)) or 'none'}; docs/archives.md says how to name one.",
    )


def read_archives(config_file: Path) -> dict[str, ArchiveSettings]:
    """Read the section ``archives`` of a YAML file.

    Raises:
        UsageRefusal: ``bad-settings``.
    """
    try:
        document = yaml.safe_load(config_file.read_text(encoding="utf-8")) or {}
        return _ARCHIVES.validate_python(document.get("archives") or {})
    except ValidationError as error:
        raise _bad_settings(config_file.name, error) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
        raise UsageRefusal("bad-settings", f"The file {config_file.name} cannot be read as settings.") from error


def _bad_settings(where: str, error: ValidationError) -> UsageRefusal:
    """Name the first setting that is not valid; its value is not shown."""
    first = error.errors(include_input=False, include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    return UsageRefusal("bad-settings", f"The setting {name} in {where} is not valid: {first['msg']}.")
