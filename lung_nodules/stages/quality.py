"""Checks of the input that a reader of the result should know about.

What cannot be read at all was refused before; here is what is odd yet usable, measured on the volume, its lungs and its
headers. A check that the input gives nothing to judge by passes and says so. No sentence and no value tells who the
patient is. The limits are those of `QualitySettings`.

In: the chosen series, its volume and lungs. Out: `Quality`, the checks in a fixed order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pydicom
from scipy import ndimage

from lung_nodules.settings import QualitySettings, Settings
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.series import Selection
from lung_nodules.stages.volume import Volume

_PADDING_HU = -1024  # what `build_volume` gives outside the field of view
_FIELD_RIM_MM = 6.0  # a lung this near to the border of the field of view goes on beyond it: no chest wall is thinner
_NUM_PROBED_SLICES = 16  # pixels that are padding in all of these lie outside the field of view
_AGE_UNIT_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}  # PS3.5 6.2, VR AS


class Outcome(StrEnum):
    """What a check found."""

    PASS = "pass"  # noqa: S105 - an outcome
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One check: what was measured, what it was held against, and what that means."""

    code: str  # kebab case, for example "slice-spacing"
    outcome: Outcome
    value: float | str | None
    limit: float | str | None
    unit: str  # UCUM, or empty
    sentence: str


@dataclass(frozen=True)
class Quality:
    """All checks of one series."""

    checks: tuple[Check, ...]


def check_quality(selection: Selection, volume: Volume, lungs: Lungs, settings: Settings) -> Quality:
    """Run all checks.

    Args:
        selection: The chosen series; its headers are read where the volume has none.
        volume: The CT.
        lungs: Both lungs, on the CT's grid.
        settings: `Settings.quality` is read.

    Returns:
        The checks: slices, lungs, then what the headers say, then one for each note that came with the volume.
    """
    limits = settings.quality
    header = _header(selection, volume)
    measured = (
        _slice_spacing(volume, limits),
        _slice_regularity(volume, limits),
        _missing_slices(volume, limits),
        _slice_thickness(header, limits),
        _pixel_spacing(volume, limits),
        _slice_count(volume, limits),
        _lungs_complete(volume, lungs, limits),
        _lung_volume(lungs, limits),
        _lung_balance(lungs, limits),
        _contrast_agent(header),
        _kernel(header, limits),
        _lossy_compression(header, volume),
        _patient_age(header, limits),
    )
    known = {check.code for check in measured}
    noted = [
        Check(note.code, Outcome.WARN, None, None, "", note.sentence) for note in volume.notes if note.code not in known
    ]
    return Quality((*measured, *noted))


def _header(selection: Selection, volume: Volume) -> pydicom.Dataset:
    """The header that speaks for the series."""
    if volume.headers:
        return volume.headers[0]
    return selection.instances[0].header if selection.instances else pydicom.Dataset()


def _slice_spacing(volume: Volume, limits: QualitySettings) -> Check:
    value_mm = volume.geometry.spacing_mm[0]
    outcome = _graded(value_mm, limits.max_slice_spacing_mm, limits.unusable_slice_mm)
    sentence = f"The slices are {value_mm:.4g} mm apart{_small_nodules(outcome)}."
    return Check("slice-spacing", outcome, value_mm, limits.max_slice_spacing_mm, "mm", sentence)


def _slice_regularity(volume: Volume, limits: QualitySettings) -> Check:
    distances_mm = _slice_distances(volume)
    if not distances_mm.size:
        return _not_stated("slice-regularity", "The positions of the slices are not stated.", "mm")
    usual_mm = float(np.median(distances_mm))
    limit_mm = limits.max_irregularity_fraction * usual_mm
    single = distances_mm[distances_mm < limits.gap_from_fraction * usual_mm]
    value_mm = float(np.abs(single - usual_mm).max()) if single.size else 0.0
    sentence = f"The distance from slice to slice varies by {value_mm:.2g} mm at most."
    return Check("slice-regularity", _warn_if(value_mm > limit_mm), value_mm, limit_mm, "mm", sentence)


def _missing_slices(volume: Volume, limits: QualitySettings) -> Check:
    distances_mm = _slice_distances(volume)
    if not distances_mm.size:
        return _not_stated("missing-slices", "The positions of the slices are not stated.", "{slices}")
    steps = distances_mm / np.median(distances_mm)
    num_missing = int(np.rint(steps[steps >= limits.gap_from_fraction] - 1).sum())
    outcome = Outcome.FAIL if num_missing else Outcome.PASS
    sentence = (
        f"{num_missing} slices are missing." if num_missing else "No slice is missing between the first and last."
    )
    return Check("missing-slices", outcome, num_missing, 0, "{slices}", sentence)


def _slice_distances(volume: Volume) -> npt.NDArray[np.float64]:
    """Distances in mm from slice to slice along the normal; empty where the headers do not tell."""
    positions = [header.get("ImagePositionPatient") for header in volume.headers]
    if len(positions) < 2 or not all(positions):
        return np.empty(0)
    along: npt.NDArray[np.float64] = np.asarray(positions, dtype=float) @ np.asarray(volume.geometry.direction[0])
    return np.abs(np.diff(along))


def _slice_thickness(header: pydicom.Dataset, limits: QualitySettings) -> Check:
    value_mm = _number(header, "SliceThickness")
    if value_mm is None:
        return _not_stated("slice-thickness", "The thickness of the slices is not stated.", "mm")
    outcome = _graded(value_mm, limits.max_slice_thickness_mm, limits.unusable_slice_mm)
    sentence = f"The slices are {value_mm:.4g} mm thick{_small_nodules(outcome)}."
    return Check("slice-thickness", outcome, value_mm, limits.max_slice_thickness_mm, "mm", sentence)


def _pixel_spacing(volume: Volume, limits: QualitySettings) -> Check:
    value_mm = max(volume.geometry.spacing_mm[1:])
    outcome = _warn_if(value_mm > limits.max_pixel_spacing_mm)
    sentence = f"The pixels are {value_mm:.3g} mm apart{_small_nodules(outcome)}."
    return Check("pixel-spacing", outcome, value_mm, limits.max_pixel_spacing_mm, "mm", sentence)


def _slice_count(volume: Volume, limits: QualitySettings) -> Check:
    num_slices = volume.geometry.shape[0]
    few = num_slices < limits.min_num_slices
    sentence = f"The series has {num_slices} slices{', few for a chest' if few else ''}."
    return Check("slice-count", _warn_if(few), num_slices, limits.min_num_slices, "{slices}", sentence)


def _lungs_complete(volume: Volume, lungs: Lungs, limits: QualitySettings) -> Check:
    """The largest area of lung at the first slice, the last slice or the border of the field of view."""
    spacing_mm = volume.geometry.spacing_mm
    pixel_cm2 = spacing_mm[1] * spacing_mm[2] / 100
    areas_cm2 = {
        "the first slice": np.count_nonzero(lungs.label_map[0]) * pixel_cm2,
        "the last slice": np.count_nonzero(lungs.label_map[-1]) * pixel_cm2,
        "the border of the field of view": _area_at_field_border_cm2(volume, lungs),
    }
    where, value_cm2 = max(areas_cm2.items(), key=lambda item: item[1])
    cut = value_cm2 > limits.max_lung_cut_cm2
    sentence = f"The lungs are cut off at {where} ({value_cm2:.0f} cm2)." if cut else "The lungs are not cut off."
    return Check("lungs-complete", _warn_if(cut), value_cm2, limits.max_lung_cut_cm2, "cm2", sentence)


def _area_at_field_border_cm2(volume: Volume, lungs: Lungs) -> float:
    """Area of the lungs' contact with the border of the image or with the padding around a round field of view."""
    spacing_mm = volume.geometry.spacing_mm
    probed = np.unique(np.linspace(0, volume.geometry.shape[0] - 1, _NUM_PROBED_SLICES).astype(int))
    beyond = np.pad((volume.array[probed] == _PADDING_HU).all(axis=0), 1, constant_values=True)
    away_mm = ndimage.distance_transform_edt(~beyond, sampling=spacing_mm[1:])[1:-1, 1:-1]
    lung = lungs.label_map[lungs.bounding_box] > 0
    num_near = np.count_nonzero(lung[:, away_mm[lungs.bounding_box[1:]] <= _FIELD_RIM_MM])
    return float(num_near * volume.geometry.voxel_volume_mm3 / _FIELD_RIM_MM / 100)


def _lung_volume(lungs: Lungs, limits: QualitySettings) -> Check:
    litres = lungs.right_litres + lungs.left_litres
    odd = not limits.min_lung_litres <= litres <= limits.max_lung_litres
    limit = f"{limits.min_lung_litres:g} to {limits.max_lung_litres:g}"
    sentence = f"The lungs hold {litres:.1f} litres{f', not the usual {limit}' if odd else ''}."
    return Check("lung-volume", _warn_if(odd), litres, limit, "L", sentence)


def _lung_balance(lungs: Lungs, limits: QualitySettings) -> Check:
    share = min(lungs.right_litres, lungs.left_litres) / (lungs.right_litres + lungs.left_litres)
    smaller = "right" if lungs.right_litres < lungs.left_litres else "left"
    sentence = f"The {smaller} lung is the smaller one, with {share:.0%} of the volume of both."
    outcome = _warn_if(share < limits.min_smaller_lung_share)
    return Check("lung-balance", outcome, share, limits.min_smaller_lung_share, "1", sentence)


def _contrast_agent(header: pydicom.Dataset) -> Check:
    """As read: text that a person typed, so it is the value and no verdict."""
    agent = _text(header, "ContrastBolusAgent")
    sentence = "A contrast agent was given." if agent else "No contrast agent is stated."
    return Check("contrast-agent", Outcome.PASS, agent or None, None, "", sentence)


def _kernel(header: pydicom.Dataset, limits: QualitySettings) -> Check:
    kernel = _text(header, "ConvolutionKernel")
    if not kernel:
        return _not_stated("kernel", "The reconstruction kernel is not stated.", "")
    name = kernel.split("\\")[0]
    sharp = any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern in limits.sharp_kernels)
    sentence = (
        f"The images were reconstructed with the kernel {name}{', a sharp one: they are noisy' if sharp else ''}."
    )
    return Check("kernel", _warn_if(sharp), kernel, None, "", sentence)


def _lossy_compression(header: pydicom.Dataset, volume: Volume) -> Check:
    """PS3.3 C.7.6.1.1.5: once lossy, always marked so."""
    noted = [note for note in volume.notes if note.code == "lossy-compression"]
    lossy = bool(noted) or _text(header, "LossyImageCompression") == "01"
    sentence = (
        "The images went through lossy compression; small and faint nodules may be lost."
        if lossy
        else "No lossy compression is stated."
    )
    return Check("lossy-compression", _warn_if(lossy), "01" if lossy else "00", "00", "", sentence)


def _patient_age(header: pydicom.Dataset, limits: QualitySettings) -> Check:
    match = re.fullmatch(r"(\d{1,3})([DWMY])", _text(header, "PatientAge"))
    if match is None:
        return _not_stated("patient-age", "The patient's age is not stated.", "a")
    years = int(match[1]) * _AGE_UNIT_YEARS[match[2]]
    child = years < limits.min_age_years
    sentence = (
        f"The patient is younger than {limits.min_age_years:g} years: outside the intended use."
        if child
        else f"The patient is {limits.min_age_years:g} years old or older."
    )
    return Check("patient-age", _warn_if(child), years, limits.min_age_years, "a", sentence)


def _graded(value: float, limit: float, unusable: float) -> Outcome:
    if value > unusable:
        return Outcome.FAIL
    return _warn_if(value > limit)


def _warn_if(odd: bool) -> Outcome:
    return Outcome.WARN if odd else Outcome.PASS


def _small_nodules(outcome: Outcome) -> str:
    return "" if outcome is Outcome.PASS else ": small nodules may be missed, and sizes are rough"


def _not_stated(code: str, sentence: str, unit: str) -> Check:
    return Check(code, Outcome.PASS, None, None, unit, sentence)


def _text(header: pydicom.Dataset, keyword: str) -> str:
    """An element as text, several values joined as DICOM joins them."""
    value = header.get(keyword)
    if value is None:
        return ""
    parts = [value] if isinstance(value, str) or not hasattr(value, "__iter__") else list(value)
    return "\\".join(str(part).strip() for part in parts)


def _number(header: pydicom.Dataset, keyword: str) -> float | None:
    """An element as a number above zero; None where it is missing or none."""
    try:
        value = float(_text(header, keyword))
    except ValueError:
        return None
    return value if np.isfinite(value) and value > 0 else None
