"""One recipe a network: read the cohort, train, judge on test patients, publish. What `lung-nodules train` runs.

The recipes build on each other: the finder starts from the outliner, the classifier takes the outliner's encoder and
the places where the finder is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.errors import UsageRefusal
from lung_nodules.evaluation.crops import crop_dice
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.build import load_network
from lung_nodules.networks.record import Kind, ModelRecord, Score, load_model
from lung_nodules.progress import Progress, SilentProgress
from lung_nodules.training.classification import ClassificationTraining
from lung_nodules.training.classification_recipe import teach_classification
from lung_nodules.training.detection import DetectionTraining, found_crops, train_finder
from lung_nodules.training.phantoms import phantom_backgrounds
from lung_nodules.training.pretraining import EncoderRecord, PretrainingSettings, pretrain, write_encoder
from lung_nodules.training.pseudo import read_pseudo_counts
from lung_nodules.training.publishing import publish
from lung_nodules.training.ranks import RankFinished, joined_ranks
from lung_nodules.training.scores import mean_score
from lung_nodules.training.segmentation import (
    WINDOW_HU,
    SegmentationTraining,
    choose_threshold,
    fed_by,
    train_outliner,
    unet_architecture,
)
from lung_nodules.training.workshop import (
    Workshop,
    find_pseudo_crops,
    read_cohort,
    read_scans,
    tuning_nodules,
    well_read,
)

__all__ = [
    "Workshop",
    "read_pseudo_counts",
    "teach",
    "teach_classification",
    "teach_detection",
    "teach_pretraining",
    "teach_segmentation",
]

Record = TypeVar("Record")

FULL_FLIPS = 8
INNER_VOXELS = 96


def teach(kind: Kind, workshop: Workshop, assignments: Sequence[str], progress: Progress) -> ModelRecord | None:
    """Run the recipe of a kind of model, its settings changed by assignments such as ``loop.steps=100``.

    Under `torchrun` the ranks share the training; the first one alone judges and publishes, the others return None.

    Raises:
        UsageRefusal: ``bad-usage`` where unlabelled scans are named for another model than the outliner.
    """
    if workshop.pseudo and kind != "segmentation":
        raise UsageRefusal("bad-usage", "Only the outliner learns from unlabelled scans (--pseudo).")
    return _among_ranks(lambda shown: _teach(kind, workshop, assignments, shown), progress)


def _among_ranks(recipe: Callable[[Progress], Record], progress: Progress) -> Record | None:
    with joined_ranks() as rank:
        try:
            return recipe(progress if rank.is_first else SilentProgress())
        except RankFinished:
            return None


def _teach(kind: Kind, workshop: Workshop, assignments: Sequence[str], progress: Progress) -> ModelRecord:
    match kind:
        case "segmentation":
            return teach_segmentation(workshop, SegmentationTraining().changed(assignments), progress)
        case "detection":
            return teach_detection(workshop, DetectionTraining().changed(assignments), progress)
        case _:
            return teach_classification(workshop, ClassificationTraining().changed(assignments), progress)


def teach_segmentation(workshop: Workshop, settings: SegmentationTraining, progress: Progress) -> ModelRecord:
    """Train and publish the outliner, with what the models in hand find in unlabelled scans where some are named.

    Raises:
        InputRefusal: ``too-few-nodules`` where no outlined nodule trains, or none tunes.
    """
    crops, validation, test = read_cohort(workshop)
    tuning = tuning_nodules(validation)
    crops += find_pseudo_crops(workshop, (*crops, *validation, *test), settings.pseudo, progress)
    backgrounds = read_scans(workshop, settings.cube.spacing_mm)
    initial = load_model(workshop.initial) if workshop.initial else None
    run = train_outliner(
        crops,
        tuning,
        backgrounds,
        settings,
        workshop.run,
        progress,
        initial=load_network(initial) if initial else None,
        resume=workshop.resume,
    )
    network, judged = run.average.module, well_read(test)
    threshold = choose_threshold(network, tuning, fed_by(settings.cube), FULL_FLIPS // 2)
    dices = crop_dice(reader(network), judged, fed_by(settings.cube), threshold, FULL_FLIPS)
    scores = _mean_scores("dice, centre known to 2 mm", "test crops of >= 3 masks, native grid", judged, dices)
    return publish(
        workshop.models / "segmentation",
        network,
        run,
        settings,
        crops,
        backgrounds,
        scores,
        {
            "name": f"outliner-{settings.variant}-unet",
            "kind": "segmentation",
            "git_commit": workshop.commit,
            "description": "Outlines the nodule in the middle of a cube.",
            "architecture": unet_architecture(settings.variant, settings.channels, settings.deep_supervision),
            "outputs": ["nodule"],
            "operating_points": {
                "default": {"threshold": threshold, "chosen_on": f"{_in_words(tuning)}: best mean Dice"}
            },
            "default_operating_point": "default",
        },
        started_from=initial,
    )


def teach_detection(workshop: Workshop, settings: DetectionTraining, progress: Progress) -> ModelRecord:
    """Train and publish the finder; it starts from the outliner in the models folder where nothing else is named.

    Raises:
        InputRefusal: ``too-few-nodules`` where no outlined nodule trains, or none tunes.
    """
    crops, validation, test = read_cohort(workshop)
    tuning = tuning_nodules(validation)
    backgrounds = read_scans(workshop, settings.cube.spacing_mm)
    backgrounds = (*backgrounds, *phantom_backgrounds(settings.phantoms, settings.cube.spacing_mm))
    initial = load_model(workshop.initial or workshop.models / "segmentation")
    run = train_finder(
        crops,
        tuning,
        backgrounds,
        settings,
        workshop.run,
        progress,
        initial=load_network(initial),
        resume=workshop.resume,
    )
    network, judged = run.average.module, well_read(test)
    hits = found_crops(network, judged, settings)
    name = f"sensitivity at {settings.judged_threshold}, one cube around the nodule, end slices repeated"
    scores = _mean_scores(name, "test crops of >= 3 masks", judged, hits)
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
        scores,
        {
            "name": f"finder-{settings.variant}-unet",
            "kind": "detection",
            "git_commit": workshop.commit,
            "description": "Says for every voxel of the lungs whether it belongs to a nodule.",
            "architecture": unet_architecture(settings.variant, settings.channels, settings.deep_supervision),
            "preprocessing": preprocessing,
            "outputs": ["nodule"],
            "operating_points": {
                "default": {"threshold": settings.judged_threshold, "chosen_on": "set low: the classifier decides"}
            },
            "default_operating_point": "default",
        },
        started_from=initial,
    )


def _mean_scores(name: str, cohort: str, judged: Sequence[NoduleCrop], values: Sequence[float]) -> list[Score]:
    """The score on the test patients' nodules; none where they have none that is well read."""
    return [mean_score(name, cohort, [crop.patient_id for crop in judged], values)] if judged else []


def _in_words(tuning: Sequence[NoduleCrop]) -> str:
    """What a record calls the nodules that tuned."""
    return "validation patients" if well_read(tuning) else "validation patients, nodules of fewer than 3 masks"


def teach_pretraining(workshop: Workshop, assignments: Sequence[str], progress: Progress) -> EncoderRecord | None:
    """Pre-train the classifier's encoder without labels; `workshop.models` is the folder that it is written to.

    Ranks share it as in `teach`.
    """
    settings = PretrainingSettings().changed(assignments)
    return _among_ranks(lambda shown: _teach_pretraining(workshop, settings, shown), progress)


def _teach_pretraining(workshop: Workshop, settings: PretrainingSettings, progress: Progress) -> EncoderRecord:
    crops, validation, _ = read_cohort(workshop)
    backgrounds = read_scans(workshop, settings.cube.spacing_mm)
    outliner = load_network(load_model(workshop.initial)) if workshop.initial else None
    run = pretrain(
        crops,
        validation,
        backgrounds,
        settings,
        workshop.run,
        progress,
        outliner=outliner,
        resume=workshop.resume,
    )
    patients = {crop.patient_id for crop in crops} | {background.name for background in backgrounds}
    return write_encoder(workshop.models, run, settings, len(patients), workshop.commit)
