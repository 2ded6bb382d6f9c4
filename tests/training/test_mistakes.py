"""Mistakes beside nodules: what a network marks is one, unless it is a nodule that some reader outlined."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from lung_nodules.cohorts.crops import RATINGS, NoduleCrop
from lung_nodules.progress import SilentProgress
from lung_nodules.training.mistakes import MiningSettings, mine_crops

WINDOW_HU = (-1000.0, 400.0)
SPACING_MM = (2.0, 1.0, 1.0)
SHAPE = (5, 66, 66)
NODULE = (2, 32, 32)
VESSEL = (2, 32, 44)
FAR_VESSEL = (2, 60, 32)


class Brightness(nn.Module):
    """Sees a nodule in all that is as dense as water."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(40.0))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.scale * (image - 0.6)


def draw_ball(place: tuple[int, int, int], radius_mm: float) -> np.ndarray:  # type: ignore[type-arg]
    axes = np.ogrid[tuple(slice(0, size) for size in SHAPE)]
    squared = sum(((axis - at) * mm) ** 2 for axis, at, mm in zip(axes, place, SPACING_MM, strict=True))
    return np.asarray(squared <= radius_mm**2)


def crop_with(*dense: tuple[int, int, int]) -> NoduleCrop:
    image = np.full(SHAPE, -850, dtype=np.int16)
    for place in dense:
        image[draw_ball(place, 3)] = 40
    ratings = dict.fromkeys(RATINGS, 3.0)
    return NoduleCrop(
        nodule_id="n",
        patient_id="INVENTED",
        kind="slices",
        image=image,
        masks=np.where(draw_ball(NODULE, 3), 0b0111, 0).astype(np.uint8),
        spacing_mm=SPACING_MM,
        num_readers=3,
        num_masks=3,
        ratings=ratings,
        ratings_by_reader={},
        diameter_mm=6.0,
        hu_steps_max=0,
        series_instance_uid="1.2",
    )


def places(*crops: NoduleCrop) -> list[tuple[int, tuple[float, float, float]]]:
    found = mine_crops(Brightness(), crops, WINDOW_HU, 1.0, MiningSettings(), SilentProgress())
    return [(one.crop, one.center_ijk) for one in found]


def test_the_vessel_beside_the_nodule_is_a_mistake_and_the_nodule_is_none() -> None:
    ((number, place),) = places(crop_with(NODULE, VESSEL))
    assert number == 0
    assert np.abs(np.subtract(place, VESSEL)) == pytest.approx([0, 0, 0], abs=1.5)


def test_a_mistake_has_the_score_that_the_line_would_give_it_however_near_the_nodule_is() -> None:
    """Both vessels are as bright; the nearer one reaches to the margin around the nodule, in which nothing counts."""
    near, far = (
        mine_crops(
            Brightness(), [crop_with(NODULE, (2, 32, column))], WINDOW_HU, 1.0, MiningSettings(), SilentProgress()
        )
        for column in (42, 45)
    )
    assert near[0].score == pytest.approx(far[0].score, abs=0.02)


def test_what_lies_near_the_edge_of_the_crop_is_left_out() -> None:
    assert places(crop_with(NODULE, FAR_VESSEL)) == []


def test_another_nodule_of_the_same_scan_is_no_mistake() -> None:
    crop = crop_with(NODULE, VESSEL)
    shift = np.subtract(VESSEL, NODULE)
    other = replace(crop_with(NODULE), origin_ijk=(float(shift[0]), float(shift[1]), float(shift[2])))
    assert places(crop, other) == []
    elsewhere = replace(other, series_instance_uid="1.3")
    assert len(places(crop, elsewhere)) == 1
