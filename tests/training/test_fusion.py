"""Late fusion: it takes what tells, leaves what does not, and bears that anything is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cohort import write_tiny_crops

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.errors import InputRefusal
from lung_nodules.evaluation.figures import Figure
from lung_nodules.evaluation.measured import Measured
from lung_nodules.stages.classification import apply_head
from lung_nodules.stages.covariates import Covariates, covariate_inputs
from lung_nodules.training.fusion import IMAGE_ALONE, fit_fusion, fusion_gain, judge_fusion_by_folds, wins


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[NoduleCrop, ...]:
    folder: Path = tmp_path_factory.mktemp("cohort") / "crops"
    write_tiny_crops(folder)
    return read_crops(folder)


def drawn(
    crops: tuple[NoduleCrop, ...], num: int, age_tells: float, known_share: float = 1.0, seed: int = 0
) -> list[Measured]:
    """Nodules of as many patients, whose image tells a little and whose age tells as much as asked for."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num):
        crop = replace(crops[number % len(crops)], patient_id=f"P{number}")
        truth = 1.0 if crop.ratings["malignancy"] > 3 else -1.0
        known = Covariates(
            age_years=60 + 8 * (age_tells * truth + rng.normal()) if rng.random() < known_share else None,
            slice_thickness_mm=float(rng.choice([1.25, 2.5])),
        )
        inputs = {"image.malignancy": truth + rng.normal(0, 2), "feature.long_axis_mm": 8 + rng.normal()}
        rows.append(Measured(crop, {**inputs, **covariate_inputs(known)}))
    return rows


def gain_of(rows: list[Measured]) -> Figure:
    return fusion_gain(*judge_fusion_by_folds(rows, IMAGE_ALONE), IMAGE_ALONE)


def test_it_wins_where_age_tells_and_only_there(crops: tuple[NoduleCrop, ...]) -> None:
    assert wins(gain_of(drawn(crops, 300, age_tells=1.0)))
    assert not wins(gain_of(drawn(crops, 300, age_tells=0.0)))
    assert not wins(Figure(value=0.1, n=3))  # one patient: no interval


def test_nodules_of_one_kind_or_none_are_refused(crops: tuple[NoduleCrop, ...]) -> None:
    suspicious = [one for one in drawn(crops, 20, age_tells=1.0) if one.is_suspicious]
    for rows in ([], suspicious):
        with pytest.raises(InputRefusal, match="too-few-nodules"):
            fit_fusion(rows, IMAGE_ALONE)


def test_half_of_the_ages_missing_is_still_a_gain(crops: tuple[NoduleCrop, ...]) -> None:
    assert wins(gain_of(drawn(crops, 400, age_tells=1.5, known_share=0.5)))


def test_a_missing_age_counts_as_the_mean_one(crops: tuple[NoduleCrop, ...]) -> None:
    rows = drawn(crops, 200, age_tells=1.0)
    head = fit_fusion(rows, IMAGE_ALONE)
    ages = [one.inputs["covariate.age_years"] for one in rows]
    thickness = rows[0].inputs["covariate.slice_thickness_mm"]
    unknown, mean = (
        rows[0].inputs | covariate_inputs(Covariates(age_years=age, slice_thickness_mm=thickness))
        for age in (None, float(np.mean(ages)))
    )
    assert apply_head(head, unknown) == pytest.approx(apply_head(head, mean), abs=1e-9)


def test_what_was_never_known_weighs_nothing(crops: tuple[NoduleCrop, ...]) -> None:
    rows = drawn(crops, 100, age_tells=1.0)
    head = fit_fusion(rows, IMAGE_ALONE, ("feature.long_axis_mm",))
    known = Covariates(age_years=70.0, slice_thickness_mm=1.25)
    told = replace(known, is_female=True, sharp_kernel=True, has_contrast=True)
    one, other = (apply_head(head, rows[0].inputs | covariate_inputs(each)) for each in (known, told))
    assert one == pytest.approx(other, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(
    st.none() | st.floats(0, 120),
    st.none() | st.booleans(),
    st.none() | st.floats(0.3, 10),
    st.none() | st.booleans(),
    st.none() | st.booleans(),
)
def test_any_of_them_may_be_missing(
    age_years: float | None,
    is_female: bool | None,
    thickness_mm: float | None,
    sharp_kernel: bool | None,
    has_contrast: bool | None,
) -> None:
    inputs = covariate_inputs(Covariates(age_years, is_female, thickness_mm, sharp_kernel, has_contrast))
    assert len(inputs) == 10
    assert all(np.isfinite(value) for value in inputs.values())
    num_missing = sum(value is None for value in (age_years, is_female, thickness_mm, sharp_kernel, has_contrast))
    assert sum(value for name, value in inputs.items() if name.endswith("_missing")) == num_missing
