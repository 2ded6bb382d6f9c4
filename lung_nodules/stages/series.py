"""From all instances to the one series that is read."""

from __future__ import annotations

from dataclasses import dataclass

from lung_nodules.stages.instances import Instance


@dataclass(frozen=True)
class ConsideredSeries:
    """One series of the input: chosen, or not and why."""

    series_instance_uid: str
    series_number: int | None
    series_description: str
    modality: str
    num_instances: int
    chosen: bool
    code: str  # "chosen", or the coded reason against it
    sentence: str


@dataclass(frozen=True)
class Selection:
    """The series to read, and what became of every other one."""

    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[Instance, ...]  # of the chosen series, in no particular order
    considered: tuple[ConsideredSeries, ...]  # the chosen one first, then by rank
