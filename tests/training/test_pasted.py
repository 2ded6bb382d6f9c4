"""Cubes with a pasted nodule: the nodule is where the target says, at its size, and lung is known all around."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_cohort import write_tiny_crops

from lung_nodules.cohorts.crops import NoduleCrop, read_crops
from lung_nodules.cohorts.split import Split, split_of
from lung_nodules.training.backgrounds import Background
from lung_nodules.training.cubes import CubeSettings
from lung_nodules.training.detection import DetectionTraining, FinderCubes
from lung_nodules.training.pasted import draw_pasted
from lung_nodules.training.phantoms import phantom_backgrounds

QUIET = CubeSettings(voxels=32, noise_hu=0, gain=0, shift_hu=0, center_jitter_mm=6)
LUNG_HU = -780


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> tuple[NoduleCrop, ...]:
    folder = tmp_path_factory.mktemp("cohort") / "crops"
    write_tiny_crops(folder)
    return read_crops(folder, [Split.TRAIN])


@pytest.fixture(scope="module")
def background() -> Background:
    shape = (80, 80, 80)
    clear = np.ones(shape, dtype=bool)
    clear[:10] = False
    places = np.argwhere(clear)[::1000].astype(np.int32)
    return Background("lung", np.full(shape, LUNG_HU, np.int16), np.ones(shape, bool), clear, places)


@pytest.mark.parametrize("seed", range(6))
def test_the_nodule_is_where_the_target_says(crops: tuple[NoduleCrop, ...], background: Background, seed: int) -> None:
    crop = crops[seed % len(crops)]
    cube = draw_pasted(crop, background, QUIET, np.random.default_rng(seed))
    bright, meant = cube.hu > -400, cube.target > 0.5
    assert 2 * (bright & meant).sum() / (bright.sum() + meant.sum()) > 0.8
    assert cube.target.sum() == pytest.approx(crop.consensus.sum() * np.prod(crop.spacing_mm), rel=0.1)
    middle = np.argwhere(meant).mean(axis=0) - 15.5
    assert np.abs(middle).max() <= QUIET.center_jitter_mm + 1.5
    far = cube.hu[(cube.target == 0) & ~bright]
    assert np.median(far) == pytest.approx(LUNG_HU)


def test_what_is_not_clear_is_not_known(crops: tuple[NoduleCrop, ...], background: Background) -> None:
    low = Background("low", background.hu, background.near_lung, background.clear, np.array([[12, 40, 40]], np.int32))
    cube = draw_pasted(crops[0], low, QUIET.model_copy(update={"center_jitter_mm": 0.0}), np.random.default_rng(0))
    unknown = (cube.known == 0).all(axis=(1, 2))
    assert unknown.sum() == 14  # of 32 slices from -4 on: those below 10


def test_the_finder_draws_pasted_cubes_by_number(crops: tuple[NoduleCrop, ...], background: Background) -> None:
    settings = DetectionTraining(cube=QUIET, paste_share=1.0, negative_share=0.0)
    cubes, again = (FinderCubes(crops, (background,), (), settings) for _ in range(2))
    assert np.array_equal(cubes[7]["image"], again[7]["image"])
    assert bool((cubes[7]["known"].mean(dim=(0, 2, 3)) > 0).any())
    assert float(cubes[7]["target"].sum()) > 100


@pytest.mark.training
def test_phantoms_are_lungs_without_nodules() -> None:
    (phantom,) = phantom_backgrounds(1, 2.0)
    assert split_of(phantom.name) is Split.TRAIN
    assert phantom.clear.all()
    assert len(phantom.lung_ijk) > 10_000
    assert phantom.hu[tuple(phantom.lung_ijk.T)].mean() < -600
    assert phantom_backgrounds(0, 1.0) == ()
