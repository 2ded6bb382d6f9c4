"""The nodules that a training cannot do without: a cohort that lacks them is refused before the first step."""

from __future__ import annotations

from collections.abc import Iterable

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.errors import InputRefusal


def needed(crops: Iterable[NoduleCrop], which: str) -> list[NoduleCrop]:
    """The crops as a list, of which there must be one.

    Args:
        crops: Those that are left of a cohort.
        which: What they are, to follow "no nodule" in a sentence.

    Raises:
        InputRefusal: ``too-few-nodules`` where there are none.
    """
    found = list(crops)
    if not found:
        raise InputRefusal(
            "too-few-nodules",
            f"The crops hold no nodule {which}, without which this training cannot be done.",
            "Name a folder of crops with more patients, or a list of their sides in LUNG_NODULES_SPLIT.",
        )
    return found
