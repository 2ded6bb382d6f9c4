"""The series of a study that did not come with it: what an archive told of them, in `survey.json` beside the files.

Of a study in an archive only the series that can matter are fetched, after the line's own choice among all of them.
Whoever fetches leaves that choice here, so that the report lists every series of the study and not what came alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

SURVEY_FILE = "survey.json"
_MAX_BYTES = 4 * 1024 * 1024  # thousands of series


@dataclass(frozen=True)
class ConsideredSeries:
    """One series of the input, or one stack of a series that holds several: chosen, or not and why."""

    series_instance_uid: str
    series_number: int | None
    series_description: str
    modality: str
    num_instances: int
    chosen: bool
    code: str  # "chosen", or the coded reason against it
    sentence: str


class Survey(BaseModel):
    """Every series of a study, as far as its archive told of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    study_instance_uid: str
    considered: tuple[ConsideredSeries, ...]
    """The chosen one first."""

    @model_validator(mode="after")
    def _one_is_chosen(self) -> Self:
        if [each.chosen for each in self.considered] != [True, *[False] * (len(self.considered) - 1)]:
            raise ValueError("the first series is chosen, and no other one")
        return self

    def complete(self, study_instance_uid: str, considered: Sequence[ConsideredSeries]) -> tuple[ConsideredSeries, ...]:
        """Add the series that did not come to those that did.

        Args:
            study_instance_uid: Of the series that the line has chosen.
            considered: The series that came, that one first.

        Returns:
            `considered` as it is where it speaks of another choice: files were added or taken away since.
        """
        ours = (study_instance_uid, considered[0].series_instance_uid, considered[0].num_instances)
        chosen = self.considered[0]
        if ours != (self.study_instance_uid, chosen.series_instance_uid, chosen.num_instances):
            return tuple(considered)
        told = {each.series_instance_uid for each in self.considered}
        return (*self.considered, *(each for each in considered if each.series_instance_uid not in told))


def read_survey(folder: Path) -> Survey | None:
    """The survey beside a study's files; None where there is none that can be used."""
    path = folder / SURVEY_FILE
    try:
        return Survey.model_validate_json(path.read_bytes()) if path.stat().st_size <= _MAX_BYTES else None
    except (OSError, ValidationError):
        return None


def write_survey(survey: Survey, folder: Path) -> None:
    """Leave a survey in a study's folder, all of it or nothing."""
    beside = folder / f".{os.getpid()}.{SURVEY_FILE}"
    beside.write_text(f"{survey.model_dump_json(indent=1)}\n", encoding="utf-8")
    beside.replace(folder / SURVEY_FILE)
