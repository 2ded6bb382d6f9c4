"""What training and cohorts are given by path, checked before anything is computed."""

from __future__ import annotations

from pathlib import Path

from lung_nodules.errors import UsageRefusal


def existing(path: Path | None) -> Path | None:
    """For an option or argument that names a file or folder.

    Raises:
        UsageRefusal: ``input-not-found``.
    """
    if path is not None and not path.exists():
        raise UsageRefusal("input-not-found", f"There is no such file or folder: {path}.")
    return path


def existing_folder(path: Path | None) -> Path | None:
    """For an option or argument that names a folder.

    Raises:
        UsageRefusal: ``input-not-found``.
    """
    if path is not None and not path.is_dir():
        raise UsageRefusal("input-not-found", f"There is no such folder: {path}.")
    return path


def require_crops(folder: Path) -> None:
    """Check that a folder holds nodule crops.

    Raises:
        UsageRefusal: ``no-crops``.
    """
    _require(folder / "nodules.csv", "no-crops", "nodule crops")


def require_cohort(crops: Path, scans: Path) -> None:
    """Check that folders hold nodule crops and whole scans.

    Raises:
        UsageRefusal: ``no-crops`` or ``no-reference``.
    """
    require_crops(crops)
    _require(scans / "reference.json", "no-reference", "whole scans")


def _require(path: Path, code: str, what: str) -> None:
    if not path.is_file():
        raise UsageRefusal(
            code,
            f"There are no {what} in {path.parent}: {path.name} is missing.",
            "docs/cohorts.md says what they are and how to build them.",
        )
