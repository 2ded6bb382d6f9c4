"""A review: what one reader said about one finding at one time."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from lung_nodules.errors import Refusal

LONGEST_COMMENT = 2000

# LIDC's scale of each characteristic, as `lung_nodules.cohorts.marks.SCALES`; names as in the report
Five = Annotated[int, Field(ge=1, le=5)]


class Verdict(StrEnum):
    """What a reader makes of a finding."""

    accepted = "accepted"  # a nodule, as reported
    rejected = "rejected"  # no nodule
    corrected = "corrected"  # a nodule, but for some values


def _is_writable(text: str) -> str:
    """Refuse what neither a database nor a DICOM text can hold."""
    if any(not character.isprintable() and character not in "\n\t" for character in text):
        raise ValueError("control characters and halves of characters are not taken")
    return text


class Characteristics(BaseModel):
    """A reader's ratings on LIDC's scales; what is left out was not rated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subtlety: Five | None = None
    internal_structure: Literal[1, 2, 3, 4] | None = Field(None, description="Soft tissue, fluid, fat, air.")
    calcification: Literal[1, 2, 3, 4, 5, 6] | None = Field(
        None, description="Popcorn, laminated, solid, non-central, central, absent."
    )
    sphericity: Five | None = None
    margin: Five | None = None
    lobulation: Five | None = None
    spiculation: Five | None = None
    texture: Five | None = None

    def rated(self) -> dict[str, int]:
        """The ratings that were given, by name."""
        return {name: int(value) for name, value in self.model_dump().items() if value is not None}


class ReviewOrder(BaseModel):
    """What a reader sends. Only a correction carries values, and it carries at least one."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [{"verdict": "corrected", "comment": "Measured again.", "diameter_mm": 8.4, "suspicion": 4}]
        },
    )

    verdict: Verdict
    comment: Annotated[str, AfterValidator(_is_writable)] = Field("", max_length=LONGEST_COMMENT)
    diameter_mm: float | None = Field(
        None, ge=0.5, le=300, allow_inf_nan=False, description="Mean of the two axes, instead of the measured one."
    )
    suspicion: Five | None = Field(
        None, description="Suspicion of malignancy as LIDC's readers gave it: 1 highly unlikely, 5 highly suspicious."
    )
    characteristics: Characteristics = Characteristics()
    result_uid: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[0-9.]+$",
        description="Of the report that the reader looked at: refused where the job has other results by now.",
    )

    @model_validator(mode="after")
    def _only_a_correction_has_values(self) -> Self:
        has_values = self.diameter_mm is not None or self.suspicion is not None or bool(self.characteristics.rated())
        if has_values and self.verdict is not Verdict.corrected:
            raise ValueError("only a correction has values")
        if self.verdict is Verdict.corrected and not has_values:
            raise ValueError("a correction has at least one value")
        return self


class Review(BaseModel):
    """A review as it is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    job_id: UUID
    finding_id: str
    verdict: Verdict
    comment: str
    diameter_mm: float | None
    suspicion: int | None
    characteristics: Characteristics
    reviewed_by: str = Field(description="The user, as the token names him.")
    reader_name: str = Field("", description="What the user is called, as a Person Name of DICOM; empty: not known.")
    reviewed_at: datetime
    result_uid: str | None = Field(
        None, description="Of the results that it is about; null: said before this was kept."
    )


class FindingNotFound(Refusal):
    """The job's report has no such finding; HTTP 404."""

    status = 404

    def __init__(self) -> None:
        super().__init__("finding-not-found", "The report of this job has no such finding.")


class ResultsChanged(Refusal):
    """The job has other results than those that the reader looked at; HTTP 409."""

    status = 409

    def __init__(self) -> None:
        sentence = "The study was read anew since this report was shown, and its findings may be others."
        super().__init__("results-changed", sentence, "Look at the new report.")


class ReportUnreadable(Refusal):
    """The job's report is damaged, or of a version that is unknown here; HTTP 409."""

    status = 409

    def __init__(self) -> None:
        sentence = "The report of this job is damaged, or of a version that this release cannot read."
        super().__init__("report-unreadable", sentence, "Use the release that wrote it; restore a damaged one.")


class NothingReviewed(Refusal):
    """Nobody has reviewed a finding of this job; HTTP 409."""

    status = 409

    def __init__(self) -> None:
        super().__init__("nothing-reviewed", "No finding of this job was reviewed.", "Review one first.")


class NothingToCorrect(Refusal):
    """There is no object of that kind to correct; HTTP 404."""

    status = 404
