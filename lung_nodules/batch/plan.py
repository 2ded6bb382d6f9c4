"""What a batch is asked to do, and the studies that it is made of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lung_nodules.errors import UsageRefusal

if TYPE_CHECKING:
    from lung_nodules.archive.settings import ArchiveSettings

NAME_DIGITS = 16


@dataclass(frozen=True)
class BatchStudy:
    """One study of a cohort, before it is read; it has a folder, or files, or lies in the archive of the plan."""

    name: str  # hexadecimal digits that tell it from the others and tell nothing of the patient
    source: str  # where it comes from, as the user named it: a folder relative to the cohort's, or the archive
    study_instance_uid: str | None = None  # None: not looked at yet, or no DICOM at all
    folder: Path | None = None  # holds this study and no other
    files: tuple[Path, ...] = ()  # of a study that shares its folders with others


@dataclass(frozen=True)
class Shard:
    """One of `count` equal parts of a cohort; which study is in which part depends on its name alone."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``, where I counts from 0.

        Raises:
            UsageRefusal: ``bad-shard``.
        """
        index, _, count = text.partition("/")
        if index.isdecimal() and count.isdecimal() and int(index) < int(count):
            return cls(int(index), int(count))
        raise UsageRefusal("bad-shard", f"A shard is I/N with I from 0 to N - 1, not {text}.")

    def holds(self, study: BatchStudy) -> bool:
        """Whether a study is in this part."""
        return int(study.name, 16) % self.count == self.index

    @property
    def suffix(self) -> str:
        """What tells the files of this part from those of the others; empty where there is one part."""
        return f"-{self.index}-of-{self.count}" if self.count > 1 else ""


@dataclass(frozen=True)
class Plan:
    """How every study of a batch is read; goes to each worker."""

    output_folder: Path
    models_folder: Path
    config_file: Path | None
    setup_sha256: str  # of software, models and settings: with another one every study is read anew
    archive: ArchiveSettings | None = None  # where the studies are that have neither folder nor files
    archive_name: str = ""
    time_limit_s: float | None = None  # for one study

    def results(self, study: BatchStudy) -> Path:
        """Where the results of a study are published."""
        return self.output_folder / "results" / study.name

    def row(self, study: BatchStudy) -> Path:
        """The file that says how a study ended."""
        return self.output_folder / "rows" / f"{study.name}.json"

    def log(self, study: BatchStudy) -> Path:
        """What the line said while it read a study."""
        return self.output_folder / "logs" / f"{study.name}.log"


def name_of(text: str) -> str:
    """The name of a study, from its Study Instance UID or its path: always the same, and not to be turned back."""
    return hashlib.sha256(text.encode()).hexdigest()[:NAME_DIGITS]
