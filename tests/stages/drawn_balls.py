"""Balls of known place and size in even lung, and networks whose answer is plain arithmetic on what they are fed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lung_nodules.networks.record import ModelRecord
from lung_nodules.networks.runtime import Batch, RuntimeIdentity
from lung_nodules.stages.detection import Candidate
from lung_nodules.stages.lungs import Lungs
from lung_nodules.stages.volume import Geometry, Volume

WINDOW_HU = (-1000.0, 400.0)
LUNG_HU, BALL_HU = -850.0, 250.0  # their middle is the middle of the window
THRESHOLDS = {"detection": 0.3, "segmentation": 0.5}
AXIAL = ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
PRONE_FEET_FIRST = ((0.0, 0.0, -1.0), (0.0, -1.0, 0.0), (1.0, 0.0, 0.0))
Point = tuple[float, float, float]
Ball = tuple[Point, float]  # centre in mm of the grid's axes (index times spacing), radius in mm


def draw_balls(
    balls: Sequence[Ball],
    shape: tuple[int, int, int],
    spacing_mm: Point = (1.0, 1.0, 1.0),
    direction: tuple[Point, ...] = AXIAL,
) -> Volume:
    """Balls of `BALL_HU` in lung, their rims as sharp as the voxels; they may overlap."""
    geometry = Geometry((-40.0, 25.0, -300.0), spacing_mm, direction, shape)
    inside = np.zeros(shape)
    for center_mm, radius_mm in balls:
        depth_mm = radius_mm - distance_to(center_mm, geometry)
        inside = np.maximum(inside, np.clip(depth_mm / np.mean(spacing_mm) + 0.5, 0, 1))
    return Volume(np.rint(LUNG_HU + (BALL_HU - LUNG_HU) * inside).astype(np.int16), geometry)


def ball_mask(ball: Ball, volume: Volume) -> npt.NDArray[np.bool_]:
    return distance_to(ball[0], volume.geometry) < ball[1]


def distance_to(center_mm: Point, geometry: Geometry) -> npt.NDArray[np.float64]:
    """Distance in mm of every voxel from a place in mm of the grid's axes."""
    places_mm = np.moveaxis(np.indices(geometry.shape), 0, -1) * geometry.spacing_mm
    return np.asarray(np.linalg.norm(places_mm - center_mm, axis=-1))


def index_of(center_mm: Point, volume: Volume) -> Point:
    first, second, third = np.array(center_mm) / volume.geometry.spacing_mm
    return float(first), float(second), float(third)


def candidate_at(center_mm: Point, volume: Volume, score: float = 0.9) -> Candidate:
    index = index_of(center_mm, volume)
    first, second, third = volume.geometry.to_world(index).tolist()
    return Candidate(index, (first, second, third), score, 100.0, (6.0, 6.0, 6.0))


def lungs_in(box: tuple[slice, slice, slice], volume: Volume) -> Lungs:
    """A box that is right lung."""
    label_map = np.zeros(volume.array.shape, np.uint8)
    label_map[box] = 1
    return Lungs(label_map, 1.0, 0.0, box)


def everywhere(volume: Volume) -> tuple[slice, slice, slice]:
    slices, rows, columns = volume.array.shape
    return slice(0, slices), slice(0, rows), slice(0, columns)


def record_of(kind: str, patch_voxels: int, **fields: Any) -> ModelRecord:
    """The record of a network that is fed 1 mm voxels."""
    return ModelRecord.model_validate(
        {
            "name": f"arithmetic-{kind}",
            "kind": kind,
            "version": "0",
            "description": "Arithmetic.",
            "licence": "none",
            "architecture": {"name": "arithmetic"},
            "preprocessing": {"spacing_mm": 1.0, "window_hu": WINDOW_HU, "patch_voxels": patch_voxels},
            "outputs": ["nodule"],
            "operating_points": {"usual": {"threshold": THRESHOLDS.get(kind, 0.5), "chosen_on": "nothing"}},
            "default_operating_point": "usual",
            "data": {"cohorts": [], "num_patients": 0, "num_examples": 0, "split": "none", "licence": "none"},
            "training": {},
            "scores": [],
            "git_commit": "0" * 40,
            "weights_sha256": "0" * 64,
        }
        | fields
    )


class Brightness:
    """A finder or outliner: nodule is what is brighter than the middle of the window.

    Args:
        kind: Kind of the model.
        patch_voxels: Side of its cube.
        steepness: Logit of white; the logit of black is minus that.
    """

    identity = RuntimeIdentity("arithmetic", "cpu")

    def __init__(self, kind: str, patch_voxels: int, steepness: float = 10.0) -> None:
        self.record = record_of(kind, patch_voxels)
        self.steepness = steepness
        self.shapes: list[tuple[int, ...]] = []  # of the batches it was fed

    def __call__(self, batch: Batch) -> Batch:
        self.shapes.append(batch.shape)
        assert batch.dtype == np.float32
        assert 0 <= batch.min() <= batch.max() <= 1
        return np.asarray((batch - 0.5) * 2 * self.steepness, dtype=np.float32)
