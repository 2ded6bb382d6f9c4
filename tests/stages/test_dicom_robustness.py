"""The robustness set: 95 hard inputs, real and synthetic, and what a reader must make of each.

The set's README tells how its manifest is to be read.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shared_folder import SHARED_DATA

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.pixels import read_hu
from lung_nodules.stages.series import select_series
from lung_nodules.stages.volume import Volume, build_volume

MANIFEST = SHARED_DATA / "dicom-robustness" / "manifest.json"
CASES = json.loads(MANIFEST.read_text(encoding="utf-8"))["cases"] if MANIFEST.is_file() else []

# the warning of these is that of a later stage: the door reads them, `quality` warns
WARNED_OF_LATER = {
    "thick-slices": "a check on slice thickness",
    "half-lungs": "needs the lungs' outline, to see that they are cut off",
}

pytestmark = pytest.mark.real_data


@dataclass(frozen=True)
class Result:
    """What the door made of a case."""

    outcome: str  # "read" or "refuse"
    codes: frozenset[str]  # the refusal's, or everything noted while reading
    volume: Volume | None = None
    series_instance_uid: str = ""


def at_the_door(folder: Path) -> Result:
    try:
        instances = read_instances(folder, Settings())
        selection = select_series(instances, Settings())
        volume = build_volume(selection, Settings())
    except InputRefusal as refusal:
        return Result("refuse", frozenset({refusal.code}))
    noted = [*volume.notes, *selection.considered, *selection.passed_over]
    return Result("read", frozenset(each.code for each in noted), volume, selection.series_instance_uid)


def test_the_set_is_complete(shared_data: Path) -> None:
    assert len(CASES) == 95


@pytest.mark.parametrize("case", CASES, ids=[case["folder"] for case in CASES])
def test_case(case: dict[str, Any], shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "input"
    shutil.copytree(shared_data / "dicom-robustness" / case["folder"], folder, symlinks=True)
    apply_setup(folder, case.get("setup", []))
    result = at_the_door(folder)
    assert is_accepted(result, case), f"{result.outcome} {sorted(result.codes)}"
    if result.volume is not None:
        check_volume(result.volume, case["expectation"], result.series_instance_uid)


@pytest.mark.parametrize("name", ["real-transfer-syntaxes"])
def test_files_decode_to_the_values_given(name: str, shared_data: Path) -> None:
    (case,) = [case for case in CASES if case["folder"] == name]
    assert len(case["decode"]) == 7
    for expected in case["decode"]:
        path = shared_data / "dicom-robustness" / name / expected["file"]
        (instance,) = read_instances(path, Settings()).found
        (plane,) = read_hu([instance], Settings())
        assert plane.shape == tuple(expected["shape_yx"])
        tolerance = expected["tolerance_hu"] + 0.5  # rounded to whole HU
        assert plane.max() == pytest.approx(expected["hu_max"], abs=tolerance)
        assert plane.min() == -1024
        for row, column, hu in expected["hu_at_row_col"]:
            assert plane[row, column] == pytest.approx(hu, abs=tolerance), expected["file"]


def apply_setup(folder: Path, steps: list[dict[str, Any]]) -> None:
    """Do what must be done to a copy of the folder before it is read; after the set's README."""
    for step in steps:
        if step["op"] == "rename":
            (folder / step["from"]).rename(folder / step["to"])
        elif step["op"] == "symlink":
            (folder / step["path"]).symlink_to(step["target"])
        else:
            files = list(folder.iterdir())
            deep = folder.joinpath(*[step["name"]] * step["levels"])
            deep.mkdir(parents=True)
            for file in files:
                file.rename(deep / file.name)


def is_accepted(result: Result, case: dict[str, Any]) -> bool:
    """Tell whether the outcome is the expected one or one of those that are right too."""
    expectation = case["expectation"]
    if result.outcome == "refuse" and expectation.get("any_coded_reason") and expectation["outcome"] == "refuse":
        return True
    for accepted in (expectation, *expectation.get("also_acceptable", [])):
        reason = accepted.get("reason")
        if accepted["outcome"] == result.outcome and (result.outcome == "read" or reason in result.codes):
            return True
        is_warned_of = reason is None or reason in result.codes or case["folder"] in WARNED_OF_LATER
        if accepted["outcome"] == "read-with-warning" and result.outcome == "read" and is_warned_of:
            return True
    return False


def check_volume(volume: Volume, expectation: dict[str, Any], series_instance_uid: str) -> None:
    """Hold a volume against the beads, points and geometry that are expected."""
    expected = expectation.get("volume") or expectation.get("volumes_by_series", {}).get(series_instance_uid)
    assert expected is not None, "a volume was read where none is described"
    tolerance = expected["tolerance"]
    if "shape_zyx" in expected:
        assert volume.geometry.shape == tuple(expected["shape_zyx"])
        np.testing.assert_allclose(volume.geometry.spacing_mm, expected["spacing_mm_zyx"], atol=tolerance["spacing_mm"])
        affine = volume.geometry.affine[:, [2, 1, 0, 3]]
        np.testing.assert_allclose(affine, expected["affine_colrowslice_to_lps_mm"], atol=0.05)
    for bead in expected.get("beads", []):
        np.testing.assert_allclose(bead_center(volume, bead), bead["centre_lps_mm"], atol=tolerance["mm"])
    assert not points_that_differ(volume, expected.get("hu_points", []), tolerance["hu"])
    sets = expectation.get("hu_sets", {}).get("sets", [])
    assert not sets or any(not points_that_differ(volume, points, tolerance["hu"]) for points in sets)
    if "patient_name" in expectation:
        name = expectation["patient_name"]
        shown = str(volume.headers[0].PatientName)
        assert shown == name if isinstance(name, str) else shown in name.values()


def bead_center(volume: Volume, bead: dict[str, Any]) -> Any:
    """Centroid of a bead as the README defines it, LPS mm."""
    points = volume.geometry.to_world(np.moveaxis(np.indices(volume.array.shape), 0, -1))
    weights = np.clip((volume.array + 1000.0) / (bead["hu"] + 1000.0), 0, 1)
    weights[np.linalg.norm(points - bead["centre_lps_mm"], axis=-1) > 19] = 0
    return (points * weights[..., None]).sum(axis=(0, 1, 2)) / weights.sum()


def points_that_differ(volume: Volume, points: list[dict[str, Any]], tolerance_hu: float) -> list[str]:
    """Name the points at which the nearest voxel has not the value expected."""
    differing = []
    for point in points:
        hu = volume.array[tuple(np.rint(volume.geometry.to_index(point["lps_mm"])).astype(int))]
        is_too_high = "hu_max" in point and hu > point["hu_max"]
        if is_too_high or ("hu" in point and abs(hu - point["hu"]) > point.get("tolerance_hu", tolerance_hu)):
            differing.append(f"{point.get('what')}: {hu}")
    return differing
