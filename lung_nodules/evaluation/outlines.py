"""Outlines beside the readers' consensus: one row a nodule, and the figures of many, by size too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from lung_nodules.evaluation.book import FigureBook
from lung_nodules.evaluation.bootstrap import mean_figure
from lung_nodules.evaluation.overlap import dice, hd95, iou, surface_dice, volume_error
from lung_nodules.evaluation.size_bands import rows_by_band

SURFACE_TOLERANCE_MM = 1.0
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OutlineRow:
    """How well one outline agrees with the consensus; a distance that does not exist is NaN."""

    patient_id: str  # whom the interval is drawn by
    nodule_id: str
    diameter_mm: float  # longest in-plane diameter of the consensus
    dice: float
    iou: float
    surface_dice: float  # within 1 mm
    hd95_mm: float
    volume_error: float  # relative; 0.1 is ten per cent too large


MEANS = ("dice", "iou", "surface_dice", "hd95_mm", "volume_error")


def compare_outline(
    patient_id: str,
    nodule_id: str,
    diameter_mm: float,
    outline: Mask,
    consensus: Mask,
    spacing_mm: tuple[float, float, float],
) -> OutlineRow:
    """One row: an outline against the consensus, both on one grid ``[slice, row, column]``."""
    return OutlineRow(
        patient_id=patient_id,
        nodule_id=nodule_id,
        diameter_mm=diameter_mm,
        dice=dice(outline, consensus),
        iou=iou(outline, consensus),
        surface_dice=surface_dice(outline, consensus, spacing_mm, SURFACE_TOLERANCE_MM),
        hd95_mm=hd95(outline, consensus, spacing_mm),
        volume_error=volume_error(outline, consensus),
    )


def add_outline_figures(book: FigureBook, prefix: str, rows: Sequence[OutlineRow]) -> None:
    """Means over nodules, intervals by patient, and the same by size band under ``by_size``."""
    _add_means(book, prefix, rows)
    for band, members in rows_by_band([row.diameter_mm for row in rows]).items():
        _add_means(book, f"{prefix}/by_size/{band}", [rows[int(number)] for number in members])


def add_dice(book: FigureBook, path: str, rows: Sequence[OutlineRow]) -> None:
    """Mean Dice over nodules, its interval by patient."""
    book.measure(path, mean_figure, [row.patient_id for row in rows], [row.dice for row in rows])


def _add_means(book: FigureBook, prefix: str, rows: Sequence[OutlineRow]) -> None:
    table = {name: np.array([asdict(row)[name] for row in rows], dtype=float) for name in MEANS}
    table["volume_error_absolute"] = np.abs(table["volume_error"])
    for name, column in table.items():
        known = np.isfinite(column)
        patients = [row.patient_id for row, is_known in zip(rows, known, strict=True) if is_known]
        book.measure(f"{prefix}/{name}", mean_figure, patients, column[known])
