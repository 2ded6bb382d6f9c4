"""Size bands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lung_nodules.evaluation.size_bands import BANDS, band_of, rows_by_band

MANY = settings(max_examples=50, deadline=None)


@pytest.mark.parametrize(
    ("diameter_mm", "band"),
    [
        (0, "<6"),
        (5.99, "<6"),
        (6, "6-10"),
        (9.99, "6-10"),
        (10, "10-20"),
        (19.99, "10-20"),
        (20, ">=20"),
        (80, ">=20"),
    ],
)
def test_the_lower_end_belongs_to_a_band(diameter_mm: float, band: str) -> None:
    assert band_of(diameter_mm) == band


@pytest.mark.parametrize("diameter_mm", [-1, float("nan")])
def test_what_is_no_diameter_lies_in_no_band(diameter_mm: float) -> None:
    with pytest.raises(ValueError, match="no size band"):
        band_of(diameter_mm)


@MANY
@given(st.lists(st.floats(0, 60), max_size=20))
def test_each_row_lies_in_one_band(diameters_mm: list[float]) -> None:
    bands = rows_by_band(diameters_mm)
    assert tuple(bands) == BANDS
    assert sorted(np.concatenate(list(bands.values()))) == list(range(len(diameters_mm)))
    assert all(band_of(diameters_mm[row]) == band for band, rows in bands.items() for row in rows)
