"""Checks of the input that a reader of the result should know about."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a check found."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One check: what was measured, what it was held against, and what that means."""

    code: str  # kebab case, for example "slice-spacing"
    outcome: Outcome
    value: float | str | None
    limit: float | str | None
    unit: str  # UCUM, or empty
    sentence: str


@dataclass(frozen=True)
class Quality:
    """All checks of one series."""

    checks: tuple[Check, ...]
