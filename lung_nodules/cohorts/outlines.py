"""From what a reader drew to voxels: outlines filled, their own pixels left out, holes taken out.

LIDC's outlines run along the first pixels outside the nodule (Armato 2011, 10.1118/1.3528204), so a filled outline
loses the pixels that were drawn. Within is what lies in the polygon or is shut in by drawn pixels: the polygon closes
an outline with a gap (13 of the collection's 41,406), the pixels keep the loops of one that crosses itself (93), which
pylidc's polygon takes for outside. All other masks are those of pylidc, whose code does not run on today's numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes
from scipy.spatial.distance import pdist
from skimage.draw import polygon

from lung_nodules.cohorts.marks import Annotation, Outline, PointMark
from lung_nodules.stages.geometry import Geometry

Mask = npt.NDArray[np.bool_]
SliceOf = Callable[[Outline], int | None]


@dataclass(frozen=True)
class Block:
    """A mask that is kept only where it may be set."""

    origin_ijk: tuple[int, int, int]  # slice, row, column of its first voxel in the scan
    mask: Mask = field(repr=False)  # [slice, row, column]


class SliceFinder:
    """Tells in which slice of a scan a mark lies.

    By the image's UID; where the scan does not hold it, or the mark names none, by z: the nearest slice within half a
    slice spacing.

    Args:
        geometry: Of the scan; axial.
    """

    def __init__(self, geometry: Geometry) -> None:
        self._by_uid = {uid: index for index, uid in enumerate(geometry.sop_instance_uids)}
        slices = np.zeros((geometry.shape[0], 3))
        slices[:, 0] = np.arange(geometry.shape[0])
        self._z_lps_mm = geometry.to_world(slices)[:, 2]
        self._reach_mm = geometry.spacing_mm[0] / 2

    def __call__(self, mark: Outline | PointMark) -> int | None:
        """The slice's index; None where the mark lies in no slice of the scan."""
        if mark.sop_instance_uid in self._by_uid:
            return self._by_uid[mark.sop_instance_uid]
        distances = np.abs(self._z_lps_mm - mark.z_lps_mm)
        nearest = int(distances.argmin())
        return nearest if distances[nearest] <= self._reach_mm else None


def fill_outline(points: npt.NDArray[np.int32], shape: tuple[int, int]) -> Mask:
    """The pixels within an outline [row, column]; its own pixels are outside.

    Args:
        points: [n, 2] column, row.
        shape: Rows and columns; what lies beyond is cut off.
    """
    low, high = points.min(axis=0) - 1, points.max(axis=0) + 2
    columns, rows = (points - low).T
    drawn = np.zeros((high - low)[::-1], dtype=bool)
    drawn[rows, columns] = True
    within = binary_fill_holes(drawn)
    within[polygon(rows, columns, drawn.shape)] = True
    mask = np.zeros(shape, dtype=bool)
    inside = np.argwhere(within & ~drawn) + low[::-1]
    inside = inside[((inside >= 0) & (inside < shape)).all(axis=1)]
    mask[tuple(inside.T)] = True
    return mask


def fill_annotation(annotation: Annotation, slice_of: SliceOf, shape: tuple[int, int]) -> Block | None:
    """The voxels that one reader's outlines enclose; several outlines in a slice add up, then holes are taken out.

    Args:
        annotation: One reader's marking.
        slice_of: Which slice an outline lies in; outlines in none are left out.
        shape: Rows and columns of the scan.

    Returns:
        A block that just holds the outlines; None where no outline lies in the scan.
    """
    placed = [(index, outline) for outline in annotation.outlines if (index := slice_of(outline)) is not None]
    if not placed:
        return None
    low, high = _plane_box([outline for _, outline in placed], shape)
    slices = [index for index, _ in placed]
    mask = np.zeros((max(slices) - min(slices) + 1, *(high - low)), dtype=bool)
    for index, outline in sorted(placed, key=lambda pair: not pair[1].is_inclusion):
        plane, points = mask[index - min(slices)], (outline.points - low[::-1]).astype(np.int32)
        filled = fill_outline(points, plane.shape)
        if outline.is_inclusion:
            plane |= filled
        else:
            plane &= ~filled
            _erase(plane, points)
    return Block((min(slices), int(low[0]), int(low[1])), mask)


def outline_diameter_mm(annotation: Annotation, spacing_mm: tuple[float, float]) -> float:
    """The longest distance between two points of one outline, over all outlines, mm.

    Args:
        annotation: One reader's marking.
        spacing_mm: Between rows and between columns.
    """
    return max(
        (
            float(pdist(outline.points * np.array(spacing_mm[::-1])).max())
            for outline in annotation.outlines
            if outline.is_inclusion and len(outline.points) > 1
        ),
        default=0.0,
    )


def _plane_box(outlines: Sequence[Outline], shape: tuple[int, int]) -> tuple[npt.NDArray[np.int64], ...]:
    """First and one past the last row and column of all points, within the scan."""
    points = np.concatenate([outline.points for outline in outlines])[:, ::-1]
    low = np.clip(points.min(axis=0), 0, np.array(shape) - 1)
    high = np.clip(points.max(axis=0) + 1, low + 1, shape)
    return low.astype(np.int64), high.astype(np.int64)


def _erase(plane: Mask, points: npt.NDArray[np.int32]) -> None:
    columns, rows = points.T
    inside = (rows >= 0) & (rows < plane.shape[0]) & (columns >= 0) & (columns < plane.shape[1])
    plane[rows[inside], columns[inside]] = False
