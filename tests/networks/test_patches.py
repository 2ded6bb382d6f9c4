"""Patches: what is read where, held against SciPy, and that the way back is the inverse of the way there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lung_nodules.networks.patches import Box, PatchGrid, flips, scale_hu

SPACINGS = st.tuples(*[st.floats(0.4, 5.0)] * 3)
CENTERS = st.tuples(*[st.floats(-30, 60)] * 3)
SHAPES = st.tuples(*[st.integers(1, 9)] * 3)
ROTATIONS = st.tuples(*[st.floats(-180, 180)] * 3).map(
    lambda angles: Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
)
GRIDS = st.builds(PatchGrid.centered, CENTERS, SPACINGS, SHAPES, st.floats(0.5, 3.0), ROTATIONS)
FEW = settings(max_examples=25, deadline=None)
TURNED = Rotation.from_euler("xyz", (20, -35, 70), degrees=True).as_matrix()


def noise(shape: tuple[int, ...]) -> npt.NDArray[np.int16]:
    return np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)


def linear(indices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A function that linear interpolation must reproduce, of indices [..., 3]."""
    return indices @ [3.0, -2.0, 0.5] + 7


def indices_of(box: Box) -> npt.NDArray[np.float64]:
    return np.stack(np.meshgrid(*[np.arange(part.start, part.stop) for part in box], indexing="ij"), -1).astype(float)


class TestTheGrid:
    @FEW
    @given(grid=GRIDS, points=st.lists(CENTERS, min_size=1, max_size=5))
    def test_to_source_and_to_patch_undo_each_other(
        self, grid: PatchGrid, points: list[tuple[float, float, float]]
    ) -> None:
        np.testing.assert_allclose(grid.to_source(grid.to_patch(points)), points, atol=1e-8)
        np.testing.assert_allclose(grid.to_patch(grid.to_source(points)), points, atol=1e-8)

    @FEW
    @given(center=CENTERS, spacing_mm=SPACINGS, shape=SHAPES, rotation=ROTATIONS)
    def test_the_middle_of_a_centred_grid_is_its_centre(
        self,
        center: tuple[float, float, float],
        spacing_mm: tuple[float, float, float],
        shape: tuple[int, int, int],
        rotation: npt.NDArray[np.float64],
    ) -> None:
        grid = PatchGrid.centered(center, spacing_mm, shape, 1.3, rotation)
        np.testing.assert_allclose(grid.to_source((np.array(shape) - 1) / 2), center, atol=1e-9)

    @FEW
    @given(grid_spacing_mm=st.floats(0.5, 3.0), spacing_mm=SPACINGS, rotation=ROTATIONS)
    def test_neighbours_are_the_wanted_distance_apart_in_mm(
        self, grid_spacing_mm: float, spacing_mm: tuple[float, float, float], rotation: npt.NDArray[np.float64]
    ) -> None:
        grid = PatchGrid.centered((5, 5, 5), spacing_mm, (4, 4, 4), grid_spacing_mm, rotation)
        steps_mm = grid.matrix.T * spacing_mm
        np.testing.assert_allclose(steps_mm @ steps_mm.T, np.eye(3) * grid_spacing_mm**2, atol=1e-9)

    def test_without_rotation_axes_stay_axes(self) -> None:
        grid = PatchGrid.centered((10, 20, 30), (2.0, 0.5, 1.0), (5, 5, 5), 1.0)
        assert grid.to_source((0, 2, 2)).tolist() == [9, 20, 30]
        assert grid.to_source((2, 0, 2)).tolist() == [10, 16, 30]
        assert grid.to_source((2, 2, 0)).tolist() == [10, 20, 28]

    @FEW
    @given(spacing_mm=SPACINGS, grid_spacing_mm=st.floats(0.5, 3.0), data=st.data())
    def test_a_covering_grid_begins_at_the_edge_of_its_box_and_reaches_beyond_the_other(
        self, spacing_mm: tuple[float, float, float], grid_spacing_mm: float, data: st.DataObject
    ) -> None:
        low = np.array([data.draw(st.integers(0, 20)) for _ in range(3)])
        size = np.array([data.draw(st.integers(1, 20)) for _ in range(3)])
        box = tuple(slice(int(a), int(a + n)) for a, n in zip(low, size, strict=True))
        grid = PatchGrid.covering(box, spacing_mm, grid_spacing_mm)
        first, last = grid.to_source([-0.5] * 3), grid.to_source(np.array(grid.shape) - 0.5)
        np.testing.assert_allclose(first, low - 0.5, atol=1e-9)
        beyond_mm = (last - (low + size - 0.5)) * spacing_mm
        assert (beyond_mm > -1e-5).all()
        assert (beyond_mm < grid_spacing_mm + 1e-5).all()

    @FEW
    @given(grid=GRIDS)
    def test_the_source_box_holds_the_voxels_that_the_grid_covers(self, grid: PatchGrid) -> None:
        shape = (25, 20, 15)
        box = grid.source_box(shape)
        everything = indices_of((slice(0, 25), slice(0, 20), slice(0, 15)))
        covered = (np.abs(grid.to_patch(everything) - (np.array(grid.shape) - 1) / 2) < np.array(grid.shape) / 2).all(
            -1
        )
        outside = covered.copy()
        outside[box] = False
        assert not outside.any()
        assert all(0 <= part.start <= part.stop <= size for part, size in zip(box, shape, strict=True))

    def test_the_source_box_of_a_straight_grid_holds_nothing_else(self) -> None:
        grid = PatchGrid.centered((10.2, 10, 2), (1.0, 1.0, 1.0), (4, 5, 9), 1.0)
        assert grid.source_box((40, 40, 40)) == (slice(9, 13), slice(8, 13), slice(0, 7))


class TestSampling:
    @FEW
    @given(grid=GRIDS)
    def test_it_is_the_linear_interpolation_of_scipy_and_beyond_the_edges_the_nearest_voxel(
        self, grid: PatchGrid
    ) -> None:
        source = noise((20, 24, 28))
        last = np.array(source.shape) - 1
        places = grid.to_source(indices_of(tuple(slice(0, n) for n in grid.shape)))
        sampled = grid.sample(source)
        interpolated = ndimage.map_coordinates(
            source.astype(float), np.moveaxis(places, -1, 0), order=1, mode="nearest"
        )
        inside = ((places > -0.499) & (places < last + 0.499)).all(axis=-1)
        np.testing.assert_allclose(sampled[inside], interpolated[inside], atol=0.05)
        clear = (np.abs(places % 1 - 0.5) > 1e-3).all(axis=-1)  # of two voxels that are equally near either will do
        beyond = clear & ((places < -0.501) | (places > last + 0.501)).any(axis=-1)
        nearest = np.clip(np.rint(places[beyond]), 0, last).astype(int)
        assert np.array_equal(sampled[beyond], source[tuple(nearest.T)])

    @pytest.mark.parametrize("dtype", [np.int16, np.uint8, np.uint16, np.float32, np.float64])
    def test_every_dtype_is_read(self, dtype: type[np.generic]) -> None:
        source = np.arange(60).reshape(3, 4, 5).astype(dtype)
        sampled = PatchGrid.centered((1, 1.5, 2), (1, 1, 1), (3, 4, 5), 1.0).sample(source)
        assert sampled.dtype == np.float32
        assert np.array_equal(sampled, source.astype(np.float32))

    def test_a_view_of_a_volume_is_read_like_its_copy(self) -> None:
        view = noise((9, 10, 11))[::-1].transpose(2, 1, 0)
        grid = PatchGrid.centered((4, 4, 4), (1.0, 1.0, 1.0), (5, 5, 5), 0.7, TURNED)
        assert np.array_equal(grid.sample(view), grid.sample(view.copy()))

    def test_a_value_is_given_beyond_the_outermost_edges_and_not_before(self) -> None:
        source = np.full((4, 4, 4), 100, np.int16)
        grid = PatchGrid.centered((1.5, 1.5, -0.7), (1, 1, 1), (1, 1, 5), 0.25)  # columns -1.2 to -0.2
        assert grid.sample(source, outside=-1024)[0, 0].tolist() == [-1024, -1024, -1024, 100, 100]
        assert (grid.sample(source) == 100).all()

    def test_a_patch_far_outside_sees_the_nearest_voxel(self) -> None:
        source = noise((4, 5, 6))
        grid = PatchGrid.centered((-50, 80, 300), (1, 1, 1), (3, 3, 3), 1.0)
        assert (grid.sample(source) == source[0, 4, 5]).all()


class TestTheWayBack:
    @pytest.mark.parametrize("rotation", [None, TURNED])
    @pytest.mark.parametrize("spacing_mm", [(2.5, 0.7, 0.7), (0.6, 1.1, 0.9)])
    def test_there_and_back_gives_a_linear_function_again(
        self, spacing_mm: tuple[float, float, float], rotation: npt.NDArray[np.float64] | None
    ) -> None:
        shape = (60, 70, 66)
        source = linear(indices_of(tuple(slice(0, n) for n in shape)))
        grid = PatchGrid.centered((30.3, 35.1, 32.6), spacing_mm, (24, 24, 24), 1.0, rotation)
        box = grid.source_box(shape)
        indices = indices_of(box)
        back = grid.back(grid.sample(source), box, outside=np.nan)
        inside = ((grid.to_patch(indices) > 0) & (grid.to_patch(indices) < 23)).all(axis=-1)
        assert inside.sum() > 1000
        np.testing.assert_allclose(back[inside], linear(indices)[inside], atol=1e-3)
        far = (np.abs(grid.to_patch(indices) - 11.5) > 12.01).any(axis=-1)
        assert np.isnan(back[far]).all()

    def test_voxels_that_the_patch_does_not_cover_are_zero(self) -> None:
        grid = PatchGrid.centered((9.5, 9.5, 9.5), (1, 1, 1), (4, 4, 4), 1.0)
        back = grid.back(np.ones((4, 4, 4), np.float32), (slice(5, 20), slice(0, 20), slice(0, 20)))
        assert back.sum() == 64
        assert back[3:7, 8:12, 8:12].min() == 1


def test_hu_are_clipped_and_scaled() -> None:
    scaled = scale_hu(np.array([-2000, -1000, -300, 400, 3000], np.int16), (-1000.0, 400.0))
    assert scaled.dtype == np.float32
    assert scaled.tolist() == [0, 0, 0.5, 1, 1]


def test_flips_are_eight_different_mirrors_and_the_first_is_none() -> None:
    cube = np.arange(27).reshape(3, 3, 3)
    assert flips(1) == [()]
    mirrored = [np.flip(cube, axes).tobytes() for axes in flips(8)]
    assert len(set(mirrored)) == 8
    assert flips(4) == flips(8)[:4]
