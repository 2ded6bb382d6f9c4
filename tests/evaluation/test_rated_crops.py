"""The suspicion is asked only of nodules that three readers and more rated."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from lung_nodules.cohorts.crops import RATINGS, NoduleCrop
from lung_nodules.evaluation.book import FigureBook
from lung_nodules.evaluation.cohort_reading import Side, read_judged_crops
from lung_nodules.evaluation.crops import JudgedCrop
from lung_nodules.evaluation.suspicion import ABOVE_BELOW, SUSPICIOUS_REST, add_suspicion_figures, questions

NOTHING = np.zeros((1, 1, 1), np.uint8)


def judged(name: str, rating: float, suspicion: float = 0.5, num_readers: int = 3) -> JudgedCrop:
    crop = NoduleCrop(
        nodule_id=name,
        patient_id=name,
        kind="slices",
        image=NOTHING.astype(np.int16),
        masks=NOTHING,
        spacing_mm=(1.0, 1.0, 1.0),
        num_readers=num_readers,
        num_masks=3,
        ratings={**dict.fromkeys(RATINGS, math.nan), "malignancy": rating},
        ratings_by_reader={},
        diameter_mm=5.0,
        hu_steps_max=0,
    )
    return JudgedCrop(crop, NOTHING.astype(bool), {}, suspicion)


RATED = [judged("a", 4.0, 0.9), judged("b", 2.0, 0.2), judged("c", 3.25, 0.6), judged("d", 3.0), judged("e", 1.0, 0.7)]
UNRATED = [judged("f", math.nan), judged("g", math.nan, 0.9), judged("h", 5.0, 0.1, num_readers=2)]


def figures(crops: list[JudgedCrop]) -> dict[str, object]:
    book = FigureBook()
    add_suspicion_figures(book, questions(crops))
    return book.tree()


def test_only_rated_nodules_are_asked_of() -> None:
    asked = questions([*UNRATED, *RATED])
    assert asked[ABOVE_BELOW].patients == ("a", "b", "c", "e")
    assert asked[ABOVE_BELOW].positive.tolist() == [True, False, True, False]
    assert asked[SUSPICIOUS_REST].patients == ("a", "b", "c", "d", "e")
    assert asked[SUSPICIOUS_REST].positive.tolist() == [True, False, False, False, False]


def test_unrated_nodules_change_no_figure() -> None:
    assert figures([*RATED, *UNRATED]) == figures(RATED)
    assert figures(RATED)["classification"]


def test_a_cohort_that_nobody_rated_has_no_figure_of_suspicion() -> None:
    assert figures(UNRATED) == {}


@pytest.mark.parametrize(("stored", "sensitivity", "specificity"), [(None, 1.0, 0.5), (0.8, 0.5, 1.0)])
def test_yes_and_no_are_parted_at_the_stored_threshold(
    stored: float | None, sensitivity: float, specificity: float
) -> None:
    book = FigureBook()
    add_suspicion_figures(book, questions(RATED, stored))
    told = book.tree()["classification"]
    assert (told["sensitivity"]["value"], told["specificity"]["value"]) == (sensitivity, specificity)


@pytest.mark.real_data
def test_of_the_shared_test_patients_as_many_are_asked_of_as_the_figures_say(shared_data: Path) -> None:
    crops = read_judged_crops(shared_data / "lidc-nodules", Side.TEST)
    asked = questions([JudgedCrop(crop, NOTHING.astype(bool), {}, 0.5) for crop in crops])
    assert {name: len(question.positive) for name, question in asked.items()} == {
        ABOVE_BELOW: 191,
        SUSPICIOUS_REST: 223,
    }
    assert int(asked[ABOVE_BELOW].positive.sum()) == 76
