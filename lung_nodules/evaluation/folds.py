"""Judging by folds: every scan by the models that did not learn from its patient, all scans in one curve.

LUNA16's own protocol, with its ten subsets as folds (Setio 2017, 10.1016/j.media.2017.06.015).
"""

from __future__ import annotations

from pathlib import Path

from lung_nodules.cohorts.folds import list_name, read_fold_lists
from lung_nodules.cohorts.scans import ReferenceScan, read_reference_scans
from lung_nodules.cohorts.split import Split
from lung_nodules.errors import InputRefusal, ModelRefusal
from lung_nodules.evaluation.evaluate import HITS_IN_WORDS, SCANS_IN_WORDS, Evaluation, judge_scans, scan_evaluation
from lung_nodules.evaluation.scans import JudgedScan
from lung_nodules.networks.opened import open_networks
from lung_nodules.networks.record import Models, load_models
from lung_nodules.progress import Progress
from lung_nodules.settings import Settings


def evaluate_folds(
    folder: Path, lists: Path, models_folder: Path, settings: Settings, progress: Progress
) -> Evaluation:
    """Judge whole scans by folds.

    The models of a fold have operating points of their own: outlines count at each fold's default one, and detection
    is given as a curve alone.

    Args:
        folder: Whole scans, as `read_reference_scans` reads them.
        lists: `fold0.csv`, `fold1.csv`, ...
        models_folder: `fold0`, `fold1`, ...: a models folder each.
        settings: Of the line.
        progress: Told of each scan.

    Raises:
        InputRefusal: ``no-patients`` where no fold tests any of the scans, or a scan cannot be read.
        ModelRefusal: ``other-fold`` where a model did not learn by its fold's list; or it is missing or altered.
    """
    judged, models = list[JudgedScan](), None
    for fold, scans in _scans_by_fold(folder, lists).items():
        models = load_models(models_folder / f"fold{fold}")
        _check_lists(models, fold)
        judged += judge_scans(scans, open_networks(models, settings.runtime), settings, progress)
    if models is None:
        raise InputRefusal("no-patients", "No fold tests a patient of these scans.")
    about = {
        "cohort": f"{SCANS_IN_WORDS} of each fold",
        "patients": f"{len(judged)} patients, each read by the models of a fold that did not learn from the patient",
        "hits": HITS_IN_WORDS,
    }
    return scan_evaluation("Whole scans by folds", about, judged, models, {})


def _scans_by_fold(folder: Path, lists: Path) -> dict[int, list[ReferenceScan]]:
    scans = read_reference_scans(folder)
    tested = {
        fold: [scan for scan in scans if sides.get(scan.patient_id) is Split.TEST]
        for fold, sides in read_fold_lists(lists).items()
    }
    return {fold: members for fold, members in tested.items() if members}


def _check_lists(models: Models, fold: int) -> None:
    for model in models:
        if list_name(fold) not in model.record.data.split:
            raise ModelRefusal(
                "other-fold",
                f"The {model.record.kind} model in fold{fold} did not learn by {list_name(fold)}: "
                f"{model.record.data.split}.",
            )
