"""The lungs: on real scans, on a drawn chest in every orientation, and where there are none."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import edt
import numpy as np
import numpy.typing as npt
import pytest
from drawn_chest import (
    SPACING_MM,
    TRACHEA_LPS,
    draw_chest,
    left_lung,
    reorient,
    reorient_array,
    right_lung,
    world_points,
)
from real_scans import cropped, padded_outside, read_scan

from lung_nodules.errors import ExitCode, InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.lungs import LEFT_LUNG, RIGHT_LUNG, Lungs, segment_lungs
from lung_nodules.stages.volume import Volume

SEARCHED_MM = Settings().detection.margin_mm  # candidates are looked for this far around the lungs
ORIENTATIONS = [(order, flips) for order in permutations(range(3)) for flips in product((False, True), repeat=3)]


@pytest.fixture(scope="module")
def chest() -> Volume:
    return draw_chest()


@pytest.fixture(scope="module")
def lungs(chest: Volume) -> Lungs:
    return segment_lungs(chest, Settings())


def dice(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.real_data
class TestRealScans:
    @pytest.mark.parametrize("patient", ["LIDC-IDRI-0001", "LIDC-IDRI-0003", "LIDC-IDRI-0002"])
    def test_every_annotated_nodule_lies_inside(self, shared_data: Path, patient: str) -> None:
        scan = read_scan(shared_data, patient)
        for nodule in scan.reference:
            inside = scan.lungs.label_map[scan.consensus == nodule["label"]] > 0
            assert inside.mean() >= 0.95, nodule["label"]

    @pytest.mark.parametrize("patient", ["LIDC-IDRI-0001", "LIDC-IDRI-0003"])
    def test_lungs_are_whole_and_on_their_sides(self, shared_data: Path, patient: str) -> None:
        scan = read_scan(shared_data, patient)
        label_map, geometry = scan.lungs.label_map, scan.volume.geometry
        right_x, left_x = (world_points(scan.volume, label_map == lung)[:, 0] for lung in (RIGHT_LUNG, LEFT_LUNG))
        assert right_x.mean() < left_x.mean() - 80
        assert 1.5 < scan.lungs.left_litres < scan.lungs.right_litres * 1.2 < 5
        assert scan.lungs.right_litres == pytest.approx(len(right_x) * geometry.voxel_volume_mm3 / 1e6)
        outside = label_map.copy()
        outside[scan.lungs.bounding_box] = 0
        assert not outside.any()

    def test_the_trachea_is_left_out(self, shared_data: Path) -> None:
        scan = read_scan(shared_data, "LIDC-IDRI-0003")
        for slice_index in (112, 104, 97, 90):
            row, column = (293, 259) if slice_index < 100 else (285, 259)
            lumen = (slice_index, slice(row - 2, row + 3), slice(column - 2, column + 3))
            assert scan.volume.array[lumen].mean() < -850
            assert not scan.lungs.label_map[lumen].any()

    def test_a_large_mass_on_the_chest_wall_is_kept(self, shared_data: Path) -> None:
        scan = read_scan(shared_data, "LIDC-IDRI-0001")
        label_map, spacing_mm = scan.lungs.label_map, scan.volume.geometry.spacing_mm
        center = edge_of_left_lung(label_map, slice_index=75)
        offsets = [(np.arange(n) - c) * mm for n, c, mm in zip(label_map.shape, center, spacing_mm, strict=True)]
        ball = offsets[0][:, None, None] ** 2 + offsets[1][:, None] ** 2 + offsets[2] ** 2 < 20**2
        mass = ball & (label_map == LEFT_LUNG)
        array = scan.volume.array.copy()
        array[mass] = np.maximum(array[mass], 30)
        found = segment_lungs(replace(scan.volume, array=array), Settings()).label_map
        assert (found[mass] == LEFT_LUNG).mean() > 0.8
        assert edt.edt(found == 0, anisotropy=spacing_mm)[mass].max() < SEARCHED_MM

    @pytest.mark.parametrize("round_field", [False, True])
    def test_a_field_of_view_that_cuts_the_lungs_keeps_the_rest(self, shared_data: Path, round_field: bool) -> None:
        scan = read_scan(shared_data, "LIDC-IDRI-0001")
        volume = padded_outside(scan.volume, 105.0) if round_field else cropped(scan.volume, 370)
        found = segment_lungs(volume, Settings()).label_map
        shown = scan.lungs.label_map[:, :, : volume.array.shape[2]]
        if round_field:
            shown = np.where((volume.array == -1024).all(axis=0), np.uint8(0), shown)
        for lung in (RIGHT_LUNG, LEFT_LUNG):
            assert dice(found == lung, shown == lung) > 0.95


def edge_of_left_lung(label_map: npt.NDArray[np.uint8], slice_index: int) -> tuple[int, int, int]:
    """A voxel 8 mm within the left lung's outer wall, halfway between front and back."""
    rows = np.flatnonzero((label_map[slice_index] == LEFT_LUNG).any(axis=1))
    row = int(np.median(rows))
    column = int(np.flatnonzero(label_map[slice_index, row] == LEFT_LUNG).max())
    return slice_index, row, column - 11


class TestDrawnChest:
    def test_both_lungs_are_found_and_told_apart_where_they_touch(self, chest: Volume, lungs: Lungs) -> None:
        x, y, z = np.moveaxis(chest.geometry.to_world(np.moveaxis(np.indices(chest.array.shape), 0, -1)), -1, 0)
        assert dice(lungs.label_map == RIGHT_LUNG, right_lung(x, y, z)) > 0.95
        assert dice(lungs.label_map == LEFT_LUNG, left_lung(x, y, z)) > 0.95

    def test_trachea_bowel_and_table_are_left_out(self, chest: Volume, lungs: Lungs) -> None:
        trachea = tuple(np.rint(chest.geometry.to_index(TRACHEA_LPS)).astype(int))
        bowel = tuple(np.rint(chest.geometry.to_index((50.0, -40.0, -105.0))).astype(int))
        assert lungs.label_map[trachea] == lungs.label_map[bowel] == 0
        assert world_points(chest, lungs.label_map > 0)[:, 1].max() < 105

    @pytest.mark.parametrize(("order", "flips"), ORIENTATIONS[::5])
    def test_orientation_does_not_matter(
        self, chest: Volume, lungs: Lungs, order: tuple[int, int, int], flips: tuple[bool, bool, bool]
    ) -> None:
        turned = reorient(chest, order, flips)
        found = segment_lungs(turned, Settings())
        assert np.array_equal(found.label_map, reorient_array(lungs.label_map, order, flips))
        assert found.right_litres == pytest.approx(lungs.right_litres)

    def test_padding_around_a_round_field_of_view_changes_nothing(self, chest: Volume, lungs: Lungs) -> None:
        x, y, _ = np.moveaxis(chest.geometry.to_world(np.moveaxis(np.indices(chest.array.shape), 0, -1)), -1, 0)
        padded = replace(chest, array=np.where(np.hypot(x, y) > 165, np.int16(-1024), chest.array))
        found = segment_lungs(padded, Settings())
        assert dice(found.label_map > 0, lungs.label_map > 0) > 0.99

    def test_a_nodule_on_the_pleura_stays_inside(self, chest: Volume) -> None:
        points = chest.geometry.to_world(np.moveaxis(np.indices(chest.array.shape), 0, -1))
        nodule = (np.linalg.norm(points - (-130.0, 0.0, 20.0), axis=-1) < 8) & (chest.array < -700)
        array = chest.array.copy()
        array[nodule] = 40
        found = segment_lungs(replace(chest, array=array), Settings())
        assert nodule.sum() > 20
        assert (found.label_map[nodule] == RIGHT_LUNG).mean() > 0.75
        assert edt.edt(found.label_map == 0, anisotropy=chest.geometry.spacing_mm)[nodule].max() <= 5

    def test_one_lung_alone_keeps_its_side(self, chest: Volume) -> None:
        x, y, z = np.moveaxis(chest.geometry.to_world(np.moveaxis(np.indices(chest.array.shape), 0, -1)), -1, 0)
        array = np.where(right_lung(x, y, z), np.int16(40), chest.array)
        found = segment_lungs(replace(chest, array=array), Settings())
        assert found.right_litres == 0
        assert found.left_litres > 1

    def test_thick_slices_and_fine_pixels_are_read(self, chest: Volume, lungs: Lungs) -> None:
        array = np.ascontiguousarray(chest.array[1::3].repeat(2, axis=1).repeat(2, axis=2))
        geometry = replace(
            chest.geometry, shape=array.shape, spacing_mm=(3 * SPACING_MM, SPACING_MM / 2, SPACING_MM / 2)
        )
        found = segment_lungs(Volume(array, geometry), Settings())
        assert found.right_litres == pytest.approx(lungs.right_litres, rel=0.05)
        assert found.left_litres == pytest.approx(lungs.left_litres, rel=0.05)


@pytest.mark.parametrize("gas_radius_mm", [20.0, 60.0])
def test_a_body_with_gas_and_no_lungs_is_refused(gas_radius_mm: float) -> None:
    with pytest.raises(InputRefusal, match=r"less than 0\.3 litres of lung") as refused:
        segment_lungs(draw_chest(lungs=False, gas_radius_mm=gas_radius_mm), Settings())
    assert refused.value.code == "no-lungs"
    assert refused.value.exit_code == ExitCode.NO_USABLE_CT


@pytest.mark.parametrize("hu", [-1000, 40])
def test_an_empty_volume_is_refused(chest: Volume, hu: int) -> None:
    with pytest.raises(InputRefusal, match="litres of lung"):
        segment_lungs(replace(chest, array=np.full_like(chest.array, hu)), Settings())
