"""From a folder to the headers of everything in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydicom


@dataclass(frozen=True)
class Instance:
    """One DICOM image, its header read and its pixels left on disk."""

    path: Path
    header: pydicom.Dataset  # every element but the pixel data, file meta included


@dataclass(frozen=True)
class PassedOver:
    """A file that is not an image of a cross-section, and why it was left aside."""

    path: Path  # relative to the input folder
    code: str
    sentence: str


@dataclass(frozen=True)
class Instances:
    """Everything that was found under the input folder."""

    found: tuple[Instance, ...]
    passed_over: tuple[PassedOver, ...]
