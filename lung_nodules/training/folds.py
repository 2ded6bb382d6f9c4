"""Folds by patient: what a network says about nodules and lung that it has not learned from.

A network knows its training nodules too well: its outputs there are surer than on new patients, and a finder makes few
mistakes where it has learned. So one network a fold learns from the other folds and reads its own (Wolpert 1992,
10.1016/S0893-6080(05)80023-1): every training patient is then read by a network that does not know them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from torch import nn

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.progress import Progress
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.classification import ClassificationTraining, Negatives
from lung_nodules.training.detection import DetectionTraining, candidate_scores, train_finder
from lung_nodules.training.mistakes import CropMistake, Mistake, mine, mine_crops
from lung_nodules.training.segmentation import WINDOW_HU
from lung_nodules.training.workshop import well_read

Row = TypeVar("Row")


@dataclass(frozen=True)
class Fold:
    """One part of the patients and scans, and all others."""

    number: int
    held_crops: tuple[int, ...]  # numbers of the crops that are read
    other_crops: tuple[int, ...]  # numbers of the crops that are learned from
    held_backgrounds: tuple[int, ...]
    other_backgrounds: tuple[int, ...]  # never empty: where there are fewer scans than needed, all of them


@dataclass(frozen=True)
class FoldMistakes:
    """Where the finders were wrong on what they had not learned from."""

    negatives: Negatives
    num_counted: int  # mistakes in whole scans, each finder at the threshold that keeps the wanted share of nodules
    num_scans: int  # that were searched by a finder which did not know them


def fold_of(patient_id: str, num_folds: int) -> int:
    """The fold of a patient: fixed, and independent of the split, by another hash than it."""
    return int(hashlib.sha256(f"fold of {patient_id}".encode()).hexdigest(), 16) % num_folds


def make_folds(crops: Sequence[NoduleCrop], backgrounds: Sequence[Background], num_folds: int) -> Iterator[Fold]:
    """Split crops and scans by patient; a scan's patient is in the fold of the number that the scan has."""
    of_scan = {background.name: number % num_folds for number, background in enumerate(backgrounds)}
    of_crop = [of_scan.get(crop.patient_id, fold_of(crop.patient_id, num_folds)) for crop in crops]
    for fold in range(num_folds):
        held = tuple(number for number, name in enumerate(backgrounds) if of_scan[name.name] == fold)
        others = tuple(number for number in range(len(backgrounds)) if number not in held)
        yield Fold(
            fold,
            tuple(number for number, own in enumerate(of_crop) if own == fold),
            tuple(number for number, own in enumerate(of_crop) if own != fold),
            held if others else (),
            others or held,
        )


def negatives_for(fold: Fold, negatives: Negatives) -> Negatives:
    """The negatives of the others, renumbered as a run on them counts crops and backgrounds."""
    crop_at = {number: position for position, number in enumerate(fold.other_crops)}
    scan_at = {number: position for position, number in enumerate(fold.other_backgrounds)}
    return Negatives(
        [
            Mistake(scan_at[one.background], one.center_ijk, one.score)
            for one in negatives.in_scans
            if one.background in scan_at
        ],
        [
            CropMistake(crop_at[one.crop], one.center_ijk, one.score)
            for one in negatives.in_crops
            if one.crop in crop_at
        ],
    )


def read_out_of_fold(
    crops: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    num_folds: int,
    teach: Callable[[Fold], nn.Module],
    read: Callable[[list[NoduleCrop], nn.Module], list[Row]],
) -> list[Row]:
    """What `read` gives for every crop, with a network that `teach` made without the crop's patient."""
    rows: list[Row] = []
    for fold in make_folds(crops, backgrounds, num_folds):
        held = [crops[number] for number in fold.held_crops]
        if held:
            rows += read(held, teach(fold))
    return rows


def find_out_of_fold(
    crops: Sequence[NoduleCrop],
    backgrounds: Sequence[Background],
    settings: ClassificationTraining,
    kept_share: float,
    folder: Path,
    progress: Progress,
    *,
    resume: bool = False,
) -> FoldMistakes:
    """The mistakes of finders on the folds that they have not learned from.

    They start from random weights: the published outliner and finder have learned from every fold. So they are less
    sure than the published finder, and its threshold would say nothing of them: their mistakes in whole scans are
    counted at the threshold at which they find as great a share of the nodules that they do not know.

    Args:
        crops: Nodules that train.
        backgrounds: Scans that train.
        settings: Of the classifier; `folds`, `fold_finder_steps`, cube, mining and `loop.num_workers` are read.
        kept_share: Of the nodules that it does not know, at the published finder's threshold.
        folder: For the finders' checkpoints.
        progress: Told of each step.
        resume: Go on from the checkpoints that are there.
    """
    recipe = DetectionTraining(cube=settings.cube, mining=settings.mining)
    decided = {"steps": settings.fold_finder_steps, "num_workers": settings.loop.num_workers}
    recipe = recipe.model_copy(update={"loop": recipe.loop.model_copy(update=decided)})
    in_scans: list[Mistake] = []
    in_crops: list[CropMistake] = []
    counted = searched = 0
    for fold in make_folds(crops, backgrounds, settings.folds):
        own = fold_folder(folder, "finder", fold)
        held, others, scans = (
            [crops[number] for number in fold.held_crops],
            [crops[number] for number in fold.other_crops],
            [backgrounds[number] for number in fold.other_backgrounds],
        )
        judged = well_read(held)
        run = train_finder(others, judged, scans, recipe, own, progress, resume=resume and has_checkpoint(own))
        network = run.average.module
        for one in mine_crops(network, held, WINDOW_HU, settings.cube.spacing_mm, settings.mining, progress):
            in_crops.append(CropMistake(fold.held_crops[one.crop], one.center_ijk, one.score))
        unseen = [backgrounds[number] for number in fold.held_backgrounds]
        threshold = threshold_that_keeps(kept_share, candidate_scores(network, judged, recipe))
        limits = settings.mining.model_copy(update={"threshold": min(settings.mining.threshold, threshold)})
        for mistake in mine(network, unseen, WINDOW_HU, limits, progress):
            in_scans.append(Mistake(fold.held_backgrounds[mistake.background], mistake.center_ijk, mistake.score))
            counted += mistake.score >= threshold
        searched += len(unseen)
    return FoldMistakes(Negatives(in_scans, in_crops), counted, searched)


def threshold_that_keeps(share: float, scores: Sequence[float]) -> float:
    """The threshold at which this share of the scores remains; 0.5 where there are none."""
    return float(np.quantile(scores, 1 - share)) if len(scores) else 0.5


def fold_folder(folder: Path, what: str, fold: Fold) -> Path:
    """Where the run of one fold leaves its checkpoint; made."""
    own = folder / f"{what}-fold-{fold.number}"
    own.mkdir(parents=True, exist_ok=True)
    return own


def has_checkpoint(folder: Path) -> bool:
    """Whether a run in the folder can be gone on with."""
    return (folder / "checkpoint.pt").is_file()
