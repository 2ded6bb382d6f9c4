"""Which patients of a folder are judged, and the nodules and scans that they have.

A folder may hold patients whom no list names: another hospital's, or those of LIDC-IDRI who were kept apart. They did
not train, so the test side takes them all; whoever `lidc_split.csv` lists as training or validation is left out. The
hash rule of `cohorts.split` says where an unlisted patient would train: a site that has trained on its own patients
asks for the side `rule-test`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Protocol, TypeVar

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.scans import ReferenceScan, read_reference_scans
from lung_nodules.cohorts.split import Split, listed_split, split_of
from lung_nodules.errors import InputRefusal

MIN_MASKS = 3


class Side(StrEnum):
    """Whose results are reported."""

    TEST = "test"
    VALIDATION = "validation"
    RULE_TEST = "rule-test"
    ALL = "all"


SIDES = {
    Side.TEST: "every patient but those listed as training or validation",
    Side.VALIDATION: "validation patients, by the list or else by the rule",
    Side.RULE_TEST: "test patients, by the list or else by the rule",
    Side.ALL: "every patient, whether or not the models learned from them",
}


class OfPatient(Protocol):
    """Something of one patient."""

    @property
    def patient_id(self) -> str:
        """Identifier within the cohort."""
        ...


Member = TypeVar("Member", bound=OfPatient)


def is_judged(patient_id: str, side: Side) -> bool:
    """Whether a patient is on a side, as `SIDES` words it."""
    match side:
        case Side.TEST:
            return listed_split().get(patient_id, Split.TEST) is Split.TEST
        case Side.VALIDATION:
            return split_of(patient_id) is Split.VALIDATION
        case Side.RULE_TEST:
            return split_of(patient_id) is Split.TEST
        case Side.ALL:
            return True


def read_judged_crops(folder: Path, side: Side) -> tuple[NoduleCrop, ...]:
    """The native crops of nodules that three readers outlined and half of them agree on, of the patients of a side.

    Raises:
        InputRefusal: ``no-crops``, ``bad-crops``, ``no-patients`` where no patient is on the side, or
            ``too-few-outlines`` where none of the side's nodules has three outlines.
    """
    crops = read_crops(folder, kinds=("slices",))
    if not crops:
        raise InputRefusal("no-crops", 'The table of nodule crops lists none of the kind "slices".')
    of_side = _of_side(crops, side)
    judged = tuple(crop for crop in of_side if crop.num_masks >= MIN_MASKS and crop.consensus.any())
    if not judged:
        raise InputRefusal(
            "too-few-outlines",
            f"None of the {len(of_side)} nodules of this side is outlined by {MIN_MASKS} readers, half of whom agree.",
        )
    return judged


def read_judged_scans(folder: Path, side: Side) -> tuple[ReferenceScan, ...]:
    """The whole scans of the patients of a side.

    Raises:
        InputRefusal: ``no-reference``, ``bad-reference``, ``no-scans`` where none is listed, or ``no-patients`` where
            no patient is on the side.
    """
    scans = read_reference_scans(folder)
    if not scans:
        raise InputRefusal("no-scans", "The table of whole scans lists none.")
    return _of_side(scans, side)


def describe_patients(patient_ids: Sequence[str], side: Side) -> str:
    """How many patients are judged, and how they were chosen."""
    patients = set(patient_ids)
    num_unlisted = len(patients - set(listed_split()))
    unlisted = f"; {num_unlisted} of them in no list, so never trained on by us" if num_unlisted else ""
    return f"{len(patients)} patients: {SIDES[side]}{unlisted}"


def _of_side(members: Sequence[Member], side: Side) -> tuple[Member, ...]:
    chosen = tuple(member for member in members if is_judged(member.patient_id, side))
    if not chosen:
        raise InputRefusal(
            "no-patients",
            f"The folder has nothing to judge of this side: {SIDES[side]}.",
            "Choose another with --split.",
        )
    return chosen
