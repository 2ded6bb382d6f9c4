"""Which patients train, which tune and which test: by patient, fixed, and the same for every network.

The rule is a hash of the patient ID, so that a patient who joins later has a side already; `lidc_split.csv` beside this
file lists every patient that was used, and the patients of whole scans, whose side was set by hand. Another list takes
its place where the environment names one, so that LUNA16's ten folds are ten lists and one way to train and judge.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path

from lung_nodules.errors import InputRefusal

SPLIT_VARIABLE = "LUNG_NODULES_SPLIT"  # names a list that takes the place of the committed one
COMMITTED_LIST = "lung_nodules/cohorts/lidc_split.csv"
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


def listed_split() -> Mapping[str, Split]:
    """The list in use: patient ID to side.

    Raises:
        InputRefusal: ``bad-split`` where the list that the environment names cannot be read.
    """
    named = os.environ.get(SPLIT_VARIABLE)
    return read_split(Path(named)) if named else _committed_split()


def name_of_split() -> str:
    """What a model's record calls the list in use."""
    named = os.environ.get(SPLIT_VARIABLE)
    return Path(named).name if named else COMMITTED_LIST


@cache
def read_split(path: Path) -> Mapping[str, Split]:
    """Read a list with the columns patient_id and split.

    Raises:
        InputRefusal: ``bad-split`` where it cannot be read, or gives a patient two sides.
    """
    try:
        return _sides(path.read_text(encoding="utf-8"))
    except (OSError, KeyError, ValueError, csv.Error) as error:
        sentence = f"{path.name} is no list of patients and sides."
        raise InputRefusal("bad-split", sentence, "Its columns are patient_id and split.") from error


def split_of(patient_id: str) -> Split:
    """The side of a patient: as listed, else by the rule."""
    return listed_split().get(patient_id) or split_by_hash(patient_id)


@cache
def _committed_split() -> Mapping[str, Split]:
    return _sides(files("lung_nodules.cohorts").joinpath("lidc_split.csv").read_text(encoding="utf-8"))


def _sides(text: str) -> Mapping[str, Split]:
    rows = [(row["patient_id"], Split(row["split"])) for row in csv.DictReader(text.splitlines())]
    sides = dict(rows)
    if len(set(rows)) != len(sides):
        raise ValueError("a patient on two sides")
    return sides
