"""Training cubes: where the target is known, and that lung above and below teaches nothing about the nodule."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_cohort import write_tiny_crops

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.cubes import (
    CubeSettings,
    Excerpt,
    draw_background,
    draw_cube,
    draw_excerpt,
    with_slab,
    with_worn_edges,
)

STILL = CubeSettings(
    voxels=32, center_jitter_mm=0, rotation_degrees=0, scaling=0, noise_hu=0, gain=0, shift_hu=0, lung_context=0
)
LUNG_HU = -700


@pytest.fixture(scope="module")
def crop(tmp_path_factory: pytest.TempPathFactory) -> NoduleCrop:
    folder = tmp_path_factory.mktemp("cohort") / "crops"
    write_tiny_crops(folder)
    return read_crops(folder, [Split.TRAIN])[0]


@pytest.fixture(scope="module")
def background() -> Background:
    shape = (60, 60, 60)
    places = np.argwhere(np.ones(shape, dtype=bool))[::1000].astype(np.int32)
    everywhere = np.ones(shape, dtype=bool)
    return Background("lung", np.full(shape, LUNG_HU, dtype=np.int16), everywhere, everywhere, places)


def draw(crop: NoduleCrop, backgrounds: tuple[Background, ...], settings: CubeSettings, seed: int = 0):  # type: ignore[no-untyped-def]
    return draw_cube(crop, backgrounds, settings, np.random.default_rng(seed))


def test_target_is_the_consensus_in_millimetres(crop: NoduleCrop) -> None:
    cube = draw(crop, (), STILL)
    mask_mm3 = crop.consensus.sum() * np.prod(crop.spacing_mm)
    assert cube.target.sum() == pytest.approx(mask_mm3, rel=0.15)
    assert np.argwhere(cube.target > 0.5).mean(axis=0) == pytest.approx([15.5] * 3, abs=0.5)


def test_nothing_is_known_beyond_repeated_end_slices(crop: NoduleCrop) -> None:
    cube = draw(crop, (), STILL)
    depth_mm = crop.image.shape[0] * crop.spacing_mm[0]
    known_slices = cube.known.any(axis=(1, 2))
    assert known_slices.sum() == depth_mm
    assert not cube.target[~known_slices].any()


def test_lung_is_known_to_be_none_beyond_the_feather(crop: NoduleCrop, background: Background) -> None:
    settings = STILL.model_copy(update={"lung_context": 1.0})
    cube = draw(crop, (background,), settings)
    outer = cube.known[[0, -1]] > 0
    assert outer.all()
    assert cube.hu[0] == pytest.approx(LUNG_HU)
    unknown = np.flatnonzero(~cube.known.any(axis=(1, 2)))
    assert len(unknown) == 2 * settings.feather_voxels


def test_augmentation_keeps_image_and_target_together(crop: NoduleCrop) -> None:
    settings = CubeSettings(voxels=32, noise_hu=0, shift_hu=0, gain=0, lung_context=0)
    for seed in range(8):
        cube = draw(crop, (), settings, seed)
        bright = (cube.hu > -400) & (cube.known > 0)
        meant = (cube.target > 0.5) & (cube.known > 0)
        assert (bright & meant).sum() >= 0.8 * max(bright.sum(), meant.sum())


def test_same_number_draws_the_same_cube(crop: NoduleCrop) -> None:
    first, second, other = (draw(crop, (), CubeSettings(voxels=32), seed) for seed in (1, 1, 2))
    assert np.array_equal(first.hu, second.hu)
    assert not np.array_equal(first.hu, other.hu)


def test_slab_has_a_feather_without_loss(background: Background) -> None:
    rng = np.random.default_rng(0)
    plain = draw_background(background, background.lung_ijk[0], STILL, rng)
    brighter = Background(
        "other", background.hu + np.int16(100), background.near_lung, background.clear, background.lung_ijk
    )
    cube = with_slab(plain, brighter, STILL, rng)
    blended = (cube.hu > LUNG_HU + 1) & (cube.hu < LUNG_HU + 99)
    assert blended.any()
    assert not cube.known[blended].any()
    assert cube.known[~blended].all()


def test_lung_ends_above_and_below_as_the_crop_does(crop: NoduleCrop, background: Background) -> None:
    excerpt = Excerpt.of_lung(background, background.lung_ijk[0], crop)
    cube = draw_excerpt(excerpt, (), STILL, np.random.default_rng(0))
    nodule = draw(crop, (), STILL)
    assert cube.known.any(axis=(1, 2)).sum() == nodule.known.any(axis=(1, 2)).sum()
    assert not cube.target.any()


def test_cube_beside_a_nodule_has_its_place_in_the_middle(crop: NoduleCrop) -> None:
    place = crop.center_ijk + np.array([0, 0, 8 / crop.spacing_mm[2]])
    cube = draw_excerpt(Excerpt.beside_nodule(crop, place), (), STILL, np.random.default_rng(0))
    bright = np.argwhere((cube.hu > -400) & (cube.known > 0)).mean(axis=0)
    assert not cube.target.any()
    assert np.sort(np.abs(bright - 15.5)) == pytest.approx([0, 0, 8], abs=0.5)  # mirrored or turned in plane


def test_worn_edges_repeat_what_lies_inside_them() -> None:
    cube = np.arange(16**3, dtype=np.float32).reshape(16, 16, 16)
    for seed in range(20):
        worn = with_worn_edges(cube, 5, np.random.default_rng(seed))
        assert np.array_equal(worn[:, 5:11, 5:11], cube[:, 5:11, 5:11])
        assert set(np.unique(worn)) <= set(np.unique(cube))
    assert not np.array_equal(worn, cube)
    assert np.array_equal(with_worn_edges(cube, 0, np.random.default_rng(0)), cube)
