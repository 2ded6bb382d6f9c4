"""What a cohort lacks: refused before the first step where a training needs it, left out of the record where not."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_cohort import write_tiny_crops
from tiny_training import make_noise

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.errors import InputRefusal
from lung_nodules.networks.record import KINDS, Kind, ListedModel
from lung_nodules.progress import SilentProgress
from lung_nodules.settings import RuntimeSettings
from lung_nodules.tables import models_table
from lung_nodules.training.classification import (
    CandidateCubes,
    ClassificationTraining,
    Negatives,
    positive_shares,
    soft_targets,
    train_classifier,
)
from lung_nodules.training.classifier_shape import OUTPUTS
from lung_nodules.training.classifier_start import ClassifierStart
from lung_nodules.training.comparison import compare_variants
from lung_nodules.training.cubes import CubeSettings
from lung_nodules.training.detection import DetectionTraining, train_finder
from lung_nodules.training.loop import LoopSettings
from lung_nodules.training.recipes import Workshop, teach, teach_detection, teach_pretraining, teach_segmentation
from lung_nodules.training.segmentation import SegmentationTraining

CUBE = CubeSettings(voxels=16, spacing_mm=3.0)
LOOP = LoopSettings(steps=2, batch_size=2, warmup_steps=1, num_workers=0)
OUTLINER = SegmentationTraining(
    channels=(4, 8, 8), cube=CUBE, loop=LOOP.model_copy(update={"best_figure": "dice", "validate_every": 1})
)
FINDER = DetectionTraining(channels=(4, 8, 8), cube=CUBE, loop=LOOP, negative_share=0.0, mine_at=())
CLASSIFIER = ClassificationTraining(
    channels=(4, 8, 8), cube=CUBE, loop=LOOP, hidden_size=8, num_layers=1, num_heads=2, balanced=True, focal_gamma=1.0
)
BRIEF = ("channels=[4, 8, 8]", "cube.voxels=16", "cube.spacing_mm=3.0", "loop.steps=1", "loop.num_workers=0")

Row = dict[str, str]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    """A tiny cohort, and a folder of whole scans that holds none."""
    write_tiny_crops(tmp_path / "crops")
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "reference.json").write_text(json.dumps({"scans": {}}), encoding="utf-8")
    return Workshop(tmp_path / "crops", tmp_path / "scans", tmp_path / "run", tmp_path / "models")


def rewrite(crops: Path, change: Callable[[Row], Row | None]) -> None:
    """Change the rows of the table of crops; None leaves a row out."""
    table = crops / "nodules.csv"
    with table.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    with table.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(row for row in map(change, rows) if row)


def with_one_mask(row: Row) -> Row:
    return row | {"n_masks": "1"}


def without(side: Split) -> Callable[[Row], Row | None]:
    return lambda row: None if split_of(row["patient_id"]) is side else row


def unrated(crop: NoduleCrop) -> NoduleCrop:
    return replace(crop, ratings=dict.fromkeys(crop.ratings, float("nan")), num_readers=0)


def test_a_cohort_of_single_masks_teaches_outlining_and_finding_without_a_score(workshop: Workshop) -> None:
    rewrite(workshop.crops, with_one_mask)
    outliner = teach_segmentation(workshop, OUTLINER, SilentProgress())
    logged = json.loads((workshop.run / "log.jsonl").read_text().splitlines()[-1])
    finder = teach_detection(workshop, FINDER, SilentProgress())

    chosen_on = outliner.operating_points["default"].chosen_on
    assert chosen_on == "validation patients, nodules of fewer than 3 masks: best mean Dice"
    assert 0 <= logged["dice"] <= 1
    for record in (outliner, finder):
        assert record.scores == ()
        assert "not measured" in str(models_table([ListedModel(record, None)]).renderables[-1])


def test_without_test_patients_the_threshold_is_chosen_on_the_well_read_nodules(workshop: Workshop) -> None:
    rewrite(workshop.crops, without(Split.TEST))
    record = teach_segmentation(workshop, OUTLINER, SilentProgress())
    assert record.scores == ()
    assert record.operating_points["default"].chosen_on == "validation patients: best mean Dice"


@pytest.mark.parametrize(
    ("kind", "side", "told"),
    [
        *((kind, Split.TRAIN, "with an outline on the training side") for kind in KINDS),
        ("segmentation", Split.VALIDATION, "with an outline on the validation side"),
        ("detection", Split.VALIDATION, "with an outline on the validation side"),
    ],
)
def test_without_patients_who_train_or_tune_no_network_is_begun(
    workshop: Workshop, kind: Kind, side: Split, told: str
) -> None:
    rewrite(workshop.crops, without(side))
    with pytest.raises(InputRefusal, match=told) as refused:
        teach(kind, workshop, BRIEF, SilentProgress())
    assert refused.value.code == "too-few-nodules"
    assert not workshop.run.exists()


def test_without_patients_who_train_no_encoder_is_begun(workshop: Workshop) -> None:
    rewrite(workshop.crops, without(Split.TRAIN))
    with pytest.raises(InputRefusal, match="with an outline on the training side"):
        teach_pretraining(workshop, BRIEF, SilentProgress())
    assert not workshop.run.exists()


def test_without_validation_patients_no_variants_are_compared(workshop: Workshop) -> None:
    rewrite(workshop.crops, without(Split.VALIDATION))
    compared = compare_variants(["separable"], workshop, OUTLINER, RuntimeSettings(), SilentProgress())
    with pytest.raises(InputRefusal, match="too-few-nodules"):
        next(compared)
    assert not workshop.run.exists()


def test_crops_whose_hu_are_not_trusted_teach_nothing(workshop: Workshop) -> None:
    rewrite(workshop.crops, lambda row: row | {"hu_steps_max": "9"})
    with pytest.raises(InputRefusal, match="too-few-nodules"):
        teach_segmentation(workshop, OUTLINER, SilentProgress())


def test_a_fold_without_a_well_read_nodule_is_logged_without_the_share_that_is_found(workshop: Workshop) -> None:
    crops = read_crops(workshop.crops, [Split.TRAIN])
    workshop.run.mkdir()
    train_finder(crops, (), (), FINDER, workshop.run, SilentProgress())
    assert set(json.loads((workshop.run / "log.jsonl").read_text())) == {"step", "minutes", "loss"}


def test_unrated_nodules_teach_a_classifier_what_a_nodule_is_and_nothing_of_ratings(workshop: Workshop) -> None:
    crops = read_crops(workshop.crops, [Split.TRAIN])
    mixed = [unrated(crop) if number < 5 else crop for number, crop in enumerate(crops)]
    network, _ = ClassifierStart().build(CLASSIFIER)
    workshop.run.mkdir()
    run = train_classifier(
        network, mixed, mixed, (make_noise(100),), Negatives(), CLASSIFIER, workshop.run, SilentProgress()
    )
    assert run.step == LOOP.steps  # every loss was finite

    cubes = CandidateCubes(mixed, (), Negatives(), CLASSIFIER)
    known = {tuple(cubes[number]["known"].tolist()) for number in range(20)}
    assert known == {(1.0,) * len(OUTPUTS), (1.0, *(0.0,) * (len(OUTPUTS) - 1))}
    assert all(cubes[number]["target"].isfinite().all() for number in range(20))


def test_the_malignant_share_is_that_of_the_rated(workshop: Workshop) -> None:
    low, high = read_crops(workshop.crops, [Split.TRAIN])[:2]  # mean malignancy 1.5 and 4.5 of 1-5
    assert [soft_targets(crop)[0][1] for crop in (low, high)] == [0.125, 0.875]
    weights = np.array([0.2, 0.3, 0.5])
    shares = positive_shares([low, high, unrated(low)], weights, 0.35)
    assert shares == pytest.approx((0.65, (0.2 * 0.125 + 0.3 * 0.875) / 0.5))


def test_where_nobody_rated_no_classifier_is_taught(workshop: Workshop) -> None:
    crops = [unrated(crop) for crop in read_crops(workshop.crops, [Split.TRAIN])]
    network, _ = ClassifierStart().build(CLASSIFIER)
    with pytest.raises(InputRefusal, match="whose malignancy is rated") as refused:
        train_classifier(network, crops, crops, (), Negatives(), CLASSIFIER, workshop.run, SilentProgress())
    assert refused.value.code == "too-few-nodules"


UNRATED = {"malignancy_mean": "", **{f"malignancy_{reader}": "" for reader in range(4)}}


@pytest.mark.parametrize(
    ("side", "change", "told"),
    [
        (Split.TRAIN, UNRATED, "on the training side whose malignancy is rated"),
        (Split.VALIDATION, {"malignancy_mean": "2.0"}, "on the validation side that three readers rated above"),
        (Split.VALIDATION, {"malignancy_mean": "3.0"}, "on the validation side that three readers rated above"),
        (Split.VALIDATION, {"malignancy_mean": "4.0"}, "on the validation side that three readers rated below"),
    ],
)
def test_a_classifier_is_begun_only_where_its_heads_can_be_fitted(
    workshop: Workshop, side: Split, change: Row, told: str
) -> None:
    rewrite(workshop.crops, lambda row: row | change if split_of(row["patient_id"]) is side else row)
    with pytest.raises(InputRefusal, match=told) as refused:
        teach("classification", workshop, BRIEF, SilentProgress())
    assert refused.value.code == "too-few-nodules"
    assert not workshop.run.exists()
