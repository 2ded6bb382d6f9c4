"""The licences of what comes with the application: the MAP specification wants them in its documentation."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

INDEX = "README.md"
_REQUIREMENT = re.compile(r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[(?P<extras>[^\]]*)\])?")
_EXTRA_MARKER = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_LICENCE_FILE = re.compile(r"(licen[cs]e|copying|notice|copyright|authors)", re.IGNORECASE)


def write_licences(requirements: Path, folder: Path) -> None:
    """Collect the licence files of all that `requirements` bring, as they are installed beside this Python.

    Args:
        requirements: A requirements.txt; what its packages require in turn is followed.
        folder: Gets one folder a package, and an index of all of them with versions.
    """
    folder.mkdir(parents=True)
    lines = ["# Third-party software", "", "| package | version | licence | texts |", "| --- | --- | --- | ---: |"]
    for name in sorted(requirement_closure(requirements)):
        found = _installed(name)
        if found is None:
            lines.append(f"| {name} | not installed where this list was made | | |")
            continue
        lines.append(f"| {name} | {found.version} | {_stated(found)} | {_copy_texts(found, folder / name)} |")
    (folder / INDEX).write_text("\n".join(lines) + "\n", encoding="utf-8")


def requirement_closure(requirements: Path) -> set[str]:
    """Normalised names of all that a requirements.txt wants, directly or not, as installed beside this Python."""
    waiting = [parsed for line in requirements.read_text(encoding="utf-8").splitlines() if (parsed := _parse(line))]
    known: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in known:
            continue
        known.add((name, extras))
        found = _installed(name)
        for line in (found.requires if found else None) or ():
            needed = _parse(line, extras)
            if needed and _installed(needed[0]):  # else its marker names another platform
                waiting.append(needed)
    return {name for name, _ in known}


def _parse(line: str, wanted_extras: frozenset[str] = frozenset()) -> tuple[str, frozenset[str]] | None:
    """Normalised name and extras of a requirement; None for a comment, and for an extra that nobody wants."""
    match = _REQUIREMENT.match(line)
    if not match or not wanted_extras.issuperset(_EXTRA_MARKER.findall(line)):
        return None
    extras = frozenset(filter(None, re.split(r"[\s,]+", match["extras"] or "")))
    return re.sub(r"[-_.]+", "-", match["name"]).lower(), extras


def _installed(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _stated(found: Distribution) -> str:
    """What the package's metadata call its licence, on one line."""
    metadata = found.metadata
    classifiers = [text.split(" :: ")[-1] for text in metadata.get_all("Classifier") or () if "License ::" in text]
    given = [metadata[key] for key in ("License-Expression", "License") if key in metadata]
    words = next((text for text in (*given, ", ".join(classifiers)) if text and text != "UNKNOWN"), "see its texts")
    return words.strip().splitlines()[0][:80].replace("|", "/")


def _copy_texts(found: Distribution, folder: Path) -> int:
    paths = [file for file in found.files or () if ".dist-info" in str(file) and _LICENCE_FILE.search(file.name)]
    copied = 0
    for file in paths:
        source = Path(str(found.locate_file(file)))
        if source.is_file():
            folder.mkdir(exist_ok=True)
            shutil.copyfile(source, folder / f"{copied:02d}-{source.name}" if copied else folder / source.name)
            copied += 1
    return copied
