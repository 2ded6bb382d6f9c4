"""Whether the suspicion tells more than the readers' diameter, on all whom no network learned from, and what limits it.

Validation and test patients together, in five folds by patient: each nodule is rated by a head fitted without its
fold. The classifier is the committed one, whose last weights were taken; that the outliner's threshold was chosen on
the validation patients may flatter their half a little. What limits it is told by how it agrees with readers who agree,
and by how a reader agrees with others.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lung_nodules.cohorts.crops import read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.evaluation.bootstrap import bootstrap_figure, mean_figure, on_rows, paired_gain
from lung_nodules.evaluation.discrimination import auc
from lung_nodules.evaluation.figures import Figure
from lung_nodules.evaluation.measured import MALIGNANCY_MIDDLE, Measured, decided, measure_crops
from lung_nodules.evaluation.quoting import in_words
from lung_nodules.evaluation.reading import reader
from lung_nodules.evaluation.suspicion import SUSPICION_THRESHOLD
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import load_model
from lung_nodules.stages.classification import apply_head
from lung_nodules.training.folds import fold_of
from lung_nodules.training.heads import fit_suspicion_on_validation

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDS = 5


def measure_side(crops_folder: Path, models: Path, side: Split) -> list[Measured]:
    """What the line would know of a side's nodules of three and more readers."""
    outliner, classifier = load_model(models / "segmentation"), load_model(models / "classification")
    crops = [crop for crop in read_crops(crops_folder, [side], ("slices",)) if crop.num_readers >= 3]
    return measure_crops(
        crops,
        reader(load_network(outliner)),
        outliner.record.operating_point()[1].threshold,
        reader(load_network(classifier)),
        classifier.record.outputs,
        classifier.record.preprocessing,
    )


def rate_by_folds(train: Sequence[Measured], unknown: Sequence[Measured]) -> list[float]:
    """The suspicion of each unknown nodule, by a head that was fitted to other patients; 0-1."""
    folds = [fold_of(one.crop.patient_id, FOLDS) for one in unknown]
    heads = [
        fit_suspicion_on_validation(train, [one for one, fold in zip(unknown, folds, strict=True) if fold != held])
        for held in range(FOLDS)
    ]
    return [apply_head(heads[fold], one.inputs) for one, fold in zip(unknown, folds, strict=True)]


def readers_by_themselves(unknown: Sequence[Measured]) -> Figure:
    """How often a reader and the mean of the others are on the same side of the scale's middle; equal is left out."""
    patients, agrees = list[str](), list[float]()
    for one in unknown:
        ratings = np.array(one.crop.ratings_by_reader["malignancy"]) - MALIGNANCY_MIDDLE
        others = (ratings.sum() - ratings) / (len(ratings) - 1)
        told = (ratings != 0) & (others != 0)
        if told.any():
            patients.append(one.crop.patient_id)
            agrees.append(float(((ratings > 0) == (others > 0))[told].mean()))
    return mean_figure(patients, agrees)


def main() -> None:
    """Print AUC (mean malignancy above 3 against below 3), gain and accuracy, and how readers agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crops", type=Path, default=REPOSITORY.parent / "shared" / "data" / "lidc-nodules")
    parser.add_argument("--models", type=Path, default=REPOSITORY / "models")
    given = parser.parse_args()
    train, validation, test = (measure_side(given.crops, given.models, side) for side in Split)
    unknown = decided([*validation, *test])
    patients = [one.crop.patient_id for one in unknown]
    truth = np.array([one.is_suspicious for one in unknown])
    suspicion = np.array(rate_by_folds(train, unknown))
    right = ((suspicion >= SUSPICION_THRESHOLD) == truth).astype(float)
    agreed = np.array([abs(one.crop.ratings["malignancy"] - MALIGNANCY_MIDDLE) >= 1 for one in unknown])
    ours = on_rows(auc, truth, suspicion)
    ruler = on_rows(auc, truth, np.array([one.crop.diameter_mm for one in unknown]))
    names = np.array(patients)
    lines = {
        "AUC, suspicion as reported": bootstrap_figure(patients, ours),
        "AUC, readers' diameter": bootstrap_figure(patients, ruler),
        "gain, paired": paired_gain(patients, ours, ruler),
        "accuracy": mean_figure(patients, right.tolist()),
        "- readers' mean one step or more from the middle": mean_figure(names[agreed].tolist(), right[agreed].tolist()),
        "- nearer to the middle": mean_figure(names[~agreed].tolist(), right[~agreed].tolist()),
        "accuracy of one reader against the others' mean": readers_by_themselves(unknown),
    }
    for name, figure in lines.items():
        print(f"{name}: {in_words(figure)}")  # noqa: T201  # what the script is for


if __name__ == "__main__":
    main()
