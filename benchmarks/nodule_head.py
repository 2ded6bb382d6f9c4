"""Which of the classifier's outputs tell a nodule from the finder's mistakes: all, or the one that was taught to.

On validation patients, whom no network knows: their nodules, and the places beside them where the finder was wrong.
Each row is judged by a logistic regression that was fitted without its patient, in folds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.crops import read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.evaluation.bootstrap import bootstrap_figure, on_rows, paired_gain
from lung_nodules.evaluation.discrimination import auc
from lung_nodules.evaluation.quoting import in_words
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import load_model
from lung_nodules.progress import SilentProgress
from lung_nodules.training.candidates import Candidates, mistakes_in_crops, nodule_candidates
from lung_nodules.training.classification import ClassificationTraining
from lung_nodules.training.folds import fold_of
from lung_nodules.training.heads import fit_logistic, head_logits
from lung_nodules.training.mistakes import mine_crops
from lung_nodules.training.segmentation import WINDOW_HU
from lung_nodules.training.workshop import well_read

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDS, STRENGTH = 5, 1.0
NARROW = ("image.nodule", "candidate.logit")


def read_rows(crops_folder: Path, models: Path) -> tuple[Candidates, list[str], npt.NDArray[np.bool_]]:
    """Inputs of the nodule head, patient and truth of each validation nodule and each mistake beside one."""
    finder, outputs = load_model(models / "detection"), load_network(load_model(models / "classification"))
    network, settings = load_network(finder), ClassificationTraining()
    limits = settings.mining.model_copy(update={"threshold": finder.record.operating_point()[1].threshold})
    crops = read_crops(crops_folder, [Split.VALIDATION])
    beside = mine_crops(network, crops, WINDOW_HU, settings.cube.spacing_mm, limits, SilentProgress())
    nodules = well_read(crops)
    rows = nodule_candidates(network, outputs, nodules, settings) + mistakes_in_crops(outputs, crops, beside, settings)
    patients = [crop.patient_id for crop in nodules] + [crops[one.crop].patient_id for one in beside]
    return rows, patients, np.arange(len(rows)) < len(nodules)


def judge_by_folds(
    rows: Candidates, patients: Sequence[str], truth: npt.NDArray[np.bool_], names: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    """The logit of each row, by a head that was fitted to other patients."""
    table = np.array([[row[name] for name in names] for row in rows])
    fold = np.array([fold_of(patient, FOLDS) for patient in patients])
    logits = np.zeros(len(rows))
    for number in range(FOLDS):
        held = fold == number
        head = fit_logistic(table[~held], truth[~held], names, STRENGTH, balanced=True)
        logits[held] = head_logits(head, table[held])
    return logits


def main() -> None:
    """Print the AUC with all outputs and with the one, and the paired gain."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=Path, default=REPOSITORY.parent / "shared" / "data" / "lidc-nodules")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models")
    given = parser.parse_args()
    rows, patients, truth = read_rows(given.crops, given.models)
    wide = (*(name for name in rows[0] if name.startswith("image.")), "candidate.logit")
    by_names = {names: judge_by_folds(rows, patients, truth, names) for names in (wide, NARROW)}
    measures = {names: on_rows(auc, truth, logits) for names, logits in by_names.items()}
    lines = {
        "all outputs and the finder's score": bootstrap_figure(patients, measures[wide]),
        "the output nodule and the finder's score": bootstrap_figure(patients, measures[NARROW]),
        "gain, paired": paired_gain(patients, measures[wide], measures[NARROW]),
    }
    print(f"AUC, {truth.sum()} nodules, {(~truth).sum()} mistakes")  # noqa: T201  # what the script is for
    for name, figure in lines.items():
        print(f"{name}: {in_words(figure)}")  # noqa: T201


if __name__ == "__main__":
    main()
