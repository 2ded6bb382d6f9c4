"""Detection over scans: LUNA16's curve and CPM, and what each stored operating point gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lung_nodules.evaluation.book import FigureBook
from lung_nodules.evaluation.bootstrap import Rows, bootstrap_figure
from lung_nodules.evaluation.figures import Figure, FigureUndefinedError
from lung_nodules.evaluation.froc import Froc, Matches, bootstrap_froc, froc
from lung_nodules.evaluation.outlines import add_dice
from lung_nodules.evaluation.scans import JudgedScan
from lung_nodules.networks.record import OperatingPoint


def curve_of(scans: Sequence[JudgedScan]) -> Froc:
    """The free-response curve of all scans."""
    return froc(
        [mark for scan in scans for mark in scan.marks],
        [lesion for scan in scans for lesion in scan.included],
        [lesion for scan in scans for lesion in scan.excluded],
        [scan.name for scan in scans],
    )


def add_detection_figures(book: FigureBook, scans: Sequence[JudgedScan], points: Mapping[str, OperatingPoint]) -> None:
    """CPM, the sensitivity at LUNA16's rates, and what each operating point gives.

    That is sensitivity, false positives a scan, and the whole line's Dice there, a missed nodule counting as 0. Scans
    without a nodule to be found give false positives a scan alone.
    """
    curve = curve_of(scans)
    _add_curve(book, curve)
    for name, point in points.items():
        prefix = f"detection/operating_points/{name}"
        _add_point(book, prefix, curve.matches, point.threshold)
        rows = [row for scan in scans for row in scan.outlines_at(point.threshold)]
        add_dice(book, f"{prefix}/dice_missed_as_0", rows)


def _add_curve(book: FigureBook, curve: Froc) -> None:
    try:
        at_rates, cpm = bootstrap_froc(curve)
    except FigureUndefinedError:
        return
    book.put("detection/cpm", cpm)
    for rate, figure in at_rates.items():
        book.put(f"detection/sensitivity_by_false_positives/{rate:g}", figure)


def _add_point(book: FigureBook, prefix: str, matches: Matches, threshold: float) -> None:
    kept = matches.entry_probability >= threshold
    num_scans = len(matches.scans)
    hits = np.bincount(matches.entry_scan[kept & matches.entry_is_hit], minlength=num_scans)
    false = np.bincount(matches.entry_scan[kept & ~matches.entry_is_hit], minlength=num_scans)

    def sensitivity(rows: Rows) -> float:
        lesions = matches.num_lesions[rows].sum()
        return float(hits[rows].sum() / lesions) if lesions else float("nan")

    num_lesions = int(matches.num_lesions.sum())
    book.measure(f"{prefix}/sensitivity", _over_scans, matches, sensitivity, num_lesions)
    book.measure(
        f"{prefix}/false_positives_per_scan", _over_scans, matches, lambda rows: float(false[rows].mean()), num_scans
    )


def _over_scans(matches: Matches, measure: Callable[[Rows], float], n: int) -> Figure:
    """A figure with its interval by scan; its n counts what is measured, which need not be scans."""
    return bootstrap_figure(matches.scans, measure).model_copy(update={"n": n})
