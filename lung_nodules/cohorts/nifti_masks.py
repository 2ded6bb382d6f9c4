"""Nodules as NIfTI masks, in the place of outlines.

A scan is a folder of DICOM files `NAME/` or a file `NAME.nii.gz`; its masks are `NAME_<anything>.nii.gz` beside it,
each one reader's (four at most). In a mask, every value above zero is a nodule; where it has only one value, every
connected component is. Read with nibabel; a mask must lie on the scan's own grid, mirrored or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cc3d
import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_erosion, find_objects

from lung_nodules.cohorts.building import LoadedScan, ScanSource
from lung_nodules.cohorts.clustering import MAX_READERS, Points, cluster_marks
from lung_nodules.cohorts.ct import NIFTI_ENDINGS, mirrored, read_ct, read_nifti, turned_axes, upright
from lung_nodules.cohorts.nodules import ReadNodule, lay_together
from lung_nodules.cohorts.outlines import Block
from lung_nodules.errors import InputRefusal
from lung_nodules.stages.geometry import Geometry

_SAME_VOXELS = 0.1  # a corner of the mask may lie this far from that of the scan
_CONNECTIVITY = 26


def find_masked_scans(folder: Path) -> tuple[ScanSource, ...]:
    """The scans of a folder that have masks; the patient is the scan's name.

    Raises:
        InputRefusal: ``no-scans`` where the folder does not exist.
    """
    if not folder.is_dir():
        raise InputRefusal("no-scans", f"There is no folder {folder}.")
    niftis = {path.name[: -len(ending)]: path for path in sorted(folder.iterdir()) if (ending := _ending(path))}
    scans = niftis | {path.name: path for path in sorted(folder.iterdir()) if path.is_dir()}
    masks: dict[str, list[Path]] = {}
    for name, path in niftis.items():
        owner = max((scan for scan in scans if name.startswith(f"{scan}_")), key=len, default=None)
        if owner is not None:
            masks.setdefault(owner, []).append(path)
    return tuple(_source(name, scans[name], paths) for name, paths in masks.items() if name not in _taken(masks))


def gather_masks(masks: Sequence[npt.NDArray[np.integer]], spacing_mm: tuple[float, float, float]) -> list[ReadNodule]:
    """Bring the nodules of several readers' masks together.

    Args:
        masks: Per reader a label map [slice, row, column] on the scan's grid.
        spacing_mm: Between slices, rows, columns.
    """
    blocks: list[Block] = []
    readers: list[int] = []
    for reader, mask in enumerate(masks):
        found = _blocks(mask)
        blocks += found
        readers += [reader] * len(found)
    points_mm = [_surface_mm(block, spacing_mm) for block in blocks]
    groups = cluster_marks(points_mm, readers, spacing_mm[0])
    nodules = [lay_together([blocks[index] for index in group], [{} for _ in group]) for group in groups]
    return sorted((nodule for nodule in nodules if nodule), key=lambda nodule: nodule.origin_ijk)


def _source(name: str, path: Path, mask_paths: Sequence[Path]) -> ScanSource:
    def load() -> LoadedScan:
        if len(mask_paths) > MAX_READERS:
            raise InputRefusal("too-many-masks", f"A scan has more than {MAX_READERS} masks.")
        volume = upright(read_ct(path))
        masks = [_read_mask(mask_path, volume.geometry) for mask_path in mask_paths]
        return LoadedScan(volume, gather_masks(masks, volume.geometry.spacing_mm))

    return ScanSource(name, "", load, path)


def _read_mask(path: Path, geometry: Geometry) -> npt.NDArray[np.integer]:
    """A label map on the upright grid of a scan."""
    values, own = read_nifti(path)
    labels = np.round(values.astype(np.float64)).astype(np.int32)
    axes = turned_axes(own)
    corners = np.array(np.meshgrid(*[(0, size - 1) for size in geometry.shape], indexing="ij")).reshape(3, -1).T
    off = geometry.to_index(mirrored(own, axes).to_world(corners)) - corners if own.shape == geometry.shape else np.inf
    if np.abs(off).max() > _SAME_VOXELS or labels.min() < 0:
        raise InputRefusal("mask-off-grid", "A mask does not lie on the grid of its scan, or is no mask.")
    return np.ascontiguousarray(np.flip(labels, axes))


def _blocks(mask: npt.NDArray[np.integer]) -> list[Block]:
    """Each nodule of a label map."""
    labels = cc3d.connected_components(mask > 0, connectivity=_CONNECTIVITY) if len(np.unique(mask)) <= 2 else mask
    blocks = []
    for label, box in enumerate(find_objects(np.asarray(labels, dtype=np.int32)), start=1):
        if box is not None:
            blocks.append(Block((box[0].start, box[1].start, box[2].start), np.asarray(labels[box] == label)))
    return blocks


def _surface_mm(block: Block, spacing_mm: tuple[float, float, float]) -> Points:
    surface = block.mask & ~binary_erosion(block.mask)
    return np.asarray((np.argwhere(surface) + block.origin_ijk) * np.asarray(spacing_mm))


def _ending(path: Path) -> str:
    return next((ending for ending in NIFTI_ENDINGS[::-1] if path.name.endswith(ending)), "")


def _taken(masks: dict[str, list[Path]]) -> set[str]:
    """Names of scans that are themselves masks of another scan."""
    return {path.name[: -len(_ending(path))] for paths in masks.values() for path in paths}
