"""A target's outline is the best that is reported at the operating point; a target without one counts as missed."""

from __future__ import annotations

import numpy as np
import pytest

from lung_nodules.evaluation.scans import Found, JudgedScan, Target, hold_against

SURE, UNSURE = 0.9, 0.3


def judge(threshold: float) -> JudgedScan:
    """Two targets of 12 voxels: of one, a sure finding outlines 4 and an unsure one the others; the other is missed."""
    reference, label_map = np.zeros((2, 4, 4), np.uint16), np.zeros((2, 4, 4), np.uint16)
    reference[0, :3], reference[1, :3] = 1, 2
    label_map[0, 0], label_map[0, 1:3] = 1, 2
    found = [Found(1, (0, 0, 0), SURE), Found(2, (0, 1, 0), UNSURE)]
    targets = [Target(f"patient/{label}", "patient", label, (0, 0, 0), 5.0, 5.0) for label in (1, 2)]
    return hold_against("scan", found, label_map, targets, reference, [], (1.0, 1.0, 1.0), threshold, {})


@pytest.mark.parametrize(("threshold", "dice"), [(0.0, 0.8), (UNSURE, 0.8), (SURE, 0.5), (0.95, 0.0)])
def test_the_best_outline_that_reaches_the_threshold_counts(threshold: float, dice: float) -> None:
    first, second = judge(0.5).outlines_at(threshold)
    assert first.dice == pytest.approx(dice)
    assert second.dice == 0


@pytest.mark.parametrize(("threshold", "num_matched"), [(0.5, 1), (0.95, 0)])
def test_matched_are_the_overlapped_at_the_scan_s_own_point(threshold: float, num_matched: int) -> None:
    assert len(judge(threshold).matched) == num_matched
