"""FROC: scans drawn so small that each mark can be counted by hand, and properties that hold for all of them.

All lesions lie on the x axis and have a diameter of 10 mm (radius 5) where nothing else is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.froc import compute_froc_curve_data, compute_froc_score
from sklearn.metrics import roc_curve

from lung_nodules.evaluation.figures import FigureUndefinedError
from lung_nodules.evaluation.froc import (
    FPS_PER_SCAN,
    OFFICIAL_RULES,
    Froc,
    FrocRules,
    Lesion,
    Mark,
    bootstrap_froc,
    froc,
)

MANY = settings(max_examples=50, deadline=None)


def mark(x: float, probability: float, scan: str = "a") -> Mark:
    return Mark(scan, x, 0, 0, probability)


def lesion(x: float, diameter_mm: float = 10, scan: str = "a") -> Lesion:
    return Lesion(scan, x, 0, 0, diameter_mm)


def points(curve: Froc) -> list[tuple[float, float]]:
    return list(zip(curve.fps.tolist(), curve.sensitivity.tolist(), strict=True))


FAR = 1000.0


def test_curve_counted_by_hand() -> None:
    # Two scans, three lesions. Falling: hit a0 (.9), false (.8), hit a100 (.7), false (.6); b0 is missed.
    curve = froc(
        [mark(0, 0.9), mark(FAR, 0.8), mark(100, 0.7), mark(FAR, 0.6, "b")],
        [lesion(0), lesion(100), lesion(0, scan="b")],
        [],
        ["a", "b"],
    )
    assert points(curve) == [(0, 0), (0, 1 / 3), (0.5, 1 / 3), (0.5, 2 / 3), (1, 2 / 3)]
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.8, 0.7, 0.6]
    assert (curve.num_found, curve.num_false, curve.num_lesions, curve.num_scans) == (2, 2, 3, 2)
    # At a rate where the curve rises, the top counts.
    assert [curve.sensitivity_at(fps) for fps in FPS_PER_SCAN] == pytest.approx([1 / 3] * 2 + [2 / 3] * 5)
    assert curve.cpm == pytest.approx((2 * 1 / 3 + 5 * 2 / 3) / 7)


def test_a_missed_lesion_counts_only_in_the_denominator() -> None:
    curve = froc([mark(0, 0.9)], [lesion(0), lesion(100)], [], ["a"])
    assert points(curve) == [(0, 0), (0, 0.5)]


def test_sensitivity_is_read_on_the_line_between_points() -> None:
    # One scan: false (.9), then hit and false of one probability: the line from (1, 0) to (2, 1).
    curve = froc([mark(FAR, 0.9), mark(0, 0.5), mark(FAR, 0.5)], [lesion(0)], [], ["a"])
    assert curve.sensitivity_at(1.5) == 0.5
    assert curve.sensitivity_at(4) == 1
    steps = replace(OFFICIAL_RULES, interpolates=False)
    assert froc([mark(FAR, 0.9), mark(0, 0.5), mark(FAR, 0.5)], [lesion(0)], [], ["a"], steps).sensitivity_at(1.5) == 0


def test_ties_come_together() -> None:
    # A hit and a false mark of one probability make one point, in whatever order they are given.
    for marks in ([mark(0, 0.5), mark(FAR, 0.5)], [mark(FAR, 0.5), mark(0, 0.5)]):
        assert points(froc(marks, [lesion(0)], [], ["a"])) == [(0, 0), (1, 1)]


def test_several_marks_in_one_lesion_count_once_by_the_surest() -> None:
    marks = [mark(0, 0.3), mark(1, 0.9), mark(1, 0.9), mark(-1, 0.5)]
    curve = froc(marks, [lesion(0)], [], ["a"])
    assert points(curve) == [(0, 0), (0, 1)]
    assert curve.thresholds[1] == 0.9
    assert curve.matches.num_repeats == 3
    strict = froc(marks, [lesion(0)], [], ["a"], FrocRules(repeats_are_false=True))
    assert points(strict) == [(0, 0), (1, 1), (2, 1), (3, 1)]


def test_duplicates_outside_a_lesion_are_each_false() -> None:
    assert froc([mark(FAR, 0.5)] * 3, [lesion(0)], [], ["a"]).num_false == 3


def test_one_mark_in_two_lesions_finds_both() -> None:
    marks, lesions = [mark(3, 0.9)], [lesion(0), lesion(7)]
    assert points(froc(marks, lesions, [], ["a"])) == [(0, 0), (0, 1)]
    single = FrocRules(one_mark_hits_many=False)
    assert froc(marks, lesions, [], ["a"], single).num_found == 1
    # A second mark, which lies in both too, finds the other.
    both = froc([*marks, mark(3, 0.4)], lesions, [], ["a"], single)
    assert points(both) == [(0, 0), (0, 0.5), (0, 1)]


def test_one_to_one_takes_the_nearest_free_lesion() -> None:
    single = FrocRules(one_mark_hits_many=False)
    curve = froc([mark(3, 0.9), mark(-4, 0.8)], [lesion(0), lesion(7)], [], ["a"], single)  # 3 from 0, 4 from 7
    assert curve.num_found == 1  # the surer mark takes 0, so that the mark at -4 (in 0 only) is a repeat
    assert curve.matches.num_repeats == 1
    assert curve.num_false == 0


def test_a_mark_on_the_surface_is_no_hit() -> None:
    assert froc([mark(5, 0.9)], [lesion(0)], [], ["a"]).num_found == 0
    assert froc([mark(4.999, 0.9)], [lesion(0)], [], ["a"]).num_found == 1
    assert froc([mark(5, 0.9)], [lesion(0)], [], ["a"], FrocRules(hits_on_surface=True)).num_found == 1


def test_marks_on_excluded_findings_are_neither_right_nor_wrong() -> None:
    arguments = ([mark(0, 0.9), mark(100, 0.8)], [lesion(0)], [lesion(100)], ["a"])
    curve = froc(*arguments)
    assert (curve.num_found, curve.num_false, curve.matches.num_ignored) == (1, 0, 1)
    assert froc(*arguments, FrocRules(ignores_excluded=False)).num_false == 1


def test_an_included_lesion_matches_before_an_excluded_one() -> None:
    curve = froc([mark(0, 0.9)], [lesion(0)], [lesion(1)], ["a"])
    assert (curve.num_found, curve.matches.num_ignored) == (1, 0)


def test_an_unmeasured_finding_has_ten_millimetres() -> None:
    unmeasured = [lesion(100, diameter_mm=-1)]
    assert froc([mark(104.9, 0.9)], [lesion(0)], unmeasured, ["a"]).num_false == 0
    assert froc([mark(105, 0.9)], [lesion(0)], unmeasured, ["a"]).num_false == 1
    smaller = FrocRules(unmeasured_diameter_mm=3)
    assert froc([mark(104.9, 0.9)], [lesion(0)], unmeasured, ["a"], smaller).num_false == 1


def test_of_more_than_a_hundred_marks_those_above_the_first_too_many_stay() -> None:
    falling = [mark(FAR, 1 - number / 1000) for number in range(150)]
    assert froc(falling, [lesion(0)], [], ["a"]).num_false == 100
    assert froc(falling[:100], [lesion(0)], [], ["a"]).num_false == 100
    assert froc(falling, [lesion(0)], [], ["a"], FrocRules(max_marks=None)).num_false == 150


def test_ties_at_the_cut_all_drop() -> None:
    # Ninety sure marks, then twenty of one probability, among them the only hit.
    marks = [mark(FAR, 0.9)] * 90 + [mark(FAR, 0.5)] * 19 + [mark(0, 0.5)]
    curve = froc(marks, [lesion(0)], [], ["a"])
    assert (curve.num_false, curve.num_found) == (90, 0)
    kept = froc(marks, [lesion(0)], [], ["a"], FrocRules(keeps_ties_at_cut=True))
    assert kept.num_false == 100
    # All of one probability: nothing is left.
    assert froc([mark(0, 0.5)] * 101, [lesion(0)], [], ["a"]).num_found == 0


def test_every_listed_scan_counts() -> None:
    marks = [mark(FAR, 0.9), mark(0, 0.8)]
    assert froc(marks, [lesion(0)], [], ["a"]).fps[-1] == 1
    curve = froc(marks, [lesion(0)], [], ["a", "b", "c", "d"])  # three without nodule, mark or reading
    assert curve.fps[-1] == 0.25
    assert curve.sensitivity_at(0.125) == 0


def test_scans_that_are_not_listed_are_left_out() -> None:
    curve = froc([mark(0, 0.9), mark(0, 0.9, "b")], [lesion(0), lesion(0, scan="b")], [], ["a"])
    assert (curve.num_found, curve.num_false, curve.num_lesions) == (1, 0, 1)


def test_no_false_mark_gives_full_marks_at_every_rate() -> None:
    curve = froc([mark(0, 0.9), mark(100, 0.8)], [lesion(0), lesion(100)], [], ["a"])
    assert curve.cpm == 1


def test_monai_loses_the_lowest_threshold_and_we_do_not() -> None:
    """Two lesions, both found, no false mark: the sensitivity is 1 at any rate; MONAI says 0.5."""
    hits = np.array([0.9, 0.8])
    fps, sensitivity = compute_froc_curve_data(np.array([]), hits, num_targets=2, num_images=1)
    assert compute_froc_score(fps, sensitivity, FPS_PER_SCAN) == 0.5
    ours = froc([mark(0, hits[0]), mark(100, hits[1])], [lesion(0), lesion(100)], [], ["a"])
    assert [ours.sensitivity_at(rate) for rate in FPS_PER_SCAN] == [1.0] * 7


def test_a_finder_that_finds_nothing_scores_nothing() -> None:
    assert froc([], [lesion(0)], [], ["a"]).cpm == 0
    assert froc([mark(FAR, 0.5)], [lesion(0)], [], ["a"]).cpm == 0


def test_without_lesions_there_is_no_figure() -> None:
    curve = froc([mark(0, 0.5)], [], [], ["a"])
    assert np.isnan(curve.cpm)
    with pytest.raises(FigureUndefinedError, match="no lesion"):
        bootstrap_froc(curve)


@pytest.mark.parametrize("scans", [[], ["a", "a"]])
def test_scans_must_be_listed_once(scans: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="each once"):
        froc([], [], [], scans)


def test_a_probability_must_be_a_number() -> None:
    with pytest.raises(ValueError, match="not finite"):
        froc([mark(0, float("nan"))], [lesion(0)], [], ["a"])


# Small integers as probabilities give many ties; places on a coarse grid give repeats and shared lesions.
SCANS = ["a", "b", "c"]
PLACES = st.sampled_from([0.0, 4.0, 8.0, 12.0, 40.0, FAR])
MARKS = st.lists(st.builds(mark, PLACES, st.integers(0, 6).map(float), st.sampled_from(SCANS)), max_size=20)
LESIONS = st.lists(
    st.builds(lesion, PLACES, st.sampled_from([-1.0, 6.0, 10.0, 20.0]), st.sampled_from(SCANS)), max_size=6
)
RULES = st.builds(
    FrocRules,
    max_marks=st.sampled_from([None, 2, 100]),
    keeps_ties_at_cut=st.booleans(),
    hits_on_surface=st.booleans(),
    ignores_excluded=st.booleans(),
    repeats_are_false=st.booleans(),
    one_mark_hits_many=st.booleans(),
    interpolates=st.booleans(),
)


@MANY
@given(MARKS, LESIONS, LESIONS, RULES)
def test_curve_never_falls_and_stays_within_bounds(
    marks: list[Mark], included: list[Lesion], excluded: list[Lesion], rules: FrocRules
) -> None:
    curve = froc(marks, [*included, lesion(0)], excluded, SCANS, rules)
    assert (np.diff(curve.fps) >= 0).all()
    assert (np.diff(curve.sensitivity) >= 0).all()
    assert 0 <= curve.cpm <= 1
    assert curve.num_found + curve.num_false <= len(marks) * 7  # a mark finds each of at most seven lesions


@MANY
@given(MARKS, LESIONS, LESIONS, RULES)
def test_only_the_order_of_the_probabilities_counts(
    marks: list[Mark], included: list[Lesion], excluded: list[Lesion], rules: FrocRules
) -> None:
    stretched = [replace(one, probability=np.exp(3 * one.probability) - 7) for one in marks]
    given_as, again = (froc(some, [*included, lesion(0)], excluded, SCANS, rules) for some in (marks, stretched))
    assert points(given_as) == points(again)


@MANY
@given(MARKS, LESIONS, LESIONS, st.randoms(use_true_random=False))
def test_the_order_in_which_marks_are_given_does_not_count(
    marks: list[Mark], included: list[Lesion], excluded: list[Lesion], random: object
) -> None:
    shuffled = list(marks)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (froc(some, [*included, lesion(0)], excluded, SCANS) for some in (marks, shuffled))
    assert points(one) == points(other)


@MANY
@given(MARKS, LESIONS, st.integers(0, 6))
def test_a_false_mark_never_helps(marks: list[Mark], included: list[Lesion], probability: int) -> None:
    lesions = [*included, lesion(0)]
    before = froc(marks, lesions, [], SCANS)
    after = froc([*marks, mark(-FAR, probability)], lesions, [], SCANS)
    assert after.cpm <= before.cpm + 1e-12


@MANY
@given(MARKS, LESIONS, LESIONS)
def test_the_same_cohort_twice_gives_the_same_curve(
    marks: list[Mark], included: list[Lesion], excluded: list[Lesion]
) -> None:
    lesions = [*included, lesion(0)]
    twice = [[*some, *(replace(one, scan=f"{one.scan}2") for one in some)] for some in (marks, lesions, excluded)]
    one = froc(marks, lesions, excluded, SCANS)
    two = froc(*twice, [*SCANS, *(f"{scan}2" for scan in SCANS)])  # type: ignore[arg-type]
    np.testing.assert_allclose(points(one), points(two))


@MANY
@given(MARKS, LESIONS, LESIONS)
def test_curve_is_that_of_the_official_script(
    marks: list[Mark], included: list[Lesion], excluded: list[Lesion]
) -> None:
    """The script rescales scikit-learn's ROC curve of the entries; where that is defined, ours is the same."""
    curve = froc(marks, [*included, lesion(0)], excluded, SCANS)
    hit, probability = curve.matches.entry_is_hit, curve.matches.entry_probability
    if not hit.any() or hit.all():
        return
    fpr, tpr, _ = roc_curve(hit, probability, drop_intermediate=False)
    assert curve.fps == pytest.approx(fpr * curve.num_false / curve.num_scans)
    assert curve.sensitivity == pytest.approx(tpr * curve.num_found / curve.num_lesions)


def cohort(num_scans: int, seed: int = 0) -> Froc:
    """One lesion a scan, found in seven of ten, and false marks of all probabilities."""
    rng = np.random.default_rng(seed)
    scans = [str(number) for number in range(num_scans)]
    hits = [mark(0, rng.uniform(0.3, 1), scan) for scan in scans if rng.random() < 0.7]
    false = [mark(FAR, rng.random(), scan) for scan in scans for _ in range(rng.integers(9))]
    return froc(hits + false, [lesion(0, scan=scan) for scan in scans], [], scans)


def test_bootstrap_is_seeded_and_holds_the_value() -> None:
    curve = cohort(60)
    figures, cpm = bootstrap_froc(curve)
    assert (figures, cpm) == bootstrap_froc(curve)
    assert tuple(figures) == FPS_PER_SCAN
    for rate, figure in figures.items():
        assert figure.value == curve.sensitivity_at(rate)
        assert figure.n == 60
        assert (figure.low or 0) <= figure.value <= (figure.high or 0)
    assert cpm.value == curve.cpm
    assert (cpm.low or 0) < cpm.value < (cpm.high or 0)


def test_more_scans_narrow_the_interval() -> None:
    few, many = (bootstrap_froc(cohort(num), num_resamples=300)[1] for num in (30, 480))
    assert (few.high or 0) - (few.low or 0) > 2 * ((many.high or 0) - (many.low or 0))


def test_a_resample_is_the_curve_of_the_drawn_scans() -> None:
    """With two scans there are three different draws, and each is worked out: aa 1, ab 0.5, bb 0."""
    curve = froc([mark(0, 0.9)], [lesion(0), lesion(0, scan="b")], [], ["a", "b"])
    _, cpm = bootstrap_froc(curve)
    assert (cpm.low, cpm.value, cpm.high) == (0, 0.5, 1)


def test_draws_without_lesion_are_left_out() -> None:
    curve = froc([mark(0, 0.9)], [lesion(0)], [], ["a", "b"])
    _, cpm = bootstrap_froc(curve)
    assert (cpm.low, cpm.value, cpm.high) == (1, 1, 1)


def test_one_scan_has_no_interval() -> None:
    _, cpm = bootstrap_froc(froc([mark(0, 0.9)], [lesion(0)], [], ["a"]))
    assert (cpm.value, cpm.low, cpm.high) == (1, None, None)


def test_percentiles_are_floored_as_in_the_script() -> None:
    curve = cohort(40)
    floored = bootstrap_froc(curve, num_resamples=101)[1]
    smooth = bootstrap_froc(replace(curve, rules=FrocRules(floors_percentiles=False)), num_resamples=101)[1]
    assert (floored.low or 0) < (smooth.low or 0)  # draw 2 of 0-100 instead of draw 2.5
    assert floored.value == smooth.value


@settings(max_examples=20, deadline=None)
@given(MARKS, LESIONS, RULES)
def test_bounds_of_the_bootstrap(marks: list[Mark], included: list[Lesion], rules: FrocRules) -> None:
    figures, cpm = bootstrap_froc(froc(marks, [*included, lesion(0)], [], SCANS, rules), num_resamples=50)
    for figure in (*figures.values(), cpm):
        assert 0 <= (figure.low or 0) <= (figure.high or 0) <= 1
