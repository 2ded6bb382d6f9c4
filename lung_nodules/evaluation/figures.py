"""A measured figure: what every evaluation hands on, and what ``--json`` writes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FigureUndefinedError(ValueError):
    """The figure does not exist on these rows, as an AUC without negatives; the caller leaves it out."""


class Figure(BaseModel):
    """One value with its 95 % interval.

    The interval is missing where it cannot be had: one patient only, or no resample on which the figure exists.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    value: float
    low: float | None = None
    high: float | None = None
    n: int = Field(ge=0)  # rows that were measured: nodules, scans or candidates, as the figure says
