"""From shapes to Hounsfield units, one axial slice at a time.

Every tissue is laid over what is there already with the share of each pixel that it covers, so that edges between
tissues are partial volumes and not steps. HU of tissues after Schneider et al., Phys Med Biol 41:111 (1996).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from lung_nodules.phantom.anatomy import Anatomy, horizontal_fissure, oblique_fissure
from lung_nodules.phantom.bones import paint_spine, paint_wall_bones
from lung_nodules.phantom.canvas import Canvas
from lung_nodules.phantom.grid import Float32, Grid, Spline

AIR_HU = -1000.0
BLOOD_HU = 42.0
_FAT_HU = -102.0
_SKIN_HU = 0.0
_MUSCLE_HU = 54.0
_MEDIASTINUM_HU = -85.0
_ORGANS_HU = {"liver": 58.0, "spleen": 50.0, "stomach": 30.0, "heart": 41.0, "great_vessels": BLOOD_HU}
_LUNGS = (("right_lung", -1), ("left_lung", 1))
_MARGIN_MM = 5.0


@dataclass(frozen=True)
class PaintedSlice:
    """One axial slice without nodules, lung vessels and airways."""

    hu: Float32  # [row, column]
    lung_pixels: tuple[float, float]  # summed share of the pixels that lie in the right and in the left lung


class SlicePainter:
    """Paints the slices of one anatomy on one grid; `paint` may run in several threads.

    Args:
        anatomy: The shapes.
        grid: The CT's grid.
        seed: Of the textures.
    """

    def __init__(self, anatomy: Anatomy, grid: Grid, seed: int) -> None:
        self._anatomy, self._grid = anatomy, grid
        old, new = anatomy.grid.axes_mm, grid.axes_mm
        self._splines = [Spline.between(nodes, positions) for nodes, positions in zip(old, new, strict=True)]
        self._empty = _empty_scanner(grid)
        self._lung_texture = _texture_tile(np.random.default_rng([seed, 2]), grid, ((0.9, 15.0), (4.0, 13.0)))
        self._tissue_texture = _texture_tile(np.random.default_rng([seed, 3]), grid, ((2.0, 5.0), (6.0, 6.0)))

    def paint(self, index: int) -> PaintedSlice:
        """Paint slice `index` of the grid."""
        hu = self._empty.copy()
        body = self._shape(Canvas.whole(hu, self._grid, index), "body", index)
        if body is None:
            return PaintedSlice(hu, (0.0, 0.0))
        canvas, body_distance = body
        cage = self._distance(canvas, "cage", index)
        muscle = self._distance(canvas, "muscle", index)
        texture = self._texture(self._tissue_texture, canvas, index)
        _paint_wall(canvas, body_distance, muscle, cage, texture)
        paint_wall_bones(canvas, cage)
        self._paint_inside(canvas, index)
        paint_spine(canvas)
        right, left = (self._paint_lung(canvas, name, side, index) for name, side in _LUNGS)
        return PaintedSlice(hu, (right, left))

    def _distance(self, canvas: Canvas, name: str, index: int) -> Float32:
        """The distance field `name` on the pixels of a canvas."""
        plane = self._splines[0][index : index + 1].along(0, getattr(self._anatomy, name))[0]
        plane = self._splines[2][canvas.window[1]].along(1, plane)
        return self._splines[1][canvas.window[0]].along(0, plane)

    def _shape(self, canvas: Canvas, name: str, index: int) -> tuple[Canvas, Float32] | None:
        """The part of a canvas in which the shape `name` lies, and its distances there; None: it is not there."""
        plane = self._splines[0][index : index + 1].along(0, getattr(self._anatomy, name))[0] < _MARGIN_MM
        if not plane.any():
            return None
        _, y, x = self._anatomy.grid.axes_mm
        rows, columns = (np.flatnonzero(plane.any(axis=axis)) for axis in (1, 0))
        middle = ((x[columns[0]] + x[columns[-1]]) / 2, (y[rows[0]] + y[rows[-1]]) / 2)
        reach = ((x[columns[-1]] - x[columns[0]]) / 2 + 4, (y[rows[-1]] - y[rows[0]]) / 2 + 4)
        part = canvas.near((float(middle[0]), float(middle[1])), (float(reach[0]), float(reach[1])))
        return (part, self._distance(part, name, index)) if part.hu.size else None

    def _texture(self, tile: Float32, canvas: Canvas, index: int) -> Float32:
        """A texture block repeated over the pixels of a canvas."""
        plane = tile[index % len(tile)]
        rows, columns = (
            np.arange(part.start, part.stop) % n for part, n in zip(canvas.window, plane.shape, strict=True)
        )
        return np.asarray(np.take(np.take(plane, rows, axis=0), columns, axis=1), dtype=np.float32)

    def _paint_inside(self, canvas: Canvas, index: int) -> None:
        """Mediastinal and abdominal fat, the diaphragm, then the organs."""
        inside = self._shape(canvas, "cage", index)
        if inside is not None:
            part, cage = inside
            part.fill(cage, _MEDIASTINUM_HU + 2.2 * self._texture(self._tissue_texture, part, index))
            below = self._distance(part, "diaphragm", index)
            part.lay(np.minimum(part.share(np.abs(below - 0.5) - 1.6), part.share(cage)), _MUSCLE_HU)
        for name, organ_hu in _ORGANS_HU.items():
            organ = self._shape(canvas, name, index)
            if organ is None:
                continue
            part, distance = organ
            part.fill(distance, organ_hu + 0.5 * self._texture(self._tissue_texture, part, index))
            if name == "stomach":  # its gas rises to the front
                part.fill(np.maximum(distance + 6, part.y + 48), AIR_HU)
            elif name == "heart":
                part.lay(0.7 * part.share(np.abs(distance - 2.2) - 0.6), 20.0)  # pericardium

    def _paint_lung(self, canvas: Canvas, name: str, side: int, index: int) -> float:
        """Parenchyma, denser towards the back where the blood sinks, with its fissures; gives the pixels covered."""
        lung = self._shape(canvas, name, index)
        if lung is None:
            return 0.0
        part, distance = lung
        share = part.share(distance)
        parenchyma = self._texture(self._lung_texture, part, index)
        parenchyma += parenchyma_hu(part.y, part.z)
        part.lay(share, parenchyma)
        oblique = oblique_fissure(part.x, part.y, part.z, side)
        _paint_fissure(part, share, oblique)
        if side < 0:
            _paint_fissure(part, share, np.where(oblique > 0, horizontal_fissure(part.x, part.z), 9.0))
        return float(share.sum(dtype=np.float64))


def parenchyma_hu(y: Float32 | float, z: float) -> Float32:
    """Mean HU of aerated lung at a height and depth in the chest."""
    return np.asarray(-864 - 0.05 * z + 0.22 * np.asarray(y), dtype=np.float32)


def _paint_wall(canvas: Canvas, body: Float32, muscle: Float32, cage: Float32, texture: Float32) -> None:
    """Subcutaneous fat, skin, and muscle in layers with planes of fat between them."""
    share = canvas.share(body)
    canvas.lay(share, _FAT_HU + 0.8 * texture)
    canvas.lay(share * canvas.share(-1.8 - body), _SKIN_HU)
    planes = 6 * np.sin(cage / 2.6 + canvas.x / 45 + canvas.y / 30) - 14
    canvas.fill(muscle, _MUSCLE_HU + 1.4 * texture + np.minimum(planes, 0))


def _paint_fissure(canvas: Canvas, share: Float32, distance: Float32) -> None:
    """A sheet thinner than a pixel."""
    near = np.clip(1 - np.abs(distance) / canvas.spacing_mm[2], 0, 1) * (0.12 / canvas.spacing_mm[2])
    canvas.lay((near * share).astype(np.float32), 30.0)


def _empty_scanner(grid: Grid) -> Float32:
    """Air and the table: a curved carbon shell around foam."""
    hu = np.full(grid.shape[1:], AIR_HU, dtype=np.float32)
    canvas = Canvas.whole(hu, grid, 0)
    depth = np.abs(np.hypot(canvas.x, canvas.y + 330) - 486)
    beside = (np.abs(canvas.x) - 200) + 0 * depth
    canvas.fill(np.maximum(depth - 12, beside), -930.0)
    canvas.fill(np.maximum(np.abs(depth - 12) - 0.7, beside), 90.0)
    return hu


def _texture_tile(rng: np.random.Generator, grid: Grid, parts: tuple[tuple[float, float], ...]) -> Float32:
    """A block of random texture in HU that repeats without a seam.

    Args:
        rng: The source of randomness.
        grid: Gives the voxel size.
        parts: (correlation length in mm, standard deviation in HU) of each part.
    """
    total = np.zeros((48, 160, 160), dtype=np.float32)
    for length_mm, deviation_hu in parts:
        part = rng.standard_normal(total.shape, dtype=np.float32)
        part = gaussian_filter(part, [length_mm / step for step in grid.spacing_mm], mode="wrap", truncate=2.5)
        total += part * (deviation_hu / part.std())
    return total
