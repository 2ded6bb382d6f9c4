"""Which patients train, which tune and which test: by patient, fixed, and the same for every network.

The rule is a hash of the patient ID, so that a patient who joins later has a side already; `lidc_split.csv` beside this
file lists every patient that was used, and the patients of whole scans, whose side was set by hand.
"""

from __future__ import annotations

import csv
import hashlib
from enum import StrEnum
from functools import cache
from importlib.resources import files

TEST_BELOW = 30
VALIDATION_BELOW = 40


class Split(StrEnum):
    """Side of a patient."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


def split_by_hash(patient_id: str) -> Split:
    """The side that the rule gives: SHA-256 of the patient ID modulo 100; below 30 test, below 40 validation."""
    bucket = int(hashlib.sha256(patient_id.encode()).hexdigest(), 16) % 100
    if bucket < TEST_BELOW:
        return Split.TEST
    return Split.VALIDATION if bucket < VALIDATION_BELOW else Split.TRAIN


@cache
def listed_split() -> dict[str, Split]:
    """The committed list: patient ID to side."""
    text = files("lung_nodules.cohorts").joinpath("lidc_split.csv").read_text(encoding="utf-8")
    return {row["patient_id"]: Split(row["split"]) for row in csv.DictReader(text.splitlines())}


def split_of(patient_id: str) -> Split:
    """The side of a patient: as listed, else by the rule."""
    return listed_split().get(patient_id) or split_by_hash(patient_id)
