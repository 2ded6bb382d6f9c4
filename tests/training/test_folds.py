"""Folds by patient: nobody is read by a network that learned from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_cohort import write_tiny_crops

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.classification import Negatives
from lung_nodules.training.folds import fold_of, make_folds, negatives_for, read_out_of_fold, threshold_that_keeps
from lung_nodules.training.mistakes import CropMistake, Mistake

NUM_FOLDS = 3


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[NoduleCrop, ...]:
    folder: Path = tmp_path_factory.mktemp("cohort") / "crops"
    write_tiny_crops(folder)
    return read_crops(folder, [Split.TRAIN])


def scan_of(name: str) -> Background:
    lung = np.zeros((2, 2, 2), dtype=np.int16)
    return Background(name, lung, lung == 0, lung == 0, np.zeros((1, 3), dtype=np.int32))


@given(st.text(min_size=1), st.integers(2, 20))
def test_a_patient_has_one_fold(patient: str, num_folds: int) -> None:
    assert fold_of(patient, num_folds) == fold_of(patient, num_folds)
    assert 0 <= fold_of(patient, num_folds) < num_folds


def test_every_crop_is_read_once_by_who_does_not_know_the_patient(crops: tuple[NoduleCrop, ...]) -> None:
    scans = [scan_of(crops[0].patient_id), scan_of("another")]
    folds = list(make_folds(crops, scans, NUM_FOLDS))
    assert sorted(number for fold in folds for number in fold.held_crops) == list(range(len(crops)))
    assert sorted(number for fold in folds for number in fold.held_backgrounds) == [0, 1]
    for fold in folds:
        held = {crops[number].patient_id for number in fold.held_crops}
        held |= {scans[number].name for number in fold.held_backgrounds}
        learned = {crops[number].patient_id for number in fold.other_crops}
        learned |= {scans[number].name for number in fold.other_backgrounds}
        assert held.isdisjoint(learned)
        assert fold.other_backgrounds


def test_the_only_scan_is_learned_from_in_every_fold_and_held_in_none(crops: tuple[NoduleCrop, ...]) -> None:
    for fold in make_folds(crops, [scan_of("the only one")], NUM_FOLDS):
        assert (fold.held_backgrounds, fold.other_backgrounds) == ((), (0,))


@given(st.lists(st.floats(0, 1), min_size=1), st.floats(0.5, 1))
def test_a_threshold_keeps_the_share_of_nodules_that_is_asked_for(scores: list[float], share: float) -> None:
    kept = sum(score >= threshold_that_keeps(share, scores) for score in scores)
    assert share * (len(scores) - 1) <= kept <= len(scores)


def test_negatives_follow_their_crops_and_scans(crops: tuple[NoduleCrop, ...]) -> None:
    scans = [scan_of("one"), scan_of("another")]
    negatives = Negatives(
        [Mistake(number, (number, 0, 0), 0.5) for number in range(len(scans))],
        [CropMistake(number, (float(number), 0.0, 0.0), 0.5) for number in range(len(crops))],
    )
    for fold in make_folds(crops, scans, NUM_FOLDS):
        own = negatives_for(fold, negatives)
        assert [fold.other_crops[one.crop] for one in own.in_crops] == [int(one.center_ijk[0]) for one in own.in_crops]
        assert len(own.in_crops) == len(fold.other_crops)
        assert [fold.other_backgrounds[one.background] for one in own.in_scans] == [
            one.center_ijk[0] for one in own.in_scans
        ]
        assert len(own.in_scans) == len(fold.other_backgrounds)


def test_rows_come_from_the_network_of_their_fold(crops: tuple[NoduleCrop, ...]) -> None:
    rows = read_out_of_fold(
        crops,
        [],
        NUM_FOLDS,
        lambda fold: fold.number,  # type: ignore[arg-type, return-value]  # a number stands for the network
        lambda held, network: [(crop.patient_id, network) for crop in held],
    )
    assert sorted(rows) == sorted((crop.patient_id, fold_of(crop.patient_id, NUM_FOLDS)) for crop in crops)
