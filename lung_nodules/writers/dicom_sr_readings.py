"""What a reader says about findings, and how the structured report says it: one more group a finding (TID 1501).

The group has the finding's tracking UID and a person as its observer, and no algorithm: verdict, corrected numbers and
grades, and the comment. A number that the reader has corrected is left out of the machine's groups, so that nobody
finds two. The axes and the outline stay the machine's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import pydicom
from highdicom.sr import (
    ContentSequence,
    Measurement,
    MeasurementsAndQualitativeEvaluations,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    QualitativeEvaluation,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.charset import convert_encodings
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from lung_nodules.stages.report_model import Suspicion
from lung_nodules.writers import dicom_codes as coded

Verdict = Literal["accepted", "rejected", "corrected"]

_LONGEST_NAME = 64  # characters of a component group of a Person Name, PS3.5 6.2
_UTF8 = "ISO_IR 192"


@dataclass(frozen=True)
class Reading:
    """What one reader said about one finding."""

    verdict: Verdict
    reader: str
    at: datetime
    comment: str = ""
    diameter_mm: float | None = None
    suspicion: int | None = None  # 1 to 5, LIDC's scale
    characteristics: Mapping[str, int] = field(default_factory=dict)  # LIDC's names in snake case, on LIDC's scales


@dataclass(frozen=True)
class Revision:
    """A report as readers have changed it."""

    readings: Mapping[str, Reading]  # by finding, the rejected ones too; at least one
    words: Mapping[str, Suspicion]  # of the findings that are left, after correction
    result: Suspicion | None  # of the study, after correction; None: no finding is left
    organization: str | None = None  # the site that verifies what its readers say; None: unverified

    @property
    def readers(self) -> tuple[str, ...]:
        """Everybody who said something, the latest first."""
        latest_first = sorted(self.readings.values(), key=lambda reading: reading.at, reverse=True)
        return tuple(dict.fromkeys(reading.reader for reading in latest_first))

    @property
    def at(self) -> datetime:
        """When the last word was said."""
        return max(reading.at for reading in self.readings.values())


def observe_person(reader: str) -> ObserverContext:
    """A reader as an observer (TID 1003)."""
    attributes = PersonObserverIdentifyingAttributes(name=person_name(reader))
    return ObserverContext(observer_type=codes.DCM.Person, observer_identifying_attributes=attributes)


def person_name(reader: str) -> str:
    """A user's name as a Person Name: a family name alone, where it is not written as one already."""
    plain = " ".join(reader.replace("\\", " ").replace("=", " ").split())[: _LONGEST_NAME - 1]
    return plain if "^" in plain else f"{plain}^"


def replaced_by(reading: Reading | None) -> list[Code]:
    """Concepts of the machine's numbers and evaluations that the reader's own stand in the place of."""
    if reading is None:
        return []
    suspicion = [coded.SUSPICION_SCORE, coded.OVERALL_SUSPICION, coded.NODULE_PROBABILITY, coded.SUSPICION]
    return [
        *([coded.DIAMETER] if reading.diameter_mm is not None else []),
        *(suspicion if reading.suspicion is not None else []),
        *(concept for concept, _ in _grade(reading)),
    ]


def describe_reading(reading: Reading, common: Mapping[str, Any]) -> MeasurementsAndQualitativeEvaluations:
    """The reader's group.

    Args:
        reading: Of a finding that is left.
        common: Arguments of the group that say what is tracked, and where; no algorithm.
    """
    measurements = []
    if reading.diameter_mm is not None:
        measurements.append(Measurement(coded.DIAMETER, reading.diameter_mm, coded.MILLIMETER))
    if reading.suspicion is not None:
        measurements.append(Measurement(coded.SUSPICION_RATING, reading.suspicion, coded.NO_UNITS))
    evaluations = [(coded.VERDICT, coded.VERDICTS[reading.verdict]), *_grade(reading)]
    group = MeasurementsAndQualitativeEvaluations(
        measurements=measurements or None,
        qualitative_evaluations=[QualitativeEvaluation(*pair) for pair in evaluations],
        **common,
    )
    items = [*observe_person(reading.reader), *group[0].ContentSequence]
    if reading.comment:
        items.append(TextContentItem(coded.COMMENT, reading.comment, RelationshipTypeValues.CONTAINS))
    group[0].ContentSequence = ContentSequence(items)
    return group


def say_what_was_rejected(revision: Revision) -> list[str]:
    """A sentence a rejected finding; none where nothing was rejected."""
    return [
        f"Rejected by a reader: {finding_id}.{f' {reading.comment}' if reading.comment else ''}"
        for finding_id, reading in revision.readings.items()
        if reading.verdict == "rejected"
    ]


def fit_character_set(document: pydicom.Dataset, texts: Sequence[str]) -> None:
    """Declare UTF-8 where the CT's character set cannot hold what a reader wrote; names are converted then.

    Args:
        document: With the CT's identity and character set.
        texts: What readers wrote, in it.
    """
    declared = convert_encodings(document.get("SpecificCharacterSet") or "ISO_IR 6")
    if all(text.isascii() or any(_fits(text, encoding) for encoding in declared) for text in texts):
        return
    document.SpecificCharacterSet = _UTF8


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeError:
        return False
    return True


def _grade(reading: Reading) -> list[tuple[Code, Code]]:
    return [coded.code_rating(name, rating) for name, rating in reading.characteristics.items()]
