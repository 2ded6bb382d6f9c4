"""What every archive can do, whatever it speaks.

All calls block; an implementation runs its own threads. Everything that goes wrong is an `ArchiveRefusal`
(`lung_nodules.archive.refusals`). No representation of a type here shows who the patient is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    import pydicom


@dataclass(frozen=True, kw_only=True)
class StudyQuery:
    """Which studies to look for; what is left empty does not narrow.

    Args:
        study_instance_uid: One study.
        patient_id: Exact; no wildcards.
        patient_name: As DICOM writes it (``Family^Given``); ``*`` and ``?`` are wildcards, case does not count.
        accession_number: Exact; no wildcards.
        first_date: Studies of this day or later.
        last_date: Studies of this day or earlier.
        modality: One that the study holds, e.g. ``CT``.
        description: Study Description; ``*`` and ``?`` are wildcards (PS3.4 C.2.2.2.4).
        max_num_studies: No more are given.
    """

    study_instance_uid: str = ""
    patient_id: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    first_date: date | None = None
    last_date: date | None = None
    modality: str = ""
    description: str = ""
    max_num_studies: int = 10_000


@dataclass(frozen=True, kw_only=True)
class StudyEntry:
    """A study as an archive lists it; what it does not tell is empty or None."""

    study_instance_uid: str
    study_date: date | None = None
    study_time: str = ""
    modalities: tuple[str, ...] = ()
    description: str = field(default="", repr=False)  # free text, in which a name may stand
    num_series: int | None = None
    num_instances: int | None = None
    patient_id: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    accession_number: str = field(default="", repr=False)
    study_id: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class SeriesEntry:
    """A series as an archive lists it, with the number of instances that it claims to hold."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str = ""
    series_number: int | None = None
    description: str = field(default="", repr=False)
    num_instances: int | None = None


@dataclass(frozen=True)
class InstanceKey:
    """Names one instance."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str


class InstanceSink(Protocol):
    """Where fetched instances go; may be called by several threads."""

    def holds(self, key: InstanceKey) -> bool:
        """Whether the instance is there already, whole."""
        ...

    def receive(self, key: InstanceKey, chunks: Iterable[bytes]) -> None:
        """Take one instance as a DICOM file (PS3.10), in pieces; kept when it is whole, else not at all.

        Raises:
            ArchiveRefusal: ``archive-bad-answer`` where it is no DICOM file, is truncated or is another instance;
                ``archive-too-large``; ``cache-full``. What `chunks` raises passes through.
        """
        ...


@dataclass(frozen=True)
class PushFailure:
    """An object that did not arrive."""

    sop_instance_uid: str = field(repr=False)
    code: str  # push-rejected, push-not-confirmed, or a code of `ArchiveRefusal`
    status: int | None = None  # Failure Reason (0008,1197) or the status of C-STORE, where the archive gave one


@dataclass(frozen=True)
class PushOutcome:
    """What became of a push; an object counts when the answer was read and a query finds it afterwards."""

    num_confirmed: int
    failures: tuple[PushFailure, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether every object is in the archive."""
        return not self.failures


class Archive(Protocol):
    """A place that holds studies."""

    @property
    def name(self) -> str:
        """Its name in the settings."""
        ...

    def check(self) -> None:
        """Ask whether it is there and lets us in: a query for one study, a C-ECHO, a look at the folder."""
        ...

    def find_studies(self, query: StudyQuery) -> Iterator[StudyEntry]:
        """Each study that matches, once, in no particular order."""
        ...

    def find_series(self, study_instance_uid: str) -> Sequence[SeriesEntry]:
        """The series of a study.

        Raises:
            ArchiveRefusal: ``study-not-found`` where there is none.
        """
        ...

    def find_instances(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[str]:
        """SOP Instance UIDs of a series, sorted, each once.

        Raises:
            ArchiveRefusal: ``archive-short-count`` where they are fewer than the archive counts.
        """
        ...

    def read_headers(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[pydicom.Dataset]:
        """What the archive tells of each instance without its pixels; some elements may be missing.

        The transfer syntax stands in `file_meta` only where the archive tells it. Empty where the archive cannot say.
        """
        ...

    def read_identity(self, key: InstanceKey) -> pydicom.Dataset:
        """What the archive tells of an instance's patient and study; what it does not tell is missing.

        Raises:
            ArchiveRefusal: ``archive-short-count`` where it has listed the instance and tells nothing of it.
        """
        ...

    def fetch_series(self, study_instance_uid: str, series_instance_uid: str, into: InstanceSink) -> int:
        """Fetch every instance of a series that `into` does not hold.

        Returns:
            The number of instances of the series, those held before included.

        Raises:
            ArchiveRefusal: ``archive-short-count`` where some did not come; what came is kept by `into`.
        """
        ...

    def push(self, files: Sequence[Path]) -> PushOutcome:
        """Store DICOM files and ask afterwards whether they are there; those that were there already count.

        Raises:
            ArchiveRefusal: The archive could not be asked at all.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True)
class StableStudy:
    """A study to which nothing was added for a while."""

    study_instance_uid: str
    cursor: int  # of the change that says so


class ChangeFeed(Protocol):
    """What became stable in an archive, in order."""

    def changes(self, cursor: int) -> tuple[Sequence[StableStudy], int]:
        """The next changes after `cursor`, and the cursor to go on with.

        Args:
            cursor: What the last call gave; 0 from the beginning.

        Returns:
            Stable studies, each once, in the order of their changes; a cursor that equals `cursor` when nothing is new.
        """
        ...
