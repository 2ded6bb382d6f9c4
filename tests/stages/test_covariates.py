"""Patient and scan from headers: what is missing, empty or malformed is not known."""

from __future__ import annotations

import pydicom
import pytest

from lung_nodules.stages.covariates import Covariates, read_covariates


def header(**elements: str | None) -> pydicom.Dataset:
    dataset = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def test_all_are_read() -> None:
    full = header(
        PatientAge="067Y",
        PatientSex="F",
        SliceThickness="1.25",
        ConvolutionKernel="B60f",
        ContrastBolusAgent="Omnipaque",
    )
    assert read_covariates([full]) == Covariates(67.0, True, 1.25, True, True)


@pytest.mark.parametrize("empty", [header(), header(PatientAge="", PatientSex="O", SliceThickness="0")])
def test_what_is_not_there_is_not_known(empty: pydicom.Dataset) -> None:
    assert read_covariates([empty]) == Covariates(has_contrast=False)


def test_an_emptied_agent_says_nothing_and_no_headers_nothing_at_all() -> None:
    assert read_covariates([header(ContrastBolusAgent="")]).has_contrast is None
    assert read_covariates([]) == Covariates()


def test_a_soft_kernel_is_none_that_is_sharp() -> None:
    assert read_covariates([header(ConvolutionKernel="B30f")]).sharp_kernel is False
