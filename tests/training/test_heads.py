"""The heads: what is known of a nodule is weighed as well as it tells, and is as sure as it is right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_cohort import write_tiny_crops

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.evaluation.calibration import calibration_line
from lung_nodules.evaluation.measured import Measured, decided
from lung_nodules.networks.record import LinearHead
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
    """Nodules whose image and whose measurement tell the mean rating, each with noise; the margin tells nothing."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num):
        rating = rng.uniform(1, 5)
        crop = crops[number % len(crops)]
        crop = replace(crop, patient_id=str(number), ratings={**crop.ratings, "malignancy": rating})
        image, ruler = rating - 3 + rng.normal(0, image_noise), rating - 3 + rng.normal(0, ruler_noise)
        inputs = {"image.nodule": 5.0, "image.malignancy": image, "image.margin": rng.normal(), "feature.ruler": ruler}
        rows.append(Measured(crop, inputs))
    return rows


def weights_of(head: LinearHead) -> dict[str, float]:
    return dict(zip(head.inputs, np.array(head.weights) / head.scale, strict=True))


def test_the_image_is_believed_as_far_as_it_tells(crops: tuple[NoduleCrop, ...]) -> None:
    weights = weights_of(fit_suspicion(measured(crops, 400, 0.7, 2.0, 0)))
    assert set(weights) == {"feature.ruler", "image.malignancy"}  # the margin told nothing
    assert weights["image.malignancy"] > 4 * weights["feature.ruler"] > 0


def test_ratings_of_the_image_that_tell_more_are_taken(crops: tuple[NoduleCrop, ...]) -> None:
    nodules = measured(crops, 400, 1.0, 2.0, 0)
    telling = [
        replace(one, inputs={**one.inputs, "image.margin": one.crop.ratings["malignancy"] - 3}) for one in nodules
    ]
    assert weights_of(fit_suspicion(telling))["image.margin"] > 0


def test_the_suspicion_is_the_share_of_suspicious_nodules(crops: tuple[NoduleCrop, ...]) -> None:
    head = fit_suspicion(measured(crops, 800, 1.5, 1.5, 0))
    unknown = measured(crops, 4000, 1.5, 1.5, 1)
    given = np.array([apply_head(head, one.inputs) for one in unknown])
    truth = np.array([one.is_suspicious for one in unknown])
    for part in np.array_split(np.argsort(given), 5):
        assert truth[part].mean() == pytest.approx(given[part].mean(), abs=0.06)


def test_nodules_of_few_readers_do_not_count(crops: tuple[NoduleCrop, ...]) -> None:
    nodules = measured(crops, 300, 0.7, 2.0, 0)
    few = [
        replace(one, crop=replace(one.crop, num_readers=2), inputs={**one.inputs, "image.malignancy": 99.0})
        for one in nodules
    ]
    assert fit_suspicion([*nodules, *few]) == fit_suspicion(nodules)


def test_the_logarithm_of_a_diameter_is_taken_too(crops: tuple[NoduleCrop, ...]) -> None:
    nodules = [
        replace(one, inputs={**one.inputs, "feature.mean_diameter_mm": float(np.exp(one.inputs["feature.ruler"]))})
        for one in measured(crops, 200, 1.0, 0.5, 0)
    ]
    assert "log1p feature.mean_diameter_mm" in fit_suspicion(nodules).inputs


def test_without_folds_the_image_is_judged_on_validation_patients(crops: tuple[NoduleCrop, ...]) -> None:
    train, validation = measured(crops, 200, 0.01, 1.0, 0), measured(crops, 200, 5.0, 1.0, 1)  # known by heart
    weights = weights_of(fit_suspicion_on_validation(train, validation))
    assert abs(weights["image.malignancy"]) < 0.3 * weights["feature.ruler"]


def test_without_folds_the_suspicion_is_as_sure_as_unknown_patients_allow(crops: tuple[NoduleCrop, ...]) -> None:
    """Without its temperature the slope is 0.86: too sure."""
    train, unknown = measured(crops, 300, 1.0, 1.0, 0), decided(measured(crops, 2000, 1.0, 1.0, 2))
    truth, slopes = [one.is_suspicious for one in unknown], list[float]()
    for seed in range(3, 15):
        head = fit_suspicion_on_validation(train, measured(crops, 100, 1.0, 1.0, seed))
        slopes.append(calibration_line(truth, [apply_head(head, one.inputs) for one in unknown]).slope)
    assert np.exp(np.log(slopes).mean()) == pytest.approx(1, abs=0.08)


def test_the_nodule_head_believes_a_rating_that_tells_a_nodule() -> None:
    rng = np.random.default_rng(0)

    def read(subtlety: float) -> dict[str, float]:
        return {
            "image.nodule": rng.normal(),
            "image.subtlety": rng.normal(subtlety, 1),
            "candidate.logit": rng.normal(),
        }

    head = fit_nodule([read(2) for _ in range(100)], [read(0) for _ in range(100)], [])
    weights = weights_of(head)
    assert weights["image.subtlety"] > 3 * max(abs(weights["image.nodule"]), abs(weights["candidate.logit"]))


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
