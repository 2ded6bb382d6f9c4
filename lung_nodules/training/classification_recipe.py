"""The classifier's recipe: mine, train, fit its heads, judge on test patients, publish.

With folds, one classifier more a fold of the training patients is trained, and reads patients whom it does not know.
So the suspicion head sees every training nodule as it would see a new patient's, and not the few of the validation
patients alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from torch import nn

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.errors import ModelRefusal
from lung_nodules.evaluation.measured import MALIGNANCY_MIDDLE, Measured, decided, is_decided, measure_crops
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import LinearHead, Model, ModelRecord, Score, load_model
from lung_nodules.progress import Progress
from lung_nodules.stages.classification import apply_head
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.candidates import (
    mistakes_in_crops,
    mistakes_in_scans,
    nodule_candidates,
)
from lung_nodules.training.classification import ClassificationTraining, Negatives, check_rated, train_classifier
from lung_nodules.training.classifier_shape import OUTPUTS
from lung_nodules.training.classifier_start import ClassifierStart
from lung_nodules.training.detection import DetectionTraining, candidate_scores
from lung_nodules.training.folds import (
    Fold,
    find_out_of_fold,
    fold_folder,
    has_checkpoint,
    negatives_for,
    read_out_of_fold,
)
from lung_nodules.training.heads import fit_nodule, fit_suspicion, fit_suspicion_on_validation
from lung_nodules.training.mistakes import mine, mine_crops
from lung_nodules.training.needed import needed
from lung_nodules.training.operating_points import DEFAULT_POINT, ScanRate, greater_rate, operating_points
from lung_nodules.training.publishing import publish
from lung_nodules.training.scores import auc_gain_score, auc_score
from lung_nodules.training.segmentation import WINDOW_HU, fed_by, usable_crops
from lung_nodules.training.workshop import Workshop, read_cohort, read_scans, well_read


@dataclass(frozen=True)
class Bench:
    """What one training of a classifier needs, whichever patients it is for."""

    workshop: Workshop
    settings: ClassificationTraining
    outliner: Model
    finder: Model
    crops: Sequence[NoduleCrop]  # that train
    validation: Sequence[NoduleCrop]
    backgrounds: Sequence[Background]
    start: ClassifierStart
    progress: Progress


def teach_classification(workshop: Workshop, settings: ClassificationTraining, progress: Progress) -> ModelRecord:
    """Train and publish the classifier; it needs the outliner and the finder in the models folder.

    Raises:
        InputRefusal: ``too-few-nodules`` where nobody rated a training nodule, or the validation side has none above
            the middle of the scale, or none below.
        ModelRefusal: ``outlines-nothing``, or a model is missing, altered or does not fit.
    """
    crops, validation, test = read_cohort(workshop)
    _check_rated_sides(usable_crops(crops, settings.hu_steps_limit), validation)
    backgrounds = read_scans(workshop, settings.cube.spacing_mm)
    outliner, finder = (load_model(workshop.models / kind) for kind in ("segmentation", "detection"))
    start = ClassifierStart(load_network(outliner), workshop.pretrained, workshop.initial)
    bench = Bench(workshop, settings, outliner, finder, crops, validation, backgrounds, start, progress)
    negatives, rate = _negatives(bench)
    out_of_fold = _measure_out_of_fold(bench, negatives) if settings.folds and settings.fold_classifiers else []
    network, described = start.build(settings)
    # a run that was stopped among its folds has no checkpoint of its own yet
    resume = workshop.resume and (has_checkpoint(workshop.run) or not settings.folds)
    run = train_classifier(
        network, crops, validation, backgrounds, negatives, settings, workshop.run, progress, resume=resume
    )
    trained = run.average.module
    known = [_measure(bench, side, trained) for side in (validation, test)]
    _check_outlined(known[0])
    if out_of_fold:
        suspicion = fit_suspicion([*out_of_fold, *known[0]])
    else:
        suspicion = fit_suspicion_on_validation(_measure(bench, crops, trained), known[0])
    nodule, points = _fit_nodule(bench, trained, rate)
    return publish(
        workshop.models / "classification",
        trained,
        run,
        settings,
        crops,
        backgrounds,
        _suspicion_scores(known[1], suspicion),
        {
            "name": described.name,
            "kind": "classification",
            "git_commit": workshop.commit,
            "description": "Nodule or not, readers' suspicion of malignancy, and LIDC's characteristics.",
            "architecture": described.model_dump(),
            "outputs": list(OUTPUTS),
            "heads": {"nodule": nodule, "suspicion": suspicion},
            "operating_points": points,
            "default_operating_point": DEFAULT_POINT,
        },
    )


def _check_rated_sides(crops: Sequence[NoduleCrop], validation: Sequence[NoduleCrop]) -> None:
    check_rated(crops)
    judged = [crop for crop in validation if crop.kind == "slices" and is_decided(crop)]
    for side, is_suspicious in (("above", True), ("below", False)):
        of_side = (crop for crop in judged if (crop.ratings["malignancy"] > MALIGNANCY_MIDDLE) is is_suspicious)
        needed(of_side, f"on the validation side that three readers rated {side} the middle of malignancy")


def _check_outlined(validation: Sequence[Measured]) -> None:
    if len({one.is_suspicious for one in decided(validation)}) < 2:
        raise ModelRefusal(
            "outlines-nothing",
            "The outliner outlines too few nodules of the patients that tune for the heads to be fitted.",
            "Train it longer.",
        )


def _negatives(bench: Bench) -> tuple[Negatives, ScanRate]:
    """Where any network is wrong in what trains, and how often the finder is in a scan.

    With finders by fold, their mistakes on what they do not know are among them, and in scans that they do not know
    they are counted.
    """
    settings, limits = bench.settings, bench.settings.mining
    networks = [load_network(bench.finder), load_network(bench.outliner)]
    in_scans = [mine(one, bench.backgrounds, WINDOW_HU, limits, bench.progress) for one in networks]
    in_crops = [
        mine_crops(one, bench.crops, WINDOW_HU, settings.cube.spacing_mm, limits, bench.progress) for one in networks
    ]
    threshold = bench.finder.record.operating_point()[1].threshold
    known = sum(one.score >= threshold for one in in_scans[0]) / max(len(bench.backgrounds), 1)
    rate = ScanRate(known, f"{len(bench.backgrounds)} training scans, which the finder learned from")
    if settings.fold_finder_steps:
        found = np.array(
            candidate_scores(networks[0], well_read(bench.validation), DetectionTraining(cube=settings.cube))
        )
        unknown = find_out_of_fold(
            bench.crops,
            bench.backgrounds,
            settings,
            float((found >= threshold).mean()),
            bench.workshop.run,
            bench.progress,
            resume=bench.workshop.resume,
        )
        in_scans.append(list(unknown.negatives.in_scans))
        in_crops.append(list(unknown.negatives.in_crops))
        rate = greater_rate(rate, unknown.num_counted, unknown.num_scans)
    return Negatives([one for part in in_scans for one in part], [one for part in in_crops for one in part]), rate


def _measure_out_of_fold(bench: Bench, negatives: Negatives) -> list[Measured]:
    """Every training nodule, read by a classifier that does not know the patient."""
    return read_out_of_fold(
        bench.crops,
        bench.backgrounds,
        bench.settings.folds,
        partial(_teach_fold, bench, negatives),
        lambda held, network: _measure(bench, held, network),
    )


def _teach_fold(bench: Bench, negatives: Negatives, fold: Fold) -> nn.Module:
    folder = fold_folder(bench.workshop.run, "classifier", fold)
    network, _ = bench.start.build(bench.settings)
    run = train_classifier(
        network,
        [bench.crops[number] for number in fold.other_crops],
        bench.validation,
        [bench.backgrounds[number] for number in fold.other_backgrounds],
        negatives_for(fold, negatives),
        bench.settings,
        folder,
        bench.progress,
        resume=bench.workshop.resume and has_checkpoint(folder),
    )
    trained: nn.Module = run.average.module
    return trained


def _fit_nodule(bench: Bench, classifier: nn.Module, rate: ScanRate) -> tuple[LinearHead, dict[str, dict[str, object]]]:
    """The nodule head and its operating points, from validation patients and the finder's mistakes that remain."""
    network, settings = load_network(bench.finder), bench.settings
    limits = settings.mining.model_copy(update={"threshold": bench.finder.record.operating_point()[1].threshold})
    spacing_mm = settings.cube.spacing_mm
    beside = mine_crops(network, bench.validation, WINDOW_HU, spacing_mm, limits, bench.progress)
    in_scans = mine(network, bench.backgrounds, WINDOW_HU, limits, bench.progress)
    nodules = nodule_candidates(network, classifier, well_read(bench.validation), settings)
    held_out = mistakes_in_crops(classifier, bench.validation, beside, settings)
    known = mistakes_in_scans(classifier, bench.backgrounds, in_scans, settings)
    head = fit_nodule(nodules, held_out, known)
    return head, operating_points(head, nodules, held_out, rate)


def _suspicion_scores(test: Sequence[Measured], head: LinearHead) -> list[Score]:
    """AUC of what is reported, the image alone and the ruler alone, on the same test nodules; none of one class."""
    judged = decided(test)
    if len({one.is_suspicious for one in judged}) < 2:
        return []
    patients, positive = [one.crop.patient_id for one in judged], [one.is_suspicious for one in judged]
    cohort = "test crops of >= 3 readers, mean malignancy above 3 against below 3"
    values = {
        "auc, suspicion as reported": [apply_head(head, one.inputs) for one in judged],
        "auc, image alone": [one.inputs["image.malignancy"] for one in judged],
        "auc, own outline's mean diameter alone": [one.inputs["feature.mean_diameter_mm"] for one in judged],
        "auc, readers' diameter alone": [one.crop.diameter_mm for one in judged],
    }
    reported, ruler = values["auc, suspicion as reported"], values["auc, readers' diameter alone"]
    gain = "auc, suspicion as reported less readers' diameter alone, paired"
    return [
        *(auc_score(name, cohort, patients, positive, given) for name, given in values.items()),
        auc_gain_score(gain, cohort, patients, positive, reported, ruler),
    ]


def _measure(bench: Bench, crops: Sequence[NoduleCrop], classifier: nn.Module) -> list[Measured]:
    return measure_crops(
        [crop for crop in crops if crop.kind == "slices" and crop.num_readers >= 3],
        reader(load_network(bench.outliner)),
        bench.outliner.record.operating_point()[1].threshold,
        reader(classifier),
        OUTPUTS,
        fed_by(bench.settings.cube),
    )
