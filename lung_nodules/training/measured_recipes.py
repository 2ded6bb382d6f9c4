"""The recipes of what learns from finished networks: the random forest, and the fusion with patient and scan.

Both outline and measure the crops with the models in hand, as the line would. The forest learns from the training and
validation patients; what reads the classifier's token, and the fusion, from the validation patients alone, as the
classifier knows the others by heart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lung_nodules.cohorts.covariates import read_cohort_covariates
from lung_nodules.cohorts.crops import NoduleCrop, read_crops, read_rows
from lung_nodules.cohorts.split import Split
from lung_nodules.errors import InputRefusal
from lung_nodules.evaluation.measured import (
    Measured,
    decided,
    is_rated,
    measure_crops,
    outline_features,
    own_outline,
)
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.build import load_network
from lung_nodules.networks.forest import ForestRecord, write_forest
from lung_nodules.networks.record import RECORD_FILE, LinearHead, Model, ModelRecord, Score, load_model
from lung_nodules.progress import Progress
from lung_nodules.stages.classification import apply_head
from lung_nodules.stages.covariates import Covariates, covariate_inputs
from lung_nodules.training.embeddings import ClassToken, DeepestFeatures, embed
from lung_nodules.training.forest import ForestSettings, Rated, forest_scores, grow, judge_by_folds
from lung_nodules.training.fusion import DIAMETER, IMAGE_ALONE, fit_fusion, fusion_gain, judge_fusion_by_folds, wins
from lung_nodules.training.publishing import DATA_LICENCE, MODEL_LICENCE, git_commit
from lung_nodules.training.scores import auc_gain_score, auc_score, to_score

FUSED, ALONE = "multimodal", "suspicion_alone"  # heads of the classifier's record, beside "suspicion"


@dataclass(frozen=True)
class Desk:
    """Where the recipes find and leave things."""

    crops: Path  # a folder of nodule crops
    models: Path  # segmentation/ and, where it is read, classification/
    output: Path  # the forest's folder


def teach_forest(desk: Desk, settings: ForestSettings, progress: Progress) -> ForestRecord:
    """Grow and publish a forest, judged by folds and on the test patients."""
    knows = (Split.VALIDATION,) if "classifier" in settings.sources else (Split.TRAIN, Split.VALIDATION)
    learned = _rated(desk, knows, settings, progress)
    test = _rated(desk, (Split.TEST,), settings, progress)
    by_folds = judge_by_folds(learned, settings)
    forest = grow(learned, settings)
    on_test = forest.predict_proba(np.array([list(one.inputs.values()) for one in test]))[:, 1] if test else []
    sides = " and ".join(knows)
    record = {
        "name": "random-forest",
        "version": "1",
        "description": "Readers' suspicion of malignancy from " + " and ".join(settings.sources) + "; not in the line.",
        "licence": MODEL_LICENCE,
        "inputs": list(learned[0].inputs),
        "data": {
            "cohorts": ["LIDC-IDRI nodule crops of >= 3 readers, outlined by the model segmentation"],
            "num_patients": len({one.patient_id for one in learned}),
            "num_examples": sum(one.is_decided for one in learned),
            "split": f"{sides} side of lung_nodules/cohorts/lidc_split.csv, by patient",
            "licence": DATA_LICENCE,
        },
        "training": {
            "settings": settings.model_dump(mode="json"),
            "segmentation_sha256": load_model(desk.models / "segmentation").record.weights_sha256,
        },
        "scores": [
            *forest_scores(learned, by_folds, f"{settings.folds} folds by patient of {sides} crops of >= 3 readers"),
            *(forest_scores(test, on_test, "test crops of >= 3 readers") if test else []),
        ],
        "git_commit": git_commit(),
    }
    return write_forest(desk.output, forest, record)


def teach_fusion(desk: Desk, covariates: Path | None, progress: Progress) -> ModelRecord:
    """Fit the fusion to validation patients, and put it and its figures into the classifier's record.

    The head `multimodal` is always written. It becomes the `suspicion` that the line uses only if its AUC on validation
    patients, in folds, exceeds that of the suspicion alone beyond chance; the latter stays as `suspicion_alone`.

    Args:
        desk: Its models hold the classifier whose record is changed.
        covariates: What `read_cohort_covariates` reads; without it all are missing.
        progress: Told of each crop.

    Raises:
        InputRefusal: ``bad-covariates`` where they cannot be read or say nothing of any series of the crops;
            ``too-few-nodules``, or what `read_crops` refuses.
    """
    known = _read_covariates(covariates, desk.crops) if covariates else {}
    classifier = load_model(desk.models / "classification")
    heads = dict(classifier.record.heads)
    base = heads.get(ALONE, heads["suspicion"])
    held = _with_covariates(_measured(desk, classifier, Split.VALIDATION, progress), known)
    test = _with_covariates(_measured(desk, classifier, Split.TEST, progress), known)
    fused = fit_fusion(held, base)
    judged, logits = judge_fusion_by_folds(held, base)
    gain = fusion_gain(judged, logits, base)
    image, with_image = judge_fusion_by_folds(held, IMAGE_ALONE, (DIAMETER,))
    scores = [
        to_score("auc, suspicion with patient and scan less suspicion alone, paired", _VALIDATION, gain),
        to_score(
            "auc, image with diameter, patient and scan less image alone, paired",
            _VALIDATION,
            fusion_gain(image, with_image, IMAGE_ALONE),
        ),
        *_test_scores(test, base, fused, fit_fusion(held, IMAGE_ALONE, (DIAMETER,))),
    ]
    heads |= {ALONE: base, "suspicion": fused if wins(gain) else base, FUSED: fused}
    return _update(desk.models / "classification", classifier.record, heads, scores)


_VALIDATION = "5 folds by patient of validation crops of >= 3 readers, mean malignancy above 3 against below 3"
_TEST = "test crops of >= 3 readers, mean malignancy above 3 against below 3, heads with patient and scan"


def _test_scores(test: Sequence[Measured], base: LinearHead, fused: LinearHead, image_fused: LinearHead) -> list[Score]:
    judged = decided(test)
    patients, positive = [one.crop.patient_id for one in judged], [one.is_suspicious for one in judged]
    if len(set(positive)) < 2:
        return []
    given = {
        "auc, suspicion alone": base,
        "auc, suspicion with patient and scan": fused,
        "auc, image alone, beside the fusion": IMAGE_ALONE,
        "auc, image with diameter, patient and scan": image_fused,
    }
    values = {name: [apply_head(head, one.inputs) for one in judged] for name, head in given.items()}
    ruler = [one.crop.diameter_mm for one in judged]
    gains = {
        "auc, suspicion with patient and scan less suspicion alone, paired": "auc, suspicion alone",
        "auc, suspicion with patient and scan less readers' diameter alone, paired": "",
    }
    ours = values["auc, suspicion with patient and scan"]
    return [
        *(auc_score(name, _TEST, patients, positive, row) for name, row in values.items()),
        *(
            auc_gain_score(name, _TEST, patients, positive, ours, values.get(other, ruler))
            for name, other in gains.items()
        ),
    ]


def _rated(desk: Desk, sides: Sequence[Split], settings: ForestSettings, progress: Progress) -> list[Rated]:
    """Nodules of three and more readers with what the forest is told; those that cannot be outlined are left out."""
    crops = _read(desk.crops, sides)
    rows: list[dict[str, float]] = [{} for _ in crops]
    outliner = load_model(desk.models / "segmentation")
    if "features" in settings.sources:
        for row, features in zip(rows, _features(crops, outliner, progress), strict=True):
            row |= features
    for name, kind, part in (
        ("outliner", "segmentation", DeepestFeatures),
        ("classifier", "classification", ClassToken),
    ):
        if name in settings.sources:
            model = load_model(desk.models / kind)
            with progress.stage(name, len(crops)) as advance:
                network = part(load_network(model))
                for row, more in zip(
                    rows, embed(name, network, crops, model.record.preprocessing, advance), strict=True
                ):
                    row |= more
    num_inputs = max((len(row) for row in rows), default=0)
    return [
        Rated(crop.patient_id, crop.ratings["malignancy"], crop.diameter_mm, row)
        for crop, row in zip(crops, rows, strict=True)
        if row and len(row) == num_inputs
    ]


def _measured(desk: Desk, classifier: Model, side: Split, progress: Progress) -> list[Measured]:
    outliner, record = load_model(desk.models / "segmentation"), classifier.record
    read, rate = reader(load_network(outliner)), reader(load_network(classifier))
    threshold, crops = outliner.record.operating_point()[1].threshold, _read(desk.crops, (side,))
    measured = []
    with progress.stage("nodules", len(crops)) as advance:
        for crop in crops:
            measured += measure_crops([crop], read, threshold, rate, record.outputs, record.preprocessing)
            advance(1)
    return measured


def _features(crops: Sequence[NoduleCrop], outliner: Model, progress: Progress) -> list[dict[str, float]]:
    """The measured features of each crop's own outline, ``feature.NAME``; none where nothing is outlined."""
    read, fed = reader(load_network(outliner)), outliner.record.preprocessing
    threshold = outliner.record.operating_point()[1].threshold
    rows: list[dict[str, float]] = []
    with progress.stage("outlines", len(crops)) as advance:
        for crop in crops:
            mask = own_outline(crop, read, threshold, fed)
            rows.append(outline_features(crop, mask) if mask.any() else {})
            advance(1)
    return rows


def _read(folder: Path, sides: Sequence[Split]) -> list[NoduleCrop]:
    return [crop for crop in read_crops(folder, sides, ("slices",)) if is_rated(crop) and crop.consensus.any()]


def _read_covariates(path: Path, crops: Path) -> dict[str, Covariates]:
    known = read_cohort_covariates(path)
    if not any(known.get(row["series_instance_uid"], Covariates()) != Covariates() for row in read_rows(crops)):
        raise InputRefusal("bad-covariates", f"{path} says nothing of any series of the crops.")
    return known


def _with_covariates(nodules: Sequence[Measured], known: Mapping[str, Covariates]) -> list[Measured]:
    return [
        replace(one, inputs={**one.inputs, **covariate_inputs(known.get(one.crop.series_instance_uid, Covariates()))})
        for one in nodules
    ]


def _update(folder: Path, record: ModelRecord, heads: Mapping[str, LinearHead], scores: Sequence[Score]) -> ModelRecord:
    """Write the record anew; figures of an earlier fusion go."""
    names = {(score.name, score.cohort) for score in scores}
    kept = [score for score in record.scores if (score.name, score.cohort) not in names]
    changed = ModelRecord.model_validate({**record.model_dump(), "heads": dict(heads), "scores": (*kept, *scores)})
    text = json.dumps(changed.model_dump(mode="json"), indent=2, ensure_ascii=False)
    (folder / RECORD_FILE).write_text(text + "\n", encoding="utf-8")
    return changed
