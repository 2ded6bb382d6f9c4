"""Whole scans with reference nodules: the table, and the label map on the CT's own grid."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from lung_nodules.cohorts.scans import ReferenceScan, read_reference_labels, read_reference_scans
from lung_nodules.errors import ExitCode, InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import select_series
from lung_nodules.stages.stack import arrange_slices
from lung_nodules.stages.volume import Geometry

PATIENT = "LIDC-IDRI-0003"


def test_a_folder_without_a_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefusal, match=r"holds no reference\.json") as refused:
        read_reference_scans(tmp_path)
    assert refused.value.code == "no-reference"
    assert refused.value.exit_code == ExitCode.NO_USABLE_CT


def test_a_scan_without_nodules_has_no_mask_and_no_labels(tmp_path: Path) -> None:
    table = {"scans": {"P": {"folder": "P", "consensus_mask": None, "nodules": []}}}
    (tmp_path / "reference.json").write_text(json.dumps(table), encoding="utf-8")
    (scan,) = read_reference_scans(tmp_path)
    assert scan == ReferenceScan("P", tmp_path / "P", None, (), ())
    geometry = Geometry((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), ((0, 0, 1), (0, 1, 0), (1, 0, 0)), (3, 4, 5))
    labels = read_reference_labels(scan, geometry)
    assert labels.shape == (3, 4, 5)
    assert not labels.any()


@pytest.fixture(scope="module")
def scan(shared_data: Path) -> ReferenceScan:
    return {scan.patient_id: scan for scan in read_reference_scans(shared_data / "lidc-scans")}[PATIENT]


@pytest.fixture(scope="module")
def entry(shared_data: Path) -> dict[str, Any]:
    table = json.loads((shared_data / "lidc-scans" / "reference.json").read_text(encoding="utf-8"))
    return dict(table["scans"][PATIENT])


@pytest.fixture(scope="module")
def geometry(scan: ReferenceScan) -> Geometry:
    selection = select_series(read_instances(scan.folder, Settings()), Settings())
    return arrange_slices(selection.instances, Settings()).geometry


@pytest.mark.real_data
class TestRealScan:
    @staticmethod
    def assert_matches(labels: npt.NDArray[np.uint16], geometry: Geometry, entry: dict[str, Any]) -> None:
        for nodule in entry["nodules"]:
            places = np.argwhere(labels == nodule["label"])
            assert len(places) == nodule["voxels"]
            center_lps = geometry.to_world(places).mean(axis=0)
            np.testing.assert_allclose(center_lps, nodule["centroid_lps_mm"], atol=0.01)

    def test_the_label_map_lies_where_the_reference_says(
        self, scan: ReferenceScan, geometry: Geometry, entry: dict[str, Any]
    ) -> None:
        labels = read_reference_labels(scan, geometry)
        assert labels.shape == geometry.shape
        assert labels.dtype == np.uint16
        assert np.unique(labels).tolist() == [0, 1, 2, 3, 4]
        self.assert_matches(labels, geometry, entry)

    def test_it_follows_the_grid_when_rows_and_slices_run_the_other_way(
        self, scan: ReferenceScan, geometry: Geometry, entry: dict[str, Any]
    ) -> None:
        slices, rows, _ = geometry.shape
        slice_way, row_way, column_way = np.asarray(geometry.direction)
        turned = replace(
            geometry,
            origin_lps=tuple(geometry.to_world((slices - 1, rows - 1, 0)).tolist()),
            direction=tuple(tuple(way.tolist()) for way in (-slice_way, -row_way, column_way)),
        )
        labels = read_reference_labels(scan, turned)
        self.assert_matches(labels, turned, entry)
        assert np.array_equal(labels, read_reference_labels(scan, geometry)[::-1, ::-1])

    def test_nodules_are_read_as_written(self, scan: ReferenceScan, entry: dict[str, Any]) -> None:
        assert [nodule.num_readers for nodule in scan.nodules] == [4, 4, 4, 1]
        assert len(scan.nodules[0].malignancy_ratings) == 4
        assert scan.nodules[3].malignancy_ratings == (2.0,)
        for nodule, written in zip(scan.nodules, entry["nodules"], strict=True):
            assert nodule.center_lps == tuple(written["centroid_lps_mm"])
            assert nodule.long_axis_mm == written["longest_axial_diameter_mm"]
            assert nodule.equivalent_sphere_diameter_mm == written["equivalent_sphere_diameter_mm"]

    def test_small_nodules_are_marks(self, shared_data: Path) -> None:
        scans = {scan.patient_id: scan for scan in read_reference_scans(shared_data / "lidc-scans")}
        assert [len(scans[patient].small_nodules_lps) for patient in ("LIDC-IDRI-0001", PATIENT)] == [9, 0]
        assert scans["LIDC-IDRI-0001"].small_nodules_lps[0] == (-34.516, -54.981, -150.0)
