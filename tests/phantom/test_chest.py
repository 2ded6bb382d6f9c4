"""What is true of a phantom is what its voxels show."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_phantoms import FINE, SMALL

from lung_nodules.errors import UsageRefusal
from lung_nodules.phantom import (
    Chest,
    NoduleKind,
    NoduleSpec,
    NoduleTruth,
    PhantomSettings,
    build_chest,
    default_phantom_settings,
    phantom_settings,
)
from lung_nodules.phantom.anatomy import build_anatomy
from lung_nodules.phantom.grid import Grid, resample, sample
from lung_nodules.phantom.nodules import place_nodules
from lung_nodules.phantom.placement import Neighbourhood
from lung_nodules.phantom.scanner import Scanner
from lung_nodules.phantom.trees import grow_trees

ANATOMY = build_anatomy(1)
NEIGHBOURHOOD = Neighbourhood.of(grow_trees(ANATOMY, 1))
GRID = Grid((240, 512, 512), (1.25, 0.7, 0.7))


def distance_mm(chest: Chest, center_lps: tuple[float, float, float]) -> npt.NDArray[np.float64]:
    z, y, x = chest.grid.axes_mm
    cx, cy, cz = center_lps
    return np.sqrt((x - cx) ** 2 + (y[:, None] - cy) ** 2 + (z[:, None, None] - cz) ** 2)


@pytest.mark.parametrize("number", [0, 1])
def test_a_solid_nodule_measures_what_its_truth_says(fine: Chest, number: int) -> None:
    truth = fine.nodules[number]
    near = distance_mm(fine, truth.center_lps) < truth.longest_axial_diameter_mm / 2 + 1.5
    inside = near & (fine.array > (truth.mean_hu - 860) / 2)
    volume_mm3 = inside.sum() * fine.grid.voxel_volume_mm3
    centroid_ijk = np.argwhere(inside).mean(axis=0)
    off_mm = (centroid_ijk - fine.grid.to_index(np.array(truth.center_lps))) * fine.grid.spacing_mm
    assert volume_mm3 == pytest.approx(truth.volume_mm3, rel=0.08)
    assert np.abs(off_mm).max() < 0.3
    assert truth.longest_axial_diameter_mm == pytest.approx(FINE.nodules[number].diameter_mm, rel=0.03)


@pytest.mark.parametrize("number", [0, 2])
def test_hu_inside_a_nodule_are_those_of_its_truth(fine: Chest, number: int) -> None:
    truth = fine.nodules[number]
    core = distance_mm(fine, truth.center_lps) < 0.3 * truth.longest_axial_diameter_mm
    assert np.median(fine.array[core]) == pytest.approx(truth.mean_hu, abs=20)


def test_a_part_solid_nodule_is_ground_glass_around_a_solid_core(fine: Chest) -> None:
    truth = fine.nodules[3]
    distance = distance_mm(fine, truth.center_lps)
    assert np.median(fine.array[distance < 2]) > -100
    rim = (distance > 6.3) & (distance < 6.8)
    assert -750 < np.median(fine.array[rim]) < -500


def test_the_lungs_hold_air_and_vessels(fine: Chest) -> None:
    anatomy = build_anatomy(FINE.seed)
    lungs = resample(np.minimum(anatomy.right_lung, anatomy.left_lung), anatomy.grid, fine.grid.axes_mm) < -6
    hu = fine.array[lungs]
    assert -900 < np.median(hu) < -830
    assert 0.01 < (hu > -400).mean() < 0.06  # real scans: 0.02 to 0.03


def test_both_lungs_together_hold_four_to_five_litres() -> None:
    for seed in (1, 2):
        chest = build_chest(SMALL.model_copy(update={"seed": seed, "num_slices": 60, "nodules": ()}))
        assert 3.7 < chest.right_litres + chest.left_litres < 5.3
        assert chest.right_litres > chest.left_litres


def test_noise_has_the_strength_asked_for_and_rises_with_what_lies_in_the_way() -> None:
    grid = Grid((8, 256, 256), (5.0, 1.4, 1.4))
    _, y, x = grid.axes_mm
    deviations = []
    for half_width_mm in (95, 170):  # of water: a chest with its air counted out, shoulders
        water = np.where((np.abs(x) < half_width_mm) & (np.abs(y[:, None]) < 95), 0.0, -1000.0)
        ideal = np.broadcast_to(water.astype(np.float32), grid.shape)
        scanned = Scanner(ideal, grid, PhantomSettings(noise_hu=20)).scan(4)
        deviations.append(float(scanned[112:144, 112:144].std()))
    assert deviations[0] == pytest.approx(20, rel=0.15)
    assert deviations[1] > 1.4 * deviations[0]


def test_without_noise_neighbouring_pixels_of_an_edge_are_blurred_by_the_kernel() -> None:
    edge = np.full((8, 64, 64), -900.0, dtype=np.float32)
    edge[:, :, 32:] = 100
    grid = Grid(edge.shape, (1.25, 0.7, 0.7))
    sharp, soft = (
        Scanner(edge, grid, PhantomSettings(noise_hu=0, kernel=kernel)).scan(4)[32] for kernel in ("lung", "soft")
    )
    assert soft[31] > sharp[31] > -900
    assert sharp.astype(float).sum() == pytest.approx(edge[4, 32].sum(), abs=64)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    num_nodules=st.integers(0, 8),
    smallest_mm=st.floats(4, 10),
    spread_mm=st.floats(0, 12),
)
def test_nodules_lie_in_the_lungs_and_apart(seed: int, num_nodules: int, smallest_mm: float, spread_mm: float) -> None:
    wanted = PhantomSettings(
        seed=seed, num_nodules=num_nodules, min_diameter_mm=smallest_mm, max_diameter_mm=smallest_mm + spread_mm
    )
    placed = place_nodules(wanted, ANATOMY, GRID, NEIGHBOURHOOD)
    assert len(placed) == num_nodules
    lungs = np.minimum(ANATOMY.right_lung, ANATOMY.left_lung)
    for k, nodule in enumerate(placed):
        assert smallest_mm - 1e-6 <= nodule.spec.diameter_mm <= smallest_mm + spread_mm + 1e-6
        depth = -sample(lungs, ANATOMY.grid, np.array([nodule.center_lps]))[0]
        assert depth > (0 if nodule.spec.kind is NoduleKind.JUXTAPLEURAL else nodule.shape.reach_mm)
        for other in placed[:k]:
            apart = np.linalg.norm(np.subtract(nodule.center_lps, other.center_lps))
            assert apart > nodule.shape.reach_mm + other.shape.reach_mm


def test_a_juxtapleural_nodule_ends_at_the_pleura() -> None:
    spec = NoduleSpec(kind=NoduleKind.JUXTAPLEURAL, diameter_mm=14)
    chest = build_chest(SMALL.model_copy(update={"nodules": (spec,), "pixel_spacing_mm": 2.8}))
    truth = chest.nodules[0]
    anatomy = build_anatomy(SMALL.seed)
    lung = anatomy.right_lung if truth.side == "right" else anatomy.left_lung
    depth = -float(sample(lung, anatomy.grid, np.array([truth.center_lps]))[0])
    assert 0 < depth < 7
    assert -float(sample(anatomy.cage, anatomy.grid, np.array([truth.center_lps]))[0]) < depth + 2


def test_a_juxtavascular_nodule_touches_a_vessel() -> None:
    wanted = PhantomSettings(nodules=(NoduleSpec(kind=NoduleKind.JUXTAVASCULAR, diameter_mm=8),))
    nodule = place_nodules(wanted, ANATOMY, GRID, NEIGHBOURHOOD)[0]
    vessels = NEIGHBOURHOOD.points[NEIGHBOURHOOD.is_vessel]
    nearest = np.linalg.norm(vessels - nodule.center_lps, axis=1).min()
    assert nearest < 4 + 2.2


def test_two_nodules_placed_by_hand_may_touch() -> None:
    pair = tuple(NoduleSpec(diameter_mm=12, center_lps=(x, 20.0, 0.0)) for x in (-80.0, -90.0))
    chest = build_chest(SMALL.model_copy(update={"nodules": pair}))
    assert [nodule.side for nodule in chest.nodules] == ["right", "right"]
    assert np.hypot(*np.subtract(chest.nodules[0].center_lps, chest.nodules[1].center_lps)[:2]) < 12


def test_a_mass_of_40_mm_finds_its_place() -> None:
    chest = build_chest(SMALL.model_copy(update={"nodules": (NoduleSpec(diameter_mm=40),)}))
    truth: NoduleTruth = chest.nodules[0]
    assert truth.longest_axial_diameter_mm == pytest.approx(40, rel=0.03)
    assert truth.volume_mm3 > 10_000


def test_the_demonstration_has_nodules_of_every_kind() -> None:
    nodules = default_phantom_settings().nodules
    assert nodules is not None
    assert {nodule.kind for nodule in nodules} == set(NoduleKind)
    assert min(nodule.diameter_mm for nodule in nodules) < 6
    assert max(nodule.diameter_mm for nodule in nodules) == 25


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_demonstration_has_nodules_in_both_lungs(seed: int) -> None:
    anatomy = build_anatomy(seed)
    wanted = default_phantom_settings().model_copy(update={"seed": seed})
    placed = place_nodules(wanted, anatomy, GRID, Neighbourhood.of(grow_trees(anatomy, seed)))
    sides = [nodule.side for nodule in placed]
    assert {sides.count(-1), sides.count(1)} == {3, 4}


def test_nodules_go_where_there_is_room_when_one_lung_has_none() -> None:
    by_hand = tuple(NoduleSpec(diameter_mm=10, center_lps=(-80.0, 20.0, z)) for z in (0.0, 30.0))
    wanted = PhantomSettings(nodules=(*by_hand, NoduleSpec(diameter_mm=10), NoduleSpec(diameter_mm=9)))
    placed = place_nodules(wanted, ANATOMY, GRID, NEIGHBOURHOOD)
    assert [nodule.side for nodule in placed] == [-1, -1, 1, 1]


def test_a_nodule_outside_the_lungs_is_refused() -> None:
    wanted = PhantomSettings(nodules=(NoduleSpec(center_lps=(0.0, 60.0, 0.0)),))
    with pytest.raises(UsageRefusal, match="lies in neither lung") as refused:
        place_nodules(wanted, ANATOMY, GRID, NEIGHBOURHOOD)
    assert refused.value.code == "nodule-outside-lungs"


def test_a_nodule_outside_the_slices_is_refused() -> None:
    wanted = SMALL.model_copy(
        update={"num_slices": 8, "nodules": (NoduleSpec(diameter_mm=5, center_lps=(-75.0, 10.0, 60.0)),)}
    )
    with pytest.raises(UsageRefusal, match="outside the slices") as refused:
        build_chest(wanted)
    assert refused.value.code == "nodule-outside-scan"


def test_more_nodules_than_fit_are_refused() -> None:
    wanted = PhantomSettings(num_nodules=30, min_diameter_mm=50, max_diameter_mm=60, kinds=(NoduleKind.SOLID,))
    with pytest.raises(UsageRefusal, match="no free place") as refused:
        place_nodules(wanted, ANATOMY, GRID, NEIGHBOURHOOD)
    assert refused.value.code == "no-room-for-nodules"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"slice_spacing_mm": 0}, "slice_spacing_mm"),
        ({"min_diameter_mm": 20, "max_diameter_mm": 10}, "min_diameter_mm is larger"),
        ({"kinds": ("glass",)}, "kinds"),
        ({"sed": 1}, "sed"),
    ],
)
def test_settings_out_of_bounds_are_refused(values: dict[str, object], named: str) -> None:
    with pytest.raises(UsageRefusal, match=named) as refused:
        phantom_settings(**values)
    assert refused.value.code == "bad-phantom-settings"
