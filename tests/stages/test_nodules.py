"""Measurements: the published ones of real nodules, shapes whose measures are known, and turned grids."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from drawn_chest import reorient, reorient_array
from hypothesis import given, settings
from hypothesis import strategies as st
from real_scans import outlines_of, read_scan

from lung_nodules.settings import Settings
from lung_nodules.stages.diameters import measure_diameters
from lung_nodules.stages.features import measure_features
from lung_nodules.stages.lungs import LEFT_LUNG, RIGHT_LUNG, Lungs
from lung_nodules.stages.nodules import Nodule, measure_nodules
from lung_nodules.stages.volume import Geometry, Volume

SHAPE = (10, 24, 28)
SPACING_MM = (1.5, 0.8, 0.7)
TURNS = [(order, flips) for order in ((0, 1, 2), (0, 2, 1)) for flips in product((False, True), repeat=3)]
Mask = npt.NDArray[np.bool_]


def tilted_geometry(spacing_mm: tuple[float, float, float] = SPACING_MM) -> Geometry:
    """A grid that lies along none of the patient's axes."""
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    nod = np.array([[1, 0, 0], [0, np.cos(0.1), -np.sin(0.1)], [0, np.sin(0.1), np.cos(0.1)]])
    direction = tuple(tuple(float(v) for v in turn @ nod @ axis) for axis in np.eye(3)[::-1])
    return Geometry((-40.0, 12.0, -300.0), spacing_mm, direction, SHAPE, "1.2", tuple(f"1.2.{k}" for k in range(10)))


def some_volume(geometry: Geometry, seed: int = 0) -> Volume:
    hu = np.random.default_rng(seed).integers(-900, 200, SHAPE).astype(np.int16)
    return Volume(hu, geometry)


def some_mask(seed: int) -> Mask:
    """A few overlapping boxes, at times a single voxel."""
    random = np.random.default_rng(seed)
    mask = np.zeros(SHAPE, bool)
    corner = [int(random.integers(0, length - 1)) for length in SHAPE]
    for _ in range(int(random.integers(1, 5))):
        size = random.integers(1, 6, 3)
        mask[tuple(slice(c, c + n) for c, n in zip(corner, size, strict=True))] = True
        corner = [
            min(length - 1, c + int(random.integers(0, n + 1)))
            for c, n, length in zip(corner, size, SHAPE, strict=True)
        ]
    return mask


def no_lungs(shape: tuple[int, ...] = SHAPE) -> Lungs:
    return Lungs(np.zeros(shape, np.uint8), 0.0, 0.0, (slice(0, 1),) * 3)


def measure(volume: Volume, mask: Mask, lungs: Lungs | None = None) -> Nodule:
    outlines = outlines_of(mask.astype(np.uint16))
    (nodule,) = measure_nodules(volume, lungs or no_lungs(mask.shape), outlines, Settings())
    return nodule


@pytest.mark.real_data
@pytest.mark.parametrize("patient", ["LIDC-IDRI-0001", "LIDC-IDRI-0003"])
def test_the_published_measures_of_real_nodules_are_reproduced(shared_data: Path, patient: str) -> None:
    scan = read_scan(shared_data, patient)
    nodules = measure_nodules(scan.volume, scan.lungs, scan.outlines, Settings())
    assert [nodule.label for nodule in nodules] == [reference["label"] for reference in scan.reference]
    for nodule, reference in zip(nodules, scan.reference, strict=True):
        assert nodule.long_axis_mm == pytest.approx(reference["longest_axial_diameter_mm"], abs=0.006)
        assert nodule.short_axis_mm == pytest.approx(reference["perpendicular_axial_diameter_mm"], abs=0.006)
        assert nodule.long_axis_slice == reference["longest_axial_diameter_slice"]
        assert nodule.volume_mm3 == pytest.approx(reference["volume_mm3"], abs=0.006)
        assert nodule.equivalent_sphere_diameter_mm == pytest.approx(
            reference["equivalent_sphere_diameter_mm"], abs=0.006
        )
        assert nodule.center_lps == pytest.approx(reference["centroid_lps_mm"], abs=0.005)
        assert nodule.center_ijk[::-1] == pytest.approx(reference["centroid_ijk"], abs=0.006)
        assert nodule.mean_hu == pytest.approx(reference["mean_hu"], abs=0.06)
        assert nodule.side == ("left" if reference["centroid_lps_mm"][0] > 0 else "right")


@pytest.mark.real_data
def test_the_key_slice_of_a_real_nodule_is_named_as_the_ct_names_it(shared_data: Path) -> None:
    scan = read_scan(shared_data, "LIDC-IDRI-0001")
    (nodule,) = measure_nodules(scan.volume, scan.lungs, scan.outlines, Settings())
    areas = (scan.consensus > 0).sum(axis=(1, 2))
    header = scan.volume.headers[nodule.key_slice]
    assert areas[nodule.key_slice] == areas.max()
    assert (nodule.key_sop_instance_uid, nodule.key_instance_number) == (header.SOPInstanceUID, header.InstanceNumber)
    assert header.ImagePositionPatient[2] == pytest.approx(
        scan.volume.geometry.to_world((nodule.key_slice, 0, 0))[2], abs=0.01
    )


@pytest.mark.real_data
def test_the_texture_that_readers_saw_is_the_density(shared_data: Path) -> None:
    scan = read_scan(shared_data, "LIDC-IDRI-0003")
    nodules = measure_nodules(scan.volume, scan.lungs, scan.outlines, Settings())
    assert [nodule.density for nodule in nodules] == ["solid", "solid", "solid", "ground-glass"]


class TestDiameters:
    def test_a_single_voxel_is_as_large_as_its_pixel(self) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[4, 5, 6] = True
        diameters = measure_diameters(mask, SPACING_MM)
        assert (diameters.long_axis_mm, diameters.short_axis_mm) == pytest.approx((0.8, 0.7))
        assert diameters.slice_index == 4

    def test_a_row_of_pixels_is_measured_from_edge_to_edge(self) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[3, 7, 2:12] = True
        diameters = measure_diameters(mask, SPACING_MM)
        assert (diameters.long_axis_mm, diameters.short_axis_mm) == pytest.approx((10 * 0.7, 0.8))
        assert diameters.long_axis_ends_ijk == pytest.approx(np.array([[3, 7, 1.5], [3, 7, 11.5]]))
        assert diameters.short_axis_ends_ijk == pytest.approx(np.array([[3, 7.5, 6.5], [3, 6.5, 6.5]]))

    def test_the_longest_slice_counts_and_not_the_largest(self) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[2, 4:10, 4:10] = True
        mask[3, 5, 2:20] = True
        assert measure_diameters(mask, (1.0, 1.0, 1.0)).slice_index == 3
        assert measure(some_volume(tilted_geometry()), mask).key_slice == 2

    @pytest.mark.parametrize("radius_mm", [3.0, 8.0, 20.0])
    def test_a_ball_has_its_diameter(self, radius_mm: float) -> None:
        axis = np.arange(-25, 25.5, 0.5)
        ball = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 < radius_mm**2
        diameters = measure_diameters(ball, (0.5, 0.5, 0.5))
        assert diameters.long_axis_mm == pytest.approx(2 * radius_mm, abs=0.6)
        assert diameters.mean_mm == pytest.approx(2 * radius_mm, abs=0.6)

    def test_an_empty_mask_has_none(self) -> None:
        with pytest.raises(ValueError, match="empty mask"):
            measure_diameters(np.zeros(SHAPE, bool), SPACING_MM)


class TestProperties:
    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 10_000), turn=st.sampled_from(TURNS))
    def test_how_the_grid_is_stored_does_not_matter(
        self, seed: int, turn: tuple[tuple[int, int, int], tuple[bool, bool, bool]]
    ) -> None:
        volume, mask = some_volume(tilted_geometry(), seed), some_mask(seed)
        turned = measure(reorient(volume, *turn), reorient_array(mask, *turn))
        nodule = measure(volume, mask)
        for name in ("long_axis_mm", "short_axis_mm", "mean_diameter_mm", "volume_mm3", "center_lps", "mean_hu"):
            assert getattr(turned, name) == pytest.approx(getattr(nodule, name), abs=1e-6), name
        assert turned.density == nodule.density
        for name, value in nodule.features.items():
            tolerance = 0.02 if name in ("sphericity", "compactness", "surface_to_volume") else 1e-6
            assert turned.features[name] == pytest.approx(value, rel=tolerance, abs=1e-6), name

    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 10_000), factor=st.floats(0.4, 3.0))
    def test_lengths_grow_with_the_spacing(self, seed: int, factor: float) -> None:
        mask = some_mask(seed)
        nodule = measure(some_volume(tilted_geometry()), mask)
        grown_mm = (SPACING_MM[0] * factor, SPACING_MM[1] * factor, SPACING_MM[2] * factor)
        grown = measure(some_volume(tilted_geometry(grown_mm)), mask)
        assert grown.volume_mm3 == pytest.approx(factor**3 * nodule.volume_mm3)
        for name in ("long_axis_mm", "short_axis_mm", "equivalent_sphere_diameter_mm"):
            assert getattr(grown, name) == pytest.approx(factor * getattr(nodule, name)), name
        for name in ("elongation", "flatness", "sphericity", "mean_hu"):
            assert grown.features[name] == pytest.approx(nodule.features[name], rel=1e-4), name

    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 10_000))
    def test_axes_are_where_they_say(self, seed: int) -> None:
        nodule = measure(some_volume(tilted_geometry()), some_mask(seed))
        long, short = (np.subtract(*ends) for ends in (nodule.long_axis_ends_lps, nodule.short_axis_ends_lps))
        assert np.linalg.norm(long) == pytest.approx(nodule.long_axis_mm)
        assert np.linalg.norm(short) == pytest.approx(nodule.short_axis_mm)
        assert long @ short == pytest.approx(0, abs=1e-6)
        ends = tilted_geometry().to_index((*nodule.long_axis_ends_lps, *nodule.short_axis_ends_lps))
        assert ends[:, 0] == pytest.approx(nodule.long_axis_slice)
        assert nodule.short_axis_mm <= nodule.long_axis_mm + 1e-6

    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 10_000))
    def test_a_crop_that_ends_with_the_nodule_gives_the_same_features(self, seed: int) -> None:
        volume, mask = some_volume(tilted_geometry(), seed), some_mask(seed)
        slices = np.flatnonzero(mask.any(axis=(1, 2)))
        crop = slice(slices[0], slices[-1] + 1)
        features = measure_features(volume.array, mask, SPACING_MM)
        assert measure_features(volume.array[crop], mask[crop], SPACING_MM) == pytest.approx(features)
        assert all(np.isfinite(value) for value in features.values())


class TestFeatures:
    def test_a_crop_that_is_all_nodule_has_finite_features(self) -> None:
        for shape in ((1, 1, 1), (1, 3, 1), (3, 4, 5)):
            features = measure_features(np.full(shape, 35, np.int16), np.ones(shape, bool), (2.5, 0.7, 0.7))
            assert all(np.isfinite(value) for value in features.values())
            assert (features["shell_mean_hu"], features["margin_sharpness"], features["std_hu"]) == (35, 0, 0)

    def test_a_ball_is_rounder_than_a_rod(self) -> None:
        axis = np.arange(-12, 13)
        ball = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2 <= 10**2
        rod = (axis[:, None, None] ** 2 + axis[:, None] ** 2 <= 3**2) & (np.abs(axis) <= 11)
        round_one, long_one = (measure_features(np.zeros(m.shape), m, (1.0, 1.0, 1.0)) for m in (ball, rod))
        assert round_one["elongation"] == pytest.approx(1)
        assert round_one["flatness"] == pytest.approx(1)
        assert 0.9 < round_one["sphericity"] <= 1
        assert long_one["sphericity"] < 0.8
        assert long_one["elongation"] < 0.3
        assert round_one["surface_to_volume"] == pytest.approx(3 / 10, rel=0.15)  # voxel stairs

    def test_densities_are_those_of_the_mask_and_its_surroundings(self) -> None:
        mask = np.zeros((3, 30, 30), bool)
        mask[1, 10:20, 10:20] = True
        hu = np.where(mask, 40, -850).astype(np.int16)
        hu[1, 12:14, 12:14] = 300
        hu[1, 16, 16] = -80
        hu[0], hu[2] = 1000, 1000  # another slice is not the shell
        features = measure_features(hu, mask, (1.0, 1.0, 1.0))
        assert features["shell_mean_hu"] == -850
        assert features["shell_std_hu"] == 0
        assert features["max_hu"] == 300
        assert features["calcium_share"] == pytest.approx(0.04)
        assert features["fat_share"] == pytest.approx(0.01)
        assert features["solid_share"] == 1
        assert features["log_volume"] == pytest.approx(np.log(100))

    def test_a_blurred_margin_is_less_sharp(self) -> None:
        distance = np.hypot(*np.ogrid[-20:21, -20:21])[None]
        mask = distance < 8
        sharp, blurred = (
            measure_features(np.clip(40 - (distance - 8) * slope, -850, 40), mask, (1.0, 1.0, 1.0))["margin_sharpness"]
            for slope in (800.0, 100.0)
        )
        assert sharp > 2 * blurred > 0


class TestNodules:
    def test_labels_without_a_voxel_are_left_out_and_the_others_keep_their_scores(self) -> None:
        label_map = np.zeros(SHAPE, np.uint16)
        label_map[2, 3, 3], label_map[5, 9:12, 9:12] = 1, 3
        nodules = measure_nodules(some_volume(tilted_geometry()), no_lungs(), outlines_of(label_map), Settings())
        assert [(nodule.label, nodule.candidate_score) for nodule in nodules] == [(1, 1.0), (3, 1 / 3)]
        assert nodules[1].key_sop_instance_uid == "1.2.5"

    def test_touching_nodules_are_measured_apart(self) -> None:
        label_map = np.zeros(SHAPE, np.uint16)
        label_map[4, 5:10, 5:10], label_map[4, 5:10, 10:15] = 1, 2
        volume = some_volume(tilted_geometry())
        first, second = measure_nodules(volume, no_lungs(), outlines_of(label_map), Settings())
        assert first.volume_mm3 == second.volume_mm3 == pytest.approx(25 * volume.geometry.voxel_volume_mm3)
        assert first.mean_hu == pytest.approx(volume.array[4, 5:10, 5:10].mean())

    def test_no_label_is_no_nodule(self) -> None:
        assert (
            measure_nodules(
                some_volume(tilted_geometry()), no_lungs(), outlines_of(np.zeros(SHAPE, np.uint16)), Settings()
            )
            == ()
        )

    @pytest.mark.parametrize(("column", "side"), [(2, "right"), (6, "right"), (21, "left"), (25, "left"), (14, "")])
    def test_the_side_is_that_of_the_lung_around_or_near(self, column: int, side: str) -> None:
        lung = np.zeros(SHAPE, np.uint8)
        lung[:, :, :4], lung[:, :, 24:] = RIGHT_LUNG, LEFT_LUNG
        mask = np.zeros(SHAPE, bool)
        mask[5, 10, column] = True
        volume = some_volume(tilted_geometry((3.0, 3.0, 3.0)))
        assert measure(volume, mask, replace(no_lungs(), label_map=lung)).side == side

    @pytest.mark.parametrize(
        ("solid_voxels", "density"), [(0, "ground-glass"), (20, "part-solid"), (60, "solid"), (100, "solid")]
    )
    def test_density_follows_the_solid_fraction(self, solid_voxels: int, density: str) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[5, 5:15, 5:15] = True
        volume = some_volume(tilted_geometry())
        hu = np.full(100, -600, np.int16)
        hu[:solid_voxels] = 30
        volume.array[mask] = hu
        nodule = measure(volume, mask)
        assert (nodule.solid_fraction, nodule.density) == (solid_voxels / 100, density)

    def test_a_missing_instance_number_is_none(self) -> None:
        mask = np.zeros(SHAPE, bool)
        mask[5, 5, 5] = True
        header = pydicom.Dataset()
        header.InstanceNumber = None
        volume = replace(some_volume(tilted_geometry()), headers=(header,) * SHAPE[0])
        assert measure(volume, mask).key_instance_number is None
