import itertools

import numpy as np
import pytest

from lung_nodules.stages.volume import Geometry
from lung_nodules.writers.views import Plane, Window, cut_through

SIZE_MM, PIXELS = 60.0, 120
AXES = list(itertools.permutations(range(3)))
SIGNS = list(itertools.product((1, -1), repeat=3))
# a bright point to the left, back and up of the world's origin, and how far right and down it must be seen
POINT_LPS = np.array([10.0, 6.0, 14.0])
EXPECTED_MM = {Plane.AXIAL: (10, 6), Plane.CORONAL: (10, -14), Plane.SAGITTAL: (6, -14)}
ACROSS = {Plane.AXIAL: 2, Plane.CORONAL: 1, Plane.SAGITTAL: 0}


def grid(axes, signs, spacing_mm=(2.0, 1.0, 0.5)):
    """A box of 60 mm around the world's origin whose array axes run along the patient's in any order and sense."""
    direction = tuple(
        tuple(float(sign) * (k == axis) for k in range(3)) for axis, sign in zip(axes, signs, strict=True)
    )
    shape = tuple(int(SIZE_MM / mm) + 1 for mm in spacing_mm)
    origin = -sum((n - 1) / 2 * mm * np.array(d) for n, mm, d in zip(shape, spacing_mm, direction, strict=True))
    return Geometry(tuple(origin), spacing_mm, direction, shape)


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("signs", SIGNS)
def test_left_back_and_up_appear_where_radiologists_expect_them(axes, signs):
    geometry = grid(axes, signs)
    bright = np.zeros(geometry.shape, dtype=np.int16)
    bright[tuple(np.rint(geometry.to_index(POINT_LPS)).astype(int))] = 1000
    for plane, expected_mm in EXPECTED_MM.items():
        center_lps = POINT_LPS * (np.arange(3) == ACROSS[plane])  # the plane goes through the point
        window = Window(tuple(geometry.to_index(center_lps)), SIZE_MM, PIXELS)
        cut = cut_through(plane, geometry, window)
        seen = cut.resample(cut.take(bright), geometry, order=1, outside=0)
        x, y = (np.average(np.arange(PIXELS), weights=seen.sum(axis=axis)) for axis in (0, 1))
        middle = (PIXELS - 1) / 2
        assert ((x - middle) * window.pixel_mm, (y - middle) * window.pixel_mm) == pytest.approx(expected_mm, abs=0.3)
        assert cut.locate(geometry.to_index(POINT_LPS), geometry) == pytest.approx((x, y), abs=0.6)


def test_outlines_lie_half_way_between_voxels_in_and_out():
    geometry = grid((2, 1, 0), (1, 1, 1))
    mask = np.zeros(geometry.shape, dtype=bool)
    mask[10:20, 20:40, 30:90] = True
    center = (14.5, 29.5, 59.5)
    cut = cut_through(Plane.AXIAL, geometry, Window(center, SIZE_MM, 600))
    (line,) = cut.contours(cut.take(mask), geometry)
    middle, pixel_mm = (600 - 1) / 2, cut.window.pixel_mm
    assert np.abs((line[:, 0] - middle) * pixel_mm).max() == pytest.approx(60 * 0.5 / 2, abs=0.05)
    assert np.abs((line[:, 1] - middle) * pixel_mm).max() == pytest.approx(20 * 1.0 / 2, abs=0.05)


def test_the_key_slice_is_shown_instead_of_the_middle_one():
    geometry = grid((2, 1, 0), (1, 1, 1))
    window = Window((10.0, 30.0, 60.0), SIZE_MM, PIXELS)
    assert cut_through(Plane.AXIAL, geometry, window, key_slice=12).index == 12
    assert cut_through(Plane.CORONAL, geometry, window, key_slice=12).index == 30


def test_beyond_the_ct_is_as_asked():
    geometry = grid((2, 1, 0), (1, 1, 1))
    cut = cut_through(Plane.AXIAL, geometry, Window((0.0, 0.0, 0.0), SIZE_MM, PIXELS))
    seen = cut.resample(cut.take(np.zeros(geometry.shape, np.int16)), geometry, order=3, outside=-1350.0)
    assert seen[0, 0] == -1350.0
    assert seen[-1, -1] == 0.0
