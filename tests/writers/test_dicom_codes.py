from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr.coding import Code

from lung_nodules.stages.classification import RATING_SCALES, snake_case
from lung_nodules.writers import dicom_codes
from lung_nodules.writers.dicom_codes import grade_characteristic

SCALES = {snake_case(name): scale for name, scale in RATING_SCALES.items()}
NOMINAL = {"internal_structure", "calcification"}


@pytest.mark.parametrize(
    ("name", "rating", "concept", "grade"),
    [
        ("subtlety", 5.0, "C45992", "5 out of 5 (Obvious)"),
        ("sphericity", 2.6, "400", "ovoid"),
        ("margin", 1.2, "C25563", "Indistinct margin"),
        ("lobulation", 1.4, "C62175", "1 out of 5 (No lobulation)"),
        ("spiculation", 3.7, "C28749", "4 out of 5"),
        ("texture", 3.2, "C41144", "part-solid pulmonary nodule"),
        ("calcification", 5.8, "C3672", "Absent"),
        ("internal_structure", 1.1, "200", "Soft tissue"),
    ],
)
def test_a_rating_becomes_the_nearest_grade_of_lidc(name, rating, concept, grade):
    coded = grade_characteristic(name, rating)
    assert (coded[0].value, coded[1].meaning) == (concept, grade)


@pytest.mark.parametrize(("name", "rating"), [("calcification", 4.5), ("internal_structure", 2.0), ("malignancy", 3.0)])
def test_what_no_answer_alone_explains_is_not_coded(name, rating):
    assert grade_characteristic(name, rating) is None


@given(st.sampled_from(sorted(NOMINAL)), st.data())
def test_no_mean_of_readers_who_differ_is_coded_as_a_kind(name, data):
    low, high = SCALES[name]
    answers = data.draw(st.lists(st.integers(int(low), int(high)), min_size=1, max_size=4))
    coded = grade_characteristic(name, sum(answers) / len(answers))
    assert (coded is not None) == (set(answers) in ({int(low)}, {int(high)}))


@given(st.sampled_from(sorted(SCALES.keys() - NOMINAL)), st.floats(1, 5), st.floats(1, 5))
def test_grades_rise_with_the_rating(name, one, other):
    grades = [grade_characteristic(name, number)[1] for number in range(1, 6)]
    assert len(set(grades)) == 5
    low, high = (grades.index(grade_characteristic(name, rating)[1]) for rating in sorted((one, other)))
    assert low <= high


@given(st.sampled_from(sorted(SCALES)), st.floats(0, 1))
def test_every_rating_that_the_line_can_give_has_a_code_that_dicom_can_hold(name, share):
    low, high = SCALES[name]
    coded = grade_characteristic(name, low + share * (high - low))
    assert coded is not None or name in NOMINAL
    for code in coded or ():
        assert len(code.value) <= 16
        assert len(code.meaning) <= 64
        assert len(code.scheme_designator) <= 16


def test_every_code_stands_in_the_conformance_statement():
    text = (Path(__file__).resolve().parents[2] / "docs" / "dicom_conformance.md").read_text(encoding="utf-8")
    values = {code.value for code in _codes(vars(dicom_codes).values())}
    generic = {f"{number:03d}" for number in range(1, 6)} | {f"{number}" for number in range(101, 106)}
    units = {"mm", "mm3", "[hnsf'U]", "1"}
    assert len(values) > 50
    assert sorted(value for value in values - generic - units if value not in text) == []


def _codes(things):
    """All codes, in whatever table they stand."""
    for thing in things:
        if isinstance(thing, Code):
            yield thing
        elif isinstance(thing, (dict, tuple)):
            yield from _codes(thing.values() if isinstance(thing, dict) else thing)
