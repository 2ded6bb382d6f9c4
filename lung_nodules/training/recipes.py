"""One recipe a network: read the cohort, train, judge on test patients, publish. What `lung-nodules train` runs.

The recipes build on each other: the finder starts from the outliner, the classifier takes the outliner's encoder and
the places where the finder is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.evaluation.crops import crop_dice
from lung_nodules.evaluation.measured import Measured, decided, measure_crops
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import Kind, LinearHead, Model, ModelRecord, Score, load_model
from lung_nodules.progress import Progress
from lung_nodules.stages.classification import apply_head
from lung_nodules.training.backgrounds import Background, BackgroundSettings, read_backgrounds
from lung_nodules.training.candidates import (
    DEFAULT_POINT,
    LINE_FLIPS,
    mistakes_in_crops,
    mistakes_in_scans,
    nodule_candidates,
    operating_points,
)
from lung_nodules.training.classification import (
    OUTPUTS,
    ClassificationTraining,
    Negatives,
    architecture,
    train_classifier,
)
from lung_nodules.training.detection import DetectionTraining, found_crops, train_finder
from lung_nodules.training.heads import fit_nodule, fit_suspicion
from lung_nodules.training.mistakes import mine, mine_crops
from lung_nodules.training.publishing import git_commit, publish
from lung_nodules.training.scores import auc_gain_score, auc_score, mean_score
from lung_nodules.training.segmentation import (
    WINDOW_HU,
    SegmentationTraining,
    choose_threshold,
    fed_by,
    train_outliner,
)

FULL_FLIPS = 8
INNER_VOXELS = 96


@dataclass(frozen=True)
class Workshop:
    """Where a training run finds and leaves things."""

    crops: Path  # a folder of nodule crops
    scans: Path  # a folder of whole scans whose patients train
    run: Path  # for the checkpoint and the log
    models: Path  # the models folder; the others' models are read from it
    resume: bool = False
    initial: Path | None = None  # a model folder whose weights a U-Net starts from
    commit: str = field(default_factory=git_commit)  # of the source tree as the run begins


def teach(kind: Kind, workshop: Workshop, assignments: Sequence[str], progress: Progress) -> ModelRecord:
    """Run the recipe of a kind of model, its settings changed by assignments such as ``loop.steps=100``."""
    match kind:
        case "segmentation":
            return teach_segmentation(workshop, SegmentationTraining().changed(assignments), progress)
        case "detection":
            return teach_detection(workshop, DetectionTraining().changed(assignments), progress)
        case _:
            return teach_classification(workshop, ClassificationTraining().changed(assignments), progress)


def teach_segmentation(workshop: Workshop, settings: SegmentationTraining, progress: Progress) -> ModelRecord:
    """Train and publish the outliner."""
    crops, validation, test = _cohort(workshop)
    backgrounds = _backgrounds(workshop, settings.cube.spacing_mm)
    run = train_outliner(
        crops,
        validation,
        backgrounds,
        settings,
        workshop.run,
        progress,
        initial=load_network(load_model(workshop.initial)) if workshop.initial else None,
        resume=workshop.resume,
    )
    network, judged = run.average.module, _well_read(test)
    threshold = choose_threshold(network, _well_read(validation), fed_by(settings.cube), FULL_FLIPS // 2)
    dices = crop_dice(reader(network), judged, fed_by(settings.cube), threshold, FULL_FLIPS)
    score = mean_score(
        "dice, centre known to 2 mm",
        "test crops of >= 3 masks, native grid",
        [crop.patient_id for crop in judged],
        dices,
    )
    return publish(
        workshop.models / "segmentation",
        network,
        run,
        settings,
        crops,
        backgrounds,
        [score],
        {
            "name": f"outliner-{settings.variant}-unet",
            "kind": "segmentation",
            "git_commit": workshop.commit,
            "description": "Outlines the nodule in the middle of a cube.",
            "architecture": {"name": "unet", "arguments": {"variant": settings.variant, "channels": settings.channels}},
            "outputs": ["nodule"],
            "operating_points": {
                "default": {"threshold": threshold, "chosen_on": "validation patients: best mean Dice"}
            },
            "default_operating_point": "default",
        },
    )


def teach_detection(workshop: Workshop, settings: DetectionTraining, progress: Progress) -> ModelRecord:
    """Train and publish the finder; it starts from the outliner in the models folder where nothing else is named."""
    crops, validation, test = _cohort(workshop)
    backgrounds = _backgrounds(workshop, settings.cube.spacing_mm)
    run = train_finder(
        crops,
        validation,
        backgrounds,
        settings,
        workshop.run,
        progress,
        initial=load_network(load_model(workshop.initial or workshop.models / "segmentation")),
        resume=workshop.resume,
    )
    network, judged = run.average.module, _well_read(test)
    hits = found_crops(network, judged, settings)
    score = mean_score(
        f"sensitivity at {settings.judged_threshold}, one cube around the nodule, end slices repeated",
        "test crops of >= 3 masks",
        [crop.patient_id for crop in judged],
        hits,
    )
    preprocessing = {
        "spacing_mm": settings.cube.spacing_mm,
        "window_hu": WINDOW_HU,
        "patch_voxels": INNER_VOXELS,
    }
    return publish(
        workshop.models / "detection",
        network,
        run,
        settings,
        crops,
        backgrounds,
        [score],
        {
            "name": f"finder-{settings.variant}-unet",
            "kind": "detection",
            "git_commit": workshop.commit,
            "description": "Says for every voxel of the lungs whether it belongs to a nodule.",
            "architecture": {"name": "unet", "arguments": {"variant": settings.variant, "channels": settings.channels}},
            "preprocessing": preprocessing,
            "outputs": ["nodule"],
            "operating_points": {
                "default": {"threshold": settings.judged_threshold, "chosen_on": "set low: the classifier decides"}
            },
            "default_operating_point": "default",
        },
    )


def teach_classification(workshop: Workshop, settings: ClassificationTraining, progress: Progress) -> ModelRecord:
    """Train and publish the classifier; it needs the outliner and the finder in the models folder."""
    crops, validation, test = _cohort(workshop)
    backgrounds = _backgrounds(workshop, settings.cube.spacing_mm)
    outliner = load_model(workshop.models / "segmentation")
    finder = load_model(workshop.models / "detection")
    negatives = _negatives((load_network(finder), load_network(outliner)), crops, backgrounds, settings, progress)
    run = train_classifier(
        crops,
        validation,
        backgrounds,
        negatives,
        settings,
        workshop.run,
        progress,
        outliner=load_network(outliner),
        resume=workshop.resume,
    )
    network = run.average.module
    known = [_measure(side, outliner, network, settings) for side in (crops, validation, test)]
    suspicion = fit_suspicion(known[0], known[1])
    nodule, points = _fit_nodule(finder, network, validation, backgrounds, settings, progress)
    return publish(
        workshop.models / "classification",
        network,
        run,
        settings,
        crops,
        backgrounds,
        _suspicion_scores(known[2], suspicion),
        {
            "name": "hybrid-vit" if not settings.plain else "plain-vit",
            "kind": "classification",
            "git_commit": workshop.commit,
            "description": "Nodule or not, readers' suspicion of malignancy, and LIDC's characteristics.",
            "architecture": architecture(settings).model_dump(),
            "outputs": list(OUTPUTS),
            "heads": {"nodule": nodule, "suspicion": suspicion},
            "operating_points": points,
            "default_operating_point": DEFAULT_POINT,
        },
    )


def _negatives(
    networks: Sequence[nn.Module],
    crops: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    settings: ClassificationTraining,
    progress: Progress,
) -> Negatives:
    """Where any of the networks is wrong in what trains."""
    limits, spacing_mm = settings.mining, settings.cube.spacing_mm
    return Negatives(
        [one for network in networks for one in mine(network, backgrounds, WINDOW_HU, limits, progress)],
        [one for network in networks for one in mine_crops(network, crops, WINDOW_HU, spacing_mm, limits, progress)],
    )


def _fit_nodule(
    finder: Model,
    classifier: nn.Module,
    validation: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    settings: ClassificationTraining,
    progress: Progress,
) -> tuple[LinearHead, dict[str, dict[str, object]]]:
    """The nodule head and its operating points, from validation patients and the finder's mistakes that remain."""
    network = load_network(finder)
    limits = settings.mining.model_copy(update={"threshold": finder.record.operating_point()[1].threshold})
    beside = mine_crops(network, validation, WINDOW_HU, settings.cube.spacing_mm, limits, progress)
    in_scans = mine(network, backgrounds, WINDOW_HU, limits, progress)
    nodules = nodule_candidates(network, classifier, _well_read(validation), settings)
    held_out = mistakes_in_crops(classifier, validation, beside, settings)
    head = fit_nodule(nodules, held_out + mistakes_in_scans(classifier, backgrounds, in_scans, settings))
    return head, operating_points(head, nodules, held_out)


def _suspicion_scores(test: Sequence[Measured], head: LinearHead) -> list[Score]:
    """AUC of what is reported, of the image alone and of the ruler alone, on the same test nodules."""
    judged = decided(test)
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


def _measure(
    crops: Sequence[NoduleCrop], outliner: Model, classifier: nn.Module, settings: ClassificationTraining
) -> list[Measured]:
    return measure_crops(
        [crop for crop in crops if crop.kind == "slices" and crop.num_readers >= 3],
        reader(load_network(outliner)),
        outliner.record.operating_point()[1].threshold,
        reader(classifier),
        OUTPUTS,
        fed_by(settings.cube),
        LINE_FLIPS,
    )


def _cohort(workshop: Workshop) -> tuple[tuple[NoduleCrop, ...], ...]:
    return tuple(read_crops(workshop.crops, [side]) for side in (Split.TRAIN, Split.VALIDATION, Split.TEST))


def _backgrounds(workshop: Workshop, spacing_mm: float) -> tuple[Background, ...]:
    workshop.run.mkdir(parents=True, exist_ok=True)
    return read_backgrounds(workshop.scans, BackgroundSettings(spacing_mm=spacing_mm))


def _well_read(crops: Sequence[NoduleCrop]) -> list[NoduleCrop]:
    return [crop for crop in crops if crop.num_masks >= 3 and crop.kind == "slices" and crop.consensus.any()]
