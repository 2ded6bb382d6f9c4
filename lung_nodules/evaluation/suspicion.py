"""The suspicion beside the readers' ratings, and always beside the ruler: nodule rows in, figures out.

Two questions, of nodules that three readers and more rated: is the mean malignancy above the middle of the scale or
below it (equal is left out), and is it 3.5 or more or not. The baseline is the diameter of the readers' own consensus,
which no reader of images is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lung_nodules.evaluation.book import FigureBook
from lung_nodules.evaluation.bootstrap import Rows, bootstrap_figure, paired_gain
from lung_nodules.evaluation.calibration import brier, calibration_line, ece, perfect_ece
from lung_nodules.evaluation.crops import JudgedCrop
from lung_nodules.evaluation.discrimination import accuracy, auc, average_precision, f1, sensitivity, specificity
from lung_nodules.evaluation.measured import MALIGNANCY_MIDDLE, is_decided, is_rated

SUSPICIOUS_FROM = 3.5
SUSPICION_THRESHOLD = 0.5  # where a record stores none: half of such nodules are rated above the middle
ABOVE_BELOW = "above_3_against_below_3"
SUSPICIOUS_REST = "suspicious_against_rest"
UNOUTLINED_LOGIT = -100.0
IMAGE = "image.malignancy"


@dataclass(frozen=True)
class Question:
    """Nodules, a yes or no of each from the readers, and what is said of them."""

    patients: tuple[str, ...]
    positive: npt.NDArray[np.bool_]  # (nodule,)
    suspicion: npt.NDArray[np.float64]  # (nodule,) 0-1, as reported
    image: npt.NDArray[np.float64] | None  # (nodule,) the network's logit alone; None where it has no such output
    diameter_mm: npt.NDArray[np.float64]  # (nodule,) of the readers' consensus
    threshold: float  # of the suspicion, from which on it says yes


def questions(judged: Sequence[JudgedCrop], stored_threshold: float | None = None) -> dict[str, Question]:
    """Both questions, by their names in the figures; of crops that fewer than three readers rated, neither is asked."""
    threshold = SUSPICION_THRESHOLD if stored_threshold is None else stored_threshold
    rated = [one for one in judged if is_rated(one.crop)]
    decided = [one for one in rated if is_decided(one.crop)]
    return {
        ABOVE_BELOW: _ask(decided, lambda rating: rating > MALIGNANCY_MIDDLE, threshold),
        SUSPICIOUS_REST: _ask(rated, lambda rating: rating >= SUSPICIOUS_FROM, threshold),
    }


def add_suspicion_figures(book: FigureBook, asked: Mapping[str, Question]) -> None:
    """Discrimination of both questions; calibration and what the threshold gives of the first."""
    for name, question in asked.items():
        _add_areas(book, name, question)
    _add_threshold_figures(book, asked[ABOVE_BELOW])
    _add_calibration(book, asked[ABOVE_BELOW])


def _ask(judged: Sequence[JudgedCrop], is_positive: Callable[[float], bool], threshold: float) -> Question:
    has_image = any(IMAGE in one.inputs for one in judged)
    return Question(
        patients=tuple(one.crop.patient_id for one in judged),
        positive=np.array([is_positive(one.crop.ratings["malignancy"]) for one in judged], dtype=bool),
        suspicion=np.array([one.suspicion for one in judged]),
        image=np.array([one.inputs.get(IMAGE, UNOUTLINED_LOGIT) for one in judged]) if has_image else None,
        diameter_mm=np.array([one.crop.diameter_mm for one in judged]),
        threshold=threshold,
    )


def _add_areas(book: FigureBook, name: str, asked: Question) -> None:
    ours, ruler = _on_rows(auc, asked, asked.suspicion), _on_rows(auc, asked, asked.diameter_mm)
    precision = _on_rows(average_precision, asked, asked.suspicion)
    book.measure(f"classification/auc_{name}", bootstrap_figure, asked.patients, ours)
    book.measure(f"baseline/auc_diameter_{name}", bootstrap_figure, asked.patients, ruler)
    book.measure(f"classification/gain_over_diameter_{name}", paired_gain, asked.patients, ours, ruler)
    book.measure(f"classification/average_precision_{name}", bootstrap_figure, asked.patients, precision)
    if asked.image is not None:
        alone = _on_rows(auc, asked, asked.image)
        book.measure(f"classification/image_alone/auc_{name}", bootstrap_figure, asked.patients, alone)


def _add_threshold_figures(book: FigureBook, asked: Question) -> None:
    for measure in (accuracy, f1, sensitivity, specificity):
        at_threshold = _on_rows(measure, asked, asked.suspicion, asked.threshold)
        book.measure(f"classification/{measure.__name__}", bootstrap_figure, asked.patients, at_threshold)


def _add_calibration(book: FigureBook, asked: Question) -> None:
    measures: dict[str, Callable[..., float]] = {
        "ece": ece,
        "brier": brier,
        "calibration_slope": lambda positive, values: calibration_line(positive, values).slope,
        "calibration_intercept": lambda positive, values: calibration_line(positive, values).intercept,
    }
    for name, measure in measures.items():
        of_rows = _on_rows(measure, asked, asked.suspicion)
        book.measure(f"classification/{name}", bootstrap_figure, asked.patients, of_rows)
    book.measure("classification/ece_of_a_perfect_model", perfect_ece, asked.suspicion)


def _on_rows(
    measure: Callable[..., float], asked: Question, values: npt.NDArray[np.float64], *more: float
) -> Callable[[Rows], float]:
    """The measure as a function of the rows that were drawn."""
    return lambda rows: measure(asked.positive[rows], values[rows], *more)
