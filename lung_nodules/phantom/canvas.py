"""A part of one axial slice to paint tissues on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lung_nodules.phantom.grid import Float32, Grid


@dataclass(frozen=True)
class Canvas:
    """A window of one axial slice; `hu` is a view, so that painting on it paints the slice."""

    hu: Float32  # [row, column]
    x: Float32  # [1, column], mm
    y: Float32  # [row, 1], mm
    z: float  # mm
    window: tuple[slice, slice]  # of the slice's rows and columns
    spacing_mm: tuple[float, float, float]

    @classmethod
    def whole(cls, hu: Float32, grid: Grid, index: int) -> Canvas:
        """All of slice `index` of `grid`."""
        z, y, x = grid.axes_mm
        rows, columns = grid.shape[1:]
        window = (slice(0, rows), slice(0, columns))
        return cls(hu, x[None, :], y[:, None], float(z[index]), window, grid.spacing_mm)

    def crop(self, window: tuple[slice, slice]) -> Canvas:
        """A window of this one, its slices counted from this one's first row and column."""
        rows, columns = (
            slice(outer.start + inner.start, outer.start + inner.stop)
            for outer, inner in zip(self.window, window, strict=True)
        )
        return Canvas(
            self.hu[window], self.x[:, window[1]], self.y[window[0]], self.z, (rows, columns), self.spacing_mm
        )

    def near(self, center_xy_mm: tuple[float, float], reach_xy_mm: tuple[float, float]) -> Canvas:
        """The part within a reach of a point; it may be empty."""
        return self.crop(
            (
                _within(self.y[:, 0], center_xy_mm[1], reach_xy_mm[1]),
                _within(self.x[0], center_xy_mm[0], reach_xy_mm[0]),
            )
        )

    def share(self, distance: Float32) -> Float32:
        """The share of each pixel inside a surface, from the distance in mm of the pixel's centre (inside < 0)."""
        covered = distance * np.float32(-1 / self.spacing_mm[2])
        covered += 0.5
        return np.clip(covered, 0, 1, out=covered)

    def lay(self, share: Float32, tissue_hu: Float32 | float) -> None:
        """Cover a share (0-1) of each pixel with a tissue."""
        over = tissue_hu - self.hu
        over *= share
        np.add(self.hu, over, out=self.hu)

    def fill(self, distance: Float32, tissue_hu: Float32 | float) -> None:
        """Fill the inside of a surface with a tissue."""
        self.lay(self.share(distance), tissue_hu)


def _within(axis_mm: Float32, center_mm: float, reach_mm: float) -> slice:
    first, last = np.searchsorted(axis_mm, (center_mm - reach_mm, center_mm + reach_mm))
    return slice(int(first), int(last))
