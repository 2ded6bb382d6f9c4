"""What is known of a nodule beside its image: the patient's age and sex, the slice thickness, kernel and contrast.

Any of it may be missing: sites empty these elements. A head of the record that wants them gets each as a number, 0
where it is not known, with a second input that says so. Whether they help, training decides by measuring; a head that
wants none of them is not touched by any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pydicom

from lung_nodules.stages.series_parts import classify_kernel
from lung_nodules.stages.study import read_float, read_patient_age, read_text

PREFIX = "covariate."
MISSING = "_missing"  # ends the name of the input that is 1 where the value is not known
NAMES = ("age_years", "is_female", "slice_thickness_mm", "sharp_kernel", "has_contrast")

_SHARP = 1  # of `classify_kernel`


@dataclass(frozen=True)
class Covariates:
    """What is known of a patient and a scan; None where it is not."""

    age_years: float | None = None
    is_female: bool | None = None
    slice_thickness_mm: float | None = None  # as the scanner says, not the distance of the slices
    sharp_kernel: bool | None = None  # a reconstruction kernel for lung or bone
    has_contrast: bool | None = None


def read_covariates(headers: Sequence[pydicom.Dataset]) -> Covariates:
    """Read them from the headers of one series; what is missing or malformed is not known."""
    if not headers:
        return Covariates()
    header = headers[0]
    sex, kernel = read_text(header, "PatientSex"), read_text(header, "ConvolutionKernel")
    thickness_mm = read_float(header, "SliceThickness")
    return Covariates(
        age_years=read_patient_age(header),
        is_female=None if sex not in ("F", "M") else sex == "F",
        slice_thickness_mm=thickness_mm if thickness_mm and thickness_mm > 0 else None,
        sharp_kernel=None if kernel is None else classify_kernel(kernel) == _SHARP,
        has_contrast=_contrast(header),
    )


def _contrast(header: pydicom.Dataset) -> bool | None:
    """Scanners leave the agent's element out where there was none; who empties headers leaves it empty."""
    if read_text(header, "ContrastBolusAgent"):
        return True
    return None if "ContrastBolusAgent" in header else False


def covariate_inputs(known: Covariates) -> dict[str, float]:
    """As inputs of the heads: ``covariate.NAME``, 0 where not known, and ``covariate.NAME_missing``, then 1."""
    inputs = {}
    for name in NAMES:
        value = getattr(known, name)
        inputs[f"{PREFIX}{name}"] = 0.0 if value is None else float(value)
        inputs[f"{PREFIX}{name}{MISSING}"] = float(value is None)
    return inputs
