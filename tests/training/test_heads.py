"""The heads: what is known of a nodule is weighed as well as it tells, and is as sure as it is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_cohort import write_tiny_crops

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.evaluation.measured import Measured
from lung_nodules.stages.classification import apply_head
from lung_nodules.training.heads import fit_nodule, fit_suspicion, fit_suspicion_on_validation


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[NoduleCrop, ...]:
    folder: Path = tmp_path_factory.mktemp("cohort") / "crops"
    write_tiny_crops(folder)
    return read_crops(folder)


def measured(
    crops: tuple[NoduleCrop, ...], num: int, image_noise: float, ruler_noise: float, seed: int
) -> list[Measured]:
    """Nodules whose image and whose measurement tell their suspicion, each with noise; every second is suspicious."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num):
        crop = crops[number % len(crops)]
        truth = 1.0 if crop.ratings["malignancy"] > 3 else -1.0
        image, ruler = truth + rng.normal(0, image_noise), truth + rng.normal(0, ruler_noise)
        inputs = {"image.nodule": 5.0, "image.malignancy": image, "image.margin": 0.0, "feature.ruler": ruler}
        rows.append(Measured(crop, inputs))
    return rows


def test_out_of_fold_the_image_is_believed_as_far_as_it_tells(crops: tuple[NoduleCrop, ...]) -> None:
    head = fit_suspicion(measured(crops, 400, 0.7, 2.0, 0), measured(crops, 60, 0.7, 2.0, 1))
    weights = dict(zip(head.inputs, np.array(head.weights) / head.scale, strict=True))
    assert "image.nodule" not in weights
    assert weights["image.malignancy"] > 4 * weights["feature.ruler"] > 0


def test_the_temperature_is_that_of_the_published_network(crops: tuple[NoduleCrop, ...]) -> None:
    surer = measured(crops, 400, 0.3, 0.3, 0)  # easier than what the published network sees
    validation = measured(crops, 400, 1.5, 1.5, 1)
    head = fit_suspicion(surer, validation)
    given = np.array([apply_head(head, one.inputs) for one in measured(crops, 2000, 1.5, 1.5, 2)])
    truth = np.array([one.is_suspicious for one in measured(crops, 2000, 1.5, 1.5, 2)])
    sure = given > 0.9
    assert truth[sure].mean() == pytest.approx(given[sure].mean(), abs=0.06)


def test_without_folds_the_image_is_judged_on_validation_patients(crops: tuple[NoduleCrop, ...]) -> None:
    train, validation = measured(crops, 200, 0.01, 1.0, 0), measured(crops, 200, 5.0, 1.0, 1)  # known by heart
    head = fit_suspicion_on_validation(train, validation)
    weights = dict(zip(head.inputs, np.array(head.weights) / head.scale, strict=True))
    assert abs(weights["image.malignancy"]) < 0.2 * weights["feature.ruler"]


def test_the_nodule_head_is_as_sure_as_the_unknown_mistakes_allow() -> None:
    rng = np.random.default_rng(0)
    nodules = [{"image.nodule": rng.normal(1, 1), "candidate.logit": rng.normal(1, 1)} for _ in range(300)]
    mistakes = [{"image.nodule": rng.normal(0, 1), "candidate.logit": rng.normal(0, 1)} for _ in range(300)]
    known = [{"image.nodule": rng.normal(-4, 1), "candidate.logit": rng.normal(-4, 1)} for _ in range(3000)]
    head = fit_nodule(nodules, mistakes, known)
    given = np.array([apply_head(head, one) for one in (*nodules, *mistakes)])
    truth = np.arange(600) < 300
    assert given[truth].mean() > 0.6 > given[~truth].mean()
    assert -np.log(np.where(truth, given, 1 - given)).mean() < 0.69  # better than a coin
