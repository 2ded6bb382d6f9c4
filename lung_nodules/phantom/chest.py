"""The scanned chest in memory: anatomy, vessels and nodules drawn, then blurred and given noise."""

from __future__ import annotations

import os
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from lung_nodules.phantom.anatomy import build_anatomy
from lung_nodules.phantom.grid import Float32, Grid
from lung_nodules.phantom.nodules import NoduleTruth, draw_ground_glass, draw_solid, place_nodules, render_nodule
from lung_nodules.phantom.placement import Neighbourhood
from lung_nodules.phantom.scanner import Scanner
from lung_nodules.phantom.settings import PhantomSettings
from lung_nodules.phantom.tissues import SlicePainter
from lung_nodules.phantom.trees import grow_trees
from lung_nodules.phantom.tubes import draw_airways, draw_vessels
from lung_nodules.progress import Advance


@dataclass(frozen=True)
class Chest:
    """A scanned chest and what is true of it."""

    array: npt.NDArray[np.int16]  # [slice, row, column], HU; slices run towards the head
    grid: Grid
    nodules: tuple[NoduleTruth, ...]
    right_litres: float  # of the right lung, vessels and nodules in it included
    left_litres: float


def build_chest(settings: PhantomSettings, advance: Advance = lambda steps: None) -> Chest:
    """Build and scan the chest of the given settings; equal settings give equal voxels.

    Args:
        settings: What to build.
        advance: Told of each slice twice, once drawn and once scanned.

    Raises:
        UsageRefusal: When a nodule has no place (see `place_nodules`).
    """
    spacing_mm = (settings.slice_spacing_mm, settings.pixel_spacing_mm, settings.pixel_spacing_mm)
    grid = Grid((settings.num_slices, settings.rows, settings.columns), spacing_mm)
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        ideal, nodules, litres = _draw_chest(settings, grid, pool, advance)
        scanner = Scanner(ideal, grid, settings)
        array: npt.NDArray[np.int16] = np.empty(grid.shape, dtype=np.int16)
        for index, plane in enumerate(pool.map(scanner.scan, range(grid.shape[0]))):
            array[index] = plane
            advance(1)
    return Chest(array, grid, nodules, *litres)


def _draw_chest(
    settings: PhantomSettings, grid: Grid, pool: Executor, advance: Advance
) -> tuple[Float32, tuple[NoduleTruth, ...], tuple[float, float]]:
    """The chest without blur and noise, its nodules, and the litres of its right and left lung.

    While the pool paints the large shapes, the trees grow and the nodules are placed.
    """
    anatomy = build_anatomy(settings.seed)
    painter = SlicePainter(anatomy, grid, settings.seed)
    painting = pool.map(painter.paint, range(grid.shape[0]))
    trees = grow_trees(anatomy, settings.seed)
    nodules = place_nodules(settings, anatomy, grid, Neighbourhood.of(trees))
    rendering = pool.map(partial(render_nodule, grid, anatomy), nodules, range(1, len(nodules) + 1))
    ideal: Float32 = np.empty(grid.shape, dtype=np.float32)
    lung_pixels = np.zeros(2)
    for index, painted in enumerate(painting):
        ideal[index] = painted.hu
        lung_pixels += painted.lung_pixels
        advance(1)
    patches = list(rendering)
    draw_ground_glass(ideal, patches)
    draw_vessels(ideal, grid, trees.vessels)
    draw_airways(ideal, grid, trees.airways)
    draw_solid(ideal, patches)
    right, left = (round(float(n) * grid.voxel_volume_mm3 / 1e6, 3) for n in lung_pixels)
    return ideal, tuple(patch.truth for patch in patches), (right, left)
