"""A target's outline is the best that is reported at the operating point; a target without one counts as missed."""

from __future__ import annotations

import numpy as np
import pytest

from lung_nodules.evaluation.book import FigureBook
from lung_nodules.evaluation.detection import add_detection_figures
from lung_nodules.evaluation.figures import Figure
from lung_nodules.evaluation.froc import Mark
from lung_nodules.evaluation.scans import Found, JudgedScan, Target, hold_against
from lung_nodules.networks.record import OperatingPoint

SURE, UNSURE = 0.9, 0.3
HU = np.arange(32, dtype=np.int16).reshape(2, 4, 4)


def judge(threshold: float) -> JudgedScan:
    """Two targets of 12 voxels: of one, a sure finding outlines 4 and an unsure one the others; the other is missed."""
    reference, label_map = np.zeros((2, 4, 4), np.uint16), np.zeros((2, 4, 4), np.uint16)
    reference[0, :3], reference[1, :3] = 1, 2
    label_map[0, 0], label_map[0, 1:3] = 1, 2
    found = [Found(1, (0, 0, 0), SURE), Found(2, (0, 1, 0), UNSURE)]
    targets = [Target(f"patient/{label}", "patient", label, (0, 0, 0), 5.0, 5.0) for label in (1, 2)]
    return hold_against("scan", HU, found, label_map, targets, reference, [], (1.0, 1.0, 1.0), threshold, {})


@pytest.mark.parametrize(("threshold", "dice"), [(0.0, 0.8), (UNSURE, 0.8), (SURE, 0.5), (0.95, 0.0)])
def test_the_best_outline_that_reaches_the_threshold_counts(threshold: float, dice: float) -> None:
    first, second = judge(0.5).outlines_at(threshold)
    assert first.dice == pytest.approx(dice)
    assert second.dice == 0


@pytest.mark.parametrize(("threshold", "num_matched"), [(0.5, 1), (0.95, 0)])
def test_matched_are_the_overlapped_at_the_scan_s_own_point(threshold: float, num_matched: int) -> None:
    assert len(judge(threshold).matched) == num_matched


def test_a_matched_outline_is_shown_on_its_slice_beside_the_consensus() -> None:
    (shown,) = (drawn.key_slice for drawn in judge(0.5).matched)
    assert np.array_equal(shown.image, HU[0])
    assert [mask.sum() for mask in shown.readers] == [12]
    assert shown.outline.sum() == 4
    assert shown.center == (1.0, 1.5)


def hold(labels: tuple[int, ...], outlined: bool, diameter_mm: float | None = 5.0) -> JudgedScan:
    """Two targets, of which the reference has those in `labels`, and a sure finding that outlines the first whole."""
    reference, label_map = np.zeros((2, 4, 4), np.uint16), np.zeros((2, 4, 4), np.uint16)
    label_map[0, :3] = outlined
    for label in labels:
        reference[label - 1, :3] = label
    targets = [Target(f"patient/{label}", "patient", label, (0, 0, 9.0 * label), 5.0, diameter_mm) for label in (1, 2)]
    found = [Found(1, (0, 0, 9.0), SURE)] if outlined else []
    return hold_against("scan", HU, found, label_map, targets, reference, [], (1.0, 1.0, 1.0), 0.5, {})


@pytest.mark.parametrize("outlined", [True, False])
def test_no_outline_is_judged_of_a_target_that_the_reference_does_not_outline(outlined: bool) -> None:
    scan = hold((), outlined)
    assert scan.outlines_at(0.0) == scan.outlines_at(1.0) == []
    assert not scan.matched
    assert len(scan.included) == 2


def test_the_others_of_the_scan_are_judged() -> None:
    scan = hold((1,), True)
    assert [(drawn.row.nodule_id, drawn.row.dice) for drawn in scan.matched] == [("patient/1", 1.0)]
    assert len(scan.included) == 2


def test_a_diameter_that_the_table_does_not_give_is_measured_on_the_consensus() -> None:
    rows = hold((1, 2), True, None).outlines_at(0.5)
    assert [row.diameter_mm for row in rows] == [pytest.approx(np.hypot(2, 4))] * 2  # between the middles of edges


def figures(scans: list[JudgedScan]) -> dict[str, Figure]:
    book = FigureBook()
    add_detection_figures(book, scans, {"default": OperatingPoint(threshold=0.5, chosen_on="nothing")})
    return dict(book.under("detection"))


def test_nodules_without_an_outline_are_detected_and_have_no_dice() -> None:
    given = figures([hold((), True)])
    assert given["operating_points/default/sensitivity"].value == 0.5
    assert given["cpm"].n == 2
    assert not [name for name in given if "dice" in name]


def test_scans_without_a_nodule_to_be_found_give_false_positives_alone() -> None:
    marks = tuple(Mark("a", 0, 0, 9.0 * number, probability) for number, probability in enumerate((0.9, 0.6, 0.2)))
    scans = [JudgedScan("a", marks, (), (), (), 0.5), JudgedScan("b", (), (), (), (), 0.5)]
    given = figures(scans)
    assert set(given) == {"operating_points/default/false_positives_per_scan"}
    figure = given["operating_points/default/false_positives_per_scan"]
    assert (figure.value, figure.n) == (1.0, 2)
