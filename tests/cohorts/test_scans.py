"""Whole scans with reference nodules: the table, and the label map on the CT's own grid."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk  # noqa: N813  # its own documentation's name

from lung_nodules.cohorts.scans import (
    ReferenceNodule,
    ReferenceScan,
    read_reference_ct,
    read_reference_labels,
    read_reference_scans,
)
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


SHAPE = (3, 4, 5)
GRID = Geometry((-7.0, 8.0, 9.0), (2.0, 1.0, 0.5), ((0, 0, 1), (0, 1, 0), (1, 0, 0)), SHAPE)
NODULE = {"label": 1, "readers": 3, "centroid_lps_mm": [-6.0, 9.0, 11.0], "equivalent_sphere_diameter_mm": 4.0}


def write_table(folder: Path, entry: object) -> Path:
    (folder / "reference.json").write_text(json.dumps({"scans": {"SECRET": entry}}), encoding="utf-8")
    return folder


def write_mask(path: Path, labels: npt.NDArray[np.uint8], origin_lps: tuple[float, ...] = GRID.origin_lps) -> None:
    image = sitk.GetImageFromArray(labels)
    image.SetOrigin(origin_lps)
    image.SetSpacing(GRID.spacing_mm[::-1])
    sitk.WriteImage(image, str(path))


def refusal_of(read: Callable[[], object]) -> InputRefusal:
    with pytest.raises(InputRefusal) as refused:
        read()
    assert "SECRET" not in str(refused.value)
    return refused.value


class TestTable:
    def test_what_may_be_missing_is_missing(self, tmp_path: Path) -> None:
        (scan,) = read_reference_scans(write_table(tmp_path, {"folder": "a.mhd", "nodules": [NODULE]}))
        assert (scan.folder, scan.mask) == (tmp_path / "a.mhd", None)
        assert scan.small_nodules_lps == scan.non_nodules_lps == ()
        assert scan.nodules == (ReferenceNodule(1, 3, (-6.0, 9.0, 11.0), None, 4.0, ()),)

    def test_a_diameter_may_be_null_and_a_reader_may_not_have_rated(self, tmp_path: Path) -> None:
        readers = [{"ratings": {"malignancy": 4}}, {"ratings": {"malignancy": None}}, {"ratings": {}}, {}]
        nodule = {**NODULE, "longest_axial_diameter_mm": None, "reader_ratings": readers}
        (scan,) = read_reference_scans(write_table(tmp_path, {"folder": "a", "nodules": [nodule]}))
        assert (scan.nodules[0].long_axis_mm, scan.nodules[0].malignancy_ratings) == (None, (4.0,))

    def test_a_byte_order_mark_is_passed_over(self, tmp_path: Path) -> None:
        (tmp_path / "reference.json").write_text('{"scans": {}}', encoding="utf-8-sig")
        assert read_reference_scans(tmp_path) == ()

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("{", "reference.json cannot be read as JSON."),
            ("", "reference.json cannot be read as JSON."),
            ("{}", "reference.json has no scans by their names."),
            ("[]", "reference.json has no scans by their names."),
            ('{"scans": []}', "reference.json has no scans by their names."),
        ],
    )
    def test_a_table_that_is_none_is_refused(self, tmp_path: Path, text: str, sentence: str) -> None:
        (tmp_path / "reference.json").write_text(text, encoding="utf-8")
        refusal = refusal_of(lambda: read_reference_scans(tmp_path))
        assert (refusal.code, refusal.sentence) == ("bad-reference", sentence)

    @pytest.mark.parametrize(
        ("entry", "fields"),
        [
            (None, "the whole"),
            ({"nodules": []}, "folder"),
            ({"folder": "a"}, "nodules"),
            ({"folder": "a", "nodules": [{**NODULE, "readers": "SECRET"}]}, "nodules.0.readers"),
            ({"folder": "a", "nodules": [NODULE, {**NODULE, "label": 0}]}, "nodules.1.label"),
            ({"folder": "a", "nodules": [{**NODULE, "centroid_lps_mm": [1, 2]}]}, "nodules.0.centroid_lps_mm.2"),
            (
                {"folder": "a", "nodules": [{**NODULE, "equivalent_sphere_diameter_mm": float("nan")}]},
                "nodules.0.equivalent_sphere_diameter_mm",
            ),
            ({"folder": "a", "nodules": [], "non_nodules": [{}]}, "non_nodules.0.lps_mm"),
        ],
    )
    def test_an_entry_that_cannot_be_read_is_named_by_number_and_field(
        self, tmp_path: Path, entry: object, fields: str
    ) -> None:
        refusal = refusal_of(lambda: read_reference_scans(write_table(tmp_path, entry)))
        sentence = f"Scan 1 of reference.json cannot be read; missing or of the wrong kind: {fields}."
        assert (refusal.code, refusal.sentence) == ("bad-reference", sentence)

    def test_a_ct_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        (scan,) = read_reference_scans(write_table(tmp_path, {"folder": "site/ct", "nodules": []}))
        refusal = refusal_of(lambda: read_reference_ct(scan, Settings()))
        assert refusal.code == "bad-reference"
        assert refusal.sentence == f"reference.json names {tmp_path / 'site' / 'ct'}, which does not exist."


class TestMask:
    @pytest.fixture
    def labels(self) -> npt.NDArray[np.uint8]:
        labels = np.zeros(SHAPE, np.uint8)
        labels[1, 1:3, 2:] = 1
        return labels

    @pytest.fixture
    def scan(self, tmp_path: Path) -> ReferenceScan:
        entry = {"folder": "ct", "consensus_mask": "m.nii.gz", "nodules": [NODULE]}
        return read_reference_scans(write_table(tmp_path, entry))[0]

    def test_a_mask_on_the_grid_is_read(self, scan: ReferenceScan, labels: npt.NDArray[np.uint8]) -> None:
        assert scan.mask
        write_mask(scan.mask, labels)
        assert np.array_equal(read_reference_labels(scan, GRID), labels)

    def test_its_axes_may_run_in_another_order(self, scan: ReferenceScan, labels: npt.NDArray[np.uint8]) -> None:
        assert scan.mask
        write_mask(scan.mask, labels)
        turned = sitk.Flip(sitk.PermuteAxes(sitk.ReadImage(str(scan.mask)), [2, 0, 1]), [True, False, True])
        sitk.WriteImage(turned, str(scan.mask))
        assert np.array_equal(read_reference_labels(scan, GRID), labels)

    @pytest.mark.parametrize("shift_mm", [(50.0, 0.0, 0.0), (0.5, 0.0, 0.0), (0.0, 0.0, 0.4), (0.0, 1.0, 0.0)])
    def test_one_that_lies_beside_it_is_refused(
        self, scan: ReferenceScan, labels: npt.NDArray[np.uint8], shift_mm: tuple[float, ...]
    ) -> None:
        assert scan.mask
        write_mask(scan.mask, labels, tuple(np.add(GRID.origin_lps, shift_mm)))
        refusal = refusal_of(lambda: read_reference_labels(scan, GRID))
        assert refusal.code == "mask-off-grid"
        assert refusal.sentence == f"The consensus mask {scan.mask} does not lie on the grid of its CT."

    def test_so_is_one_of_another_size(self, scan: ReferenceScan, labels: npt.NDArray[np.uint8]) -> None:
        assert scan.mask
        write_mask(scan.mask, labels[:2])
        assert refusal_of(lambda: read_reference_labels(scan, GRID)).code == "mask-off-grid"

    def test_one_that_lacks_a_nodule_is_refused(self, scan: ReferenceScan, labels: npt.NDArray[np.uint8]) -> None:
        assert scan.mask
        write_mask(scan.mask, 2 * labels)
        refusal = refusal_of(lambda: read_reference_labels(scan, GRID))
        assert refusal.code == "bad-reference"
        assert refusal.sentence == f"The consensus mask {scan.mask} has no voxel of label 1."

    @pytest.mark.parametrize("content", [None, b"no image"])
    def test_one_that_is_named_and_cannot_be_read_is_refused(self, scan: ReferenceScan, content: bytes | None) -> None:
        assert scan.mask
        if content:
            scan.mask.write_bytes(content)
        refusal = refusal_of(lambda: read_reference_labels(scan, GRID))
        assert refusal.code == "bad-reference"
        assert refusal.sentence == f"The consensus mask {scan.mask} is missing or unreadable."


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
