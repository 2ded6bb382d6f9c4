"""Nodules and mistakes as the line would see them as candidates: what decides nodule or not is fitted to these."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from torch import nn

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.evaluation.measured import CLASSIFIER_FLIPS, read_cubes, read_logits
from lung_nodules.evaluation.reading import reader
from lung_nodules.networks.patches import PatchGrid
from lung_nodules.stages.classification import head_inputs
from lung_nodules.training.backgrounds import Background, cut
from lung_nodules.training.classification import ClassificationTraining
from lung_nodules.training.classifier_shape import OUTPUTS
from lung_nodules.training.detection import DetectionTraining, candidate_scores
from lung_nodules.training.mistakes import CropMistake, Mistake
from lung_nodules.training.segmentation import WINDOW_HU, fed_by

Candidates = list[dict[str, float]]  # the inputs of the nodule head, one a candidate


def nodule_candidates(
    finder: nn.Module, classifier: nn.Module, crops: Sequence[NoduleCrop], settings: ClassificationTraining
) -> Candidates:
    """The crops' nodules; end slices repeated."""
    logits = read_logits(reader(classifier), crops, fed_by(settings.cube), CLASSIFIER_FLIPS)
    return _join(logits, candidate_scores(finder, crops, DetectionTraining(cube=settings.cube)))


def mistakes_in_scans(
    classifier: nn.Module,
    backgrounds: Sequence[Background],
    mistakes: Sequence[Mistake],
    settings: ClassificationTraining,
) -> Candidates:
    """The finder's mistakes in whole scans."""
    shape = (settings.cube.voxels,) * 3
    cubes = (cut(backgrounds[one.background].hu, np.array(one.center_ijk), shape) for one in mistakes)
    return _join(read_cubes(reader(classifier), cubes, WINDOW_HU, CLASSIFIER_FLIPS), [one.score for one in mistakes])


def mistakes_in_crops(
    classifier: nn.Module,
    crops: Sequence[NoduleCrop],
    mistakes: Sequence[CropMistake],
    settings: ClassificationTraining,
) -> Candidates:
    """The finder's mistakes beside the nodules of crops; end slices repeated."""
    cubes = (_cube_at(crops[one.crop], one.center_ijk, settings) for one in mistakes)
    return _join(read_cubes(reader(classifier), cubes, WINDOW_HU, CLASSIFIER_FLIPS), [one.score for one in mistakes])


def _cube_at(
    crop: NoduleCrop, center_ijk: Sequence[float], settings: ClassificationTraining
) -> npt.NDArray[np.float32]:
    shape = (settings.cube.voxels,) * 3
    return PatchGrid.centered(center_ijk, crop.spacing_mm, shape, settings.cube.spacing_mm).sample(crop.image)


def _join(logits: npt.NDArray[np.float32], scores: Sequence[float]) -> Candidates:
    named = ({name: float(value) for name, value in zip(OUTPUTS, row, strict=True)} for row in logits)
    return [head_inputs(row, {}, score) for row, score in zip(named, scores, strict=True)]
