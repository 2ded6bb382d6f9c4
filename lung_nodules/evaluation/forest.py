"""The random forest on the line's own measurements, beside the networks: where the models folder holds one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lung_nodules.errors import ModelRefusal
from lung_nodules.evaluation.book import FigureBook
from lung_nodules.evaluation.bootstrap import bootstrap_figure, on_rows, paired_gain
from lung_nodules.evaluation.crops import UNOUTLINED_SUSPICION, JudgedCrop
from lung_nodules.evaluation.discrimination import accuracy, auc, f1
from lung_nodules.evaluation.suspicion import ABOVE_BELOW, questions
from lung_nodules.networks.forest import Forest, load_forest
from lung_nodules.networks.record import RECORD_FILE

logger = logging.getLogger(__name__)

FOLDER = "forest"
PLACE = "classification/random_forest"


def find_forest(models_folder: Path) -> Forest | None:
    """The forest of a models folder; None where there is none, or only for another version of scikit-learn.

    Raises:
        ModelRefusal: It is broken or altered.
    """
    folder = models_folder / FOLDER
    if not (folder / RECORD_FILE).is_file():
        return None
    try:
        return load_forest(folder)
    except ModelRefusal as refusal:
        if refusal.code != "model-unsupported":
            raise
        logger.warning("The figures are without the forest. %s", refusal)
        return None


def add_forest_figures(book: FigureBook, judged: Sequence[JudgedCrop], forest: Forest) -> None:
    """Discrimination of both questions, the gain over the diameter, accuracy and F1.

    A forest that reads more than the line measures, such as an embedding, has its figures in its record alone.
    """
    outlined = [one for one in judged if one.inputs]
    if not outlined or not set(forest.record.inputs) <= set(outlined[0].inputs):
        return
    given = iter(forest.suspicion([one.inputs for one in outlined]).tolist())
    asked = questions([replace(one, suspicion=next(given) if one.inputs else UNOUTLINED_SUSPICION) for one in judged])
    for name, question in asked.items():
        ours, ruler = (on_rows(auc, question.positive, row) for row in (question.suspicion, question.diameter_mm))
        book.measure(f"{PLACE}/auc_{name}", bootstrap_figure, question.patients, ours)
        book.measure(f"{PLACE}/gain_over_diameter_{name}", paired_gain, question.patients, ours, ruler)
    question = asked[ABOVE_BELOW]
    for name, measure in {"accuracy": accuracy, "f1": f1}.items():
        called = on_rows(partial(measure, threshold=question.threshold), question.positive, question.suspicion)
        book.measure(f"{PLACE}/{name}", bootstrap_figure, question.patients, called)
