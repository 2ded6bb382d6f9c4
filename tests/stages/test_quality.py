"""The checks: each on input that passes it, and on input that does not."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from ct_files import PATIENT_NAME, CTSeries, select
from drawn_chest import draw_chest
from real_scans import cropped, padded_outside, read_scan

from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.lungs import Lungs, segment_lungs
from lung_nodules.stages.quality import Check, Outcome, check_quality
from lung_nodules.stages.series import Selection, select_series
from lung_nodules.stages.volume import Volume, VolumeNote, build_volume

CODES = [
    "slice-spacing",
    "slice-regularity",
    "missing-slices",
    "slice-thickness",
    "pixel-spacing",
    "slice-count",
    "lungs-complete",
    "lung-volume",
    "lung-balance",
    "contrast-agent",
    "kernel",
    "lossy-compression",
    "patient-age",
]
NOTHING_SELECTED = Selection("1.2", "1.3", (), ())


@pytest.fixture(scope="module")
def chest() -> Volume:
    """A drawn chest with headers that give no cause for a warning, slices of 2.5 mm."""
    drawn = draw_chest()
    geometry = replace(drawn.geometry, spacing_mm=(2.5, 0.9, 0.9))
    headers = []
    for index in range(geometry.shape[0]):
        header = pydicom.Dataset()
        header.ImagePositionPatient = [float(v) for v in geometry.to_world((index, 0, 0))]
        header.SliceThickness, header.ConvolutionKernel, header.PatientAge = 2.5, "STANDARD", "063Y"
        header.PatientName, header.PatientID = PATIENT_NAME, "P1"
        headers.append(header)
    return replace(drawn, geometry=geometry, headers=tuple(headers))


@pytest.fixture(scope="module")
def lungs() -> Lungs:
    return segment_lungs(draw_chest(), Settings())


def checks_of(volume: Volume, lungs: Lungs) -> dict[str, Check]:
    quality = check_quality(NOTHING_SELECTED, volume, lungs, Settings())
    return {check.code: check for check in quality.checks}


def with_headers(volume: Volume, change: Callable[[pydicom.Dataset, int], Any]) -> Volume:
    headers = []
    for index, header in enumerate(volume.headers):
        changed = deepcopy(header)
        change(changed, index)
        headers.append(changed)
    return replace(volume, headers=tuple(headers))


def test_a_sound_series_passes_every_check(chest: Volume, lungs: Lungs) -> None:
    checks = checks_of(chest, lungs)
    assert list(checks) == CODES
    assert {check.outcome for check in checks.values()} == {Outcome.PASS}
    assert all(check.sentence.endswith(".") for check in checks.values())


@pytest.mark.parametrize(
    ("spacing_mm", "outcome"), [(1.0, Outcome.PASS), (3.0, Outcome.PASS), (3.5, Outcome.WARN), (7.5, Outcome.FAIL)]
)
def test_thick_slices_are_told(chest: Volume, lungs: Lungs, spacing_mm: float, outcome: Outcome) -> None:
    geometry = replace(chest.geometry, spacing_mm=(spacing_mm, 0.9, 0.9))
    checks = checks_of(replace(chest, geometry=geometry), lungs)
    assert (checks["slice-spacing"].outcome, checks["slice-spacing"].value) == (outcome, spacing_mm)
    thick = with_headers(chest, lambda header, _: setattr(header, "SliceThickness", spacing_mm))
    assert checks_of(thick, lungs)["slice-thickness"].outcome is (Outcome.WARN if spacing_mm == 3 else outcome)


def test_large_pixels_and_few_slices_are_told(chest: Volume, lungs: Lungs) -> None:
    coarse = replace(chest, geometry=replace(chest.geometry, spacing_mm=(2.5, 0.9, 1.4), shape=(40, 90, 120)))
    checks = checks_of(coarse, lungs)
    assert (checks["pixel-spacing"].outcome, checks["pixel-spacing"].value) == (Outcome.WARN, 1.4)
    assert (checks["slice-count"].outcome, checks["slice-count"].value) == (Outcome.WARN, 40)


def test_a_shifted_slice_is_told(chest: Volume, lungs: Lungs) -> None:
    def shift(header: pydicom.Dataset, index: int) -> None:
        if index == 30:
            header.ImagePositionPatient = [*header.ImagePositionPatient[:2], header.ImagePositionPatient[2] + 0.1]

    check = checks_of(with_headers(chest, shift), lungs)["slice-regularity"]
    assert check.outcome is Outcome.WARN
    assert check.value == pytest.approx(0.1)
    assert checks_of(with_headers(chest, shift), lungs)["missing-slices"].outcome is Outcome.PASS


def test_missing_slices_are_counted(chest: Volume, lungs: Lungs) -> None:
    def move_up(header: pydicom.Dataset, index: int) -> None:
        if index >= 30:
            header.ImagePositionPatient = [*header.ImagePositionPatient[:2], header.ImagePositionPatient[2] + 5.0]

    checks = checks_of(with_headers(chest, move_up), lungs)
    assert (checks["missing-slices"].outcome, checks["missing-slices"].value) == (Outcome.FAIL, 2)
    assert checks["slice-regularity"].outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("kernel", "outcome"),
    [
        ("STANDARD", Outcome.PASS),
        ("B30f", Outcome.PASS),
        (["Br40d", "3"], Outcome.PASS),
        ("FC08", Outcome.PASS),
        ("SOFT", Outcome.PASS),
        ("BONEPLUS", Outcome.WARN),
        ("LUNG", Outcome.WARN),
        ("lung", Outcome.WARN),
        ("B70f", Outcome.WARN),
        (["Bl64d", "3"], Outcome.WARN),
        ("FC51", Outcome.WARN),
        ("YB", Outcome.WARN),
    ],
)
def test_sharp_kernels_are_told(chest: Volume, lungs: Lungs, kernel: str | list[str], outcome: Outcome) -> None:
    changed = with_headers(chest, lambda header, _: setattr(header, "ConvolutionKernel", kernel))
    check = checks_of(changed, lungs)["kernel"]
    assert check.outcome is outcome
    assert check.value == (kernel if isinstance(kernel, str) else "\\".join(kernel))


@pytest.mark.parametrize(
    ("age", "outcome", "years"),
    [
        ("063Y", Outcome.PASS, 63),
        ("018Y", Outcome.PASS, 18),
        ("017Y", Outcome.WARN, 17),
        ("030M", Outcome.WARN, 2.5),
        ("", Outcome.PASS, None),
        ("unknown", Outcome.PASS, None),
    ],
)
def test_children_are_outside_the_intended_use(
    chest: Volume, lungs: Lungs, age: str, outcome: Outcome, years: float | None
) -> None:
    aged = replace(chest, headers=tuple(deepcopy(header) for header in chest.headers))
    aged.headers[0]["PatientAge"] = pydicom.DataElement(0x00101010, "LO", age)
    check = checks_of(aged, lungs)["patient-age"]
    assert (check.outcome, check.value) == (outcome, years)


def test_lossy_compression_is_told_once(chest: Volume, lungs: Lungs) -> None:
    marked = with_headers(chest, lambda header, _: setattr(header, "LossyImageCompression", "01"))
    noted = replace(chest, notes=(VolumeNote("lossy-compression", "The images went through lossy compression."),))
    for volume in (marked, noted):
        quality = check_quality(NOTHING_SELECTED, volume, lungs, Settings())
        assert [check.outcome for check in quality.checks if check.code == "lossy-compression"] == [Outcome.WARN]


def test_notes_of_the_volume_become_checks(chest: Volume, lungs: Lungs) -> None:
    noted = replace(chest, notes=(VolumeNote("oblique", "The slices are turned."),))
    assert checks_of(noted, lungs)["oblique"] == Check(
        "oblique", Outcome.WARN, None, None, "", "The slices are turned."
    )


def test_a_contrast_agent_is_told_as_read(chest: Volume, lungs: Lungs) -> None:
    given = with_headers(chest, lambda header, _: setattr(header, "ContrastBolusAgent", "IV"))
    assert checks_of(given, lungs)["contrast-agent"].value == "IV"
    assert checks_of(chest, lungs)["contrast-agent"].value is None


def test_lungs_cut_off_at_an_end_are_told(chest: Volume, lungs: Lungs) -> None:
    half = slice(0, 45)
    shape = (45, *chest.array.shape[1:])
    cut = replace(chest, array=chest.array[half], geometry=replace(chest.geometry, shape=shape))
    check = checks_of(cut, replace(lungs, label_map=lungs.label_map[half]))["lungs-complete"]
    assert check.outcome is Outcome.WARN
    assert check.value == pytest.approx(np.count_nonzero(lungs.label_map[44]) * 0.9 * 0.9 / 100)
    assert "the last slice" in check.sentence


@pytest.mark.parametrize(
    ("right_litres", "left_litres", "odd"),
    [
        (2.5, 2.3, set()),
        (0.6, 0.5, {"lung-volume"}),
        (6.0, 5.0, {"lung-volume"}),
        (3.0, 0.4, {"lung-balance"}),
        (0.0, 2.5, {"lung-balance"}),
    ],
)
def test_implausible_lungs_are_told(
    chest: Volume, lungs: Lungs, right_litres: float, left_litres: float, odd: set[str]
) -> None:
    checks = checks_of(chest, replace(lungs, right_litres=right_litres, left_litres=left_litres))
    assert {code for code, check in checks.items() if check.outcome is Outcome.WARN} == odd


def test_a_volume_without_headers_is_checked_by_its_geometry(chest: Volume, lungs: Lungs) -> None:
    checks = checks_of(replace(chest, headers=()), lungs)
    assert list(checks) == CODES
    assert checks["slice-spacing"].value == 2.5
    assert checks["slice-thickness"].value is checks["kernel"].value is checks["missing-slices"].value is None


def test_no_check_tells_who_the_patient_is(tmp_path: Path) -> None:
    CTSeries().write(tmp_path)
    selection = select(tmp_path)
    volume = build_volume(selection, Settings())
    told = repr(check_quality(selection, volume, segment_lungs(volume, Settings()), Settings()))
    assert "STANDARD" in told
    assert not any(word in told for word in ("Doe", "Jane", "P1", "1950"))


@pytest.mark.real_data
class TestRealScans:
    def test_a_good_scan_passes(self, shared_data: Path) -> None:
        scan = read_scan(shared_data, "LIDC-IDRI-0001")
        quality = check_quality(scan.selection, scan.volume, scan.lungs, Settings())
        assert [check for check in quality.checks if check.outcome is not Outcome.PASS] == []
        assert {check.code: check.value for check in quality.checks}["contrast-agent"] == "IV"

    @pytest.mark.parametrize(("case", "code"), [("half-lungs", "lungs-complete"), ("thick-slices", "slice-thickness")])
    def test_the_robustness_set_is_warned_of(self, shared_data: Path, case: str, code: str) -> None:
        selection = select_series(read_instances(shared_data / "dicom-robustness" / case, Settings()), Settings())
        volume = build_volume(selection, Settings())
        quality = check_quality(selection, volume, segment_lungs(volume, Settings()), Settings())
        assert {check.code: check.outcome for check in quality.checks}[code] is not Outcome.PASS

    @pytest.mark.parametrize("round_field", [False, True])
    def test_lungs_cut_off_by_the_field_of_view_are_told(self, shared_data: Path, round_field: bool) -> None:
        scan = read_scan(shared_data, "LIDC-IDRI-0001")
        volume = padded_outside(scan.volume, 105.0) if round_field else cropped(scan.volume, 370)
        found = segment_lungs(volume, Settings())
        quality = check_quality(scan.selection, volume, found, Settings())
        (check,) = [check for check in quality.checks if check.code == "lungs-complete"]
        assert check.outcome is Outcome.WARN
        assert "field of view" in check.sentence
