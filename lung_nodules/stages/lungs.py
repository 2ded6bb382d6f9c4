"""From the volume to the two lungs.

Threshold and morphology on HU, the classic recipe (Hu, Hoffman and Reinhardt, IEEE TMI 2001, 10.1109/42.929615;
Armato and Sensakovic, Acad Radiol 2004, 10.1016/j.acra.2004.06.005 for the rolling ball): denoise, threshold, drop
the air outside, the gas of the bowel and the large airways, tell left from right, close. It needs no training data,
fails in ways that can be seen, and takes a second because it works on blocks of about 2 mm.

In: a `Volume` in any orientation. Out: `Lungs` on the CT's own grid, or a refusal where there are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import LungsSettings, Settings
from lung_nodules.stages.airways import find_airways
from lung_nodules.stages.lung_grid import CoarseGrid, gather_blocks
from lung_nodules.stages.lung_sides import close_lung, split_sides
from lung_nodules.stages.morphology import Mask, Spacing, bounding_box, dilate, erode, touching_sides
from lung_nodules.stages.volume import Volume

RIGHT_LUNG = 1
LEFT_LUNG = 2

_PADDING_BELOW_HU = -1020.0  # in all slices: no air, but what lies outside a round field of view
_BODY_OPENING_MM = 4.0  # thinner than twice this is table, tube or blanket
_LEAST_DEPTH_MM = 15.0  # half the thickness that no mattress has and every lung


@dataclass(frozen=True)
class Lungs:
    """Where the lungs are."""

    label_map: npt.NDArray[np.uint8]  # [slice, row, column] on the CT's grid; 0 outside, RIGHT_LUNG, LEFT_LUNG
    right_litres: float
    left_litres: float
    bounding_box: tuple[slice, slice, slice]  # of both lungs, [slice, row, column]


def segment_lungs(volume: Volume, settings: Settings) -> Lungs:
    """Find both lungs, nodules and masses on the pleura included, trachea and main bronchi left out.

    Args:
        volume: The CT, any orientation, HU.
        settings: `Settings.lungs` is read.

    Returns:
        The lungs on the CT's grid. Right and left are the patient's.

    Raises:
        InputRefusal: ``no-lungs`` where less lung than `min_total_litres` is found.
    """
    limits = settings.lungs
    hu, grid = gather_blocks(volume, limits.working_spacing_mm)
    blocks = _label_lungs(hu, grid, limits)
    if np.count_nonzero(blocks) * grid.voxel_litres < limits.min_total_litres:
        raise InputRefusal(
            "no-lungs",
            f"The series shows less than {limits.min_total_litres:g} litres of lung.",
            "Choose a CT of the chest.",
        )
    box = grid.restore_box(bounding_box(blocks > 0))
    label_map = grid.restore(blocks)
    litres_per_voxel = volume.geometry.voxel_volume_mm3 / 1e6
    return Lungs(
        label_map=label_map,
        right_litres=np.count_nonzero(label_map[box] == RIGHT_LUNG) * litres_per_voxel,
        left_litres=np.count_nonzero(label_map[box] == LEFT_LUNG) * litres_per_voxel,
        bounding_box=box,
    )


def _label_lungs(blocks_hu: npt.NDArray[np.float32], grid: CoarseGrid, limits: LungsSettings) -> npt.NDArray[np.uint8]:
    """The closed lungs on the blocks: 0, RIGHT_LUNG, LEFT_LUNG, canonical ``[up, back, left]``."""
    label_map = np.zeros(blocks_hu.shape, dtype=np.uint8)
    hu = _denoise(blocks_hu, grid.spacing_mm, limits.denoise_sigma_mm)
    inner_air, middle = _find_inner_air(hu, grid, limits)
    if not inner_air.any():
        return label_map
    box = bounding_box(inner_air)
    inner_air, middle = inner_air[box], middle - box[2].start
    lumen = find_airways(blocks_hu[box], inner_air, middle, grid.spacing_mm, limits)
    airways = dilate(lumen, limits.airway_wall_mm + max(grid.spacing_mm[1:]) / 2, grid.spacing_mm)
    lung = _lung_components(inner_air & ~airways, hu[box], grid.voxel_litres, limits)
    no_lung = airways | (inner_air & ~lung)
    right, left = split_sides(lung, middle, grid.spacing_mm)
    view = label_map[box]
    view[close_lung(left, "left", no_lung | right, grid.spacing_mm, limits)] = LEFT_LUNG
    view[close_lung(right, "right", no_lung | left, grid.spacing_mm, limits)] = RIGHT_LUNG
    return label_map


def _denoise(hu: npt.NDArray[np.float32], spacing_mm: Spacing, sigma_mm: float) -> npt.NDArray[np.float32]:
    sigma = [sigma_mm / spacing for spacing in spacing_mm]
    smooth: npt.NDArray[np.float32] = ndimage.gaussian_filter(hu, sigma, mode="nearest", truncate=2.0)
    return smooth


def _find_inner_air(hu: npt.NDArray[np.float32], grid: CoarseGrid, limits: LungsSettings) -> tuple[Mask, float]:
    """Air within the body (lungs, airways, bowel), and the index on the left axis of the body's middle.

    Within is what has the body in front of it, behind it, and on one side at least: a lung that the field of view cuts
    on one side still counts, the mattress of the table does not. Thin things (the table's shell, tubes) are opened away
    before. Of that, what is joined to the air at the border is left out. Where that is a lung that the field of view
    cuts, the padding around a round field of view stands for the chest wall that is not shown.
    """
    air = hu < limits.air_threshold_hu
    outside = touching_sides(air)
    core = cc3d.largest_k(erode(~air, _BODY_OPENING_MM, grid.spacing_mm), k=1, connectivity=6) > 0
    front, back = _shadows(core, 1)
    right, left = _shadows(core, 2)
    inside = front & back & (right | left)
    per_column = inside.sum(axis=(0, 1))
    middle = float(per_column @ np.arange(len(per_column)) / max(1, per_column.sum()))
    if _lungs_are_cut(outside & inside & (hu > limits.outside_air_hu), grid, limits):
        padding: Mask = np.all(hu < _PADDING_BELOW_HU, axis=0, keepdims=True)
        padding_right, padding_left = _shadows(padding, 2)
        inside |= (right & padding_left) | (left & padding_right)
        return _lung_within_cut_field(air & inside, hu, grid.spacing_mm, limits), middle
    return air & inside & ~outside, middle


def _lungs_are_cut(lost: Mask, grid: CoarseGrid, limits: LungsSettings) -> bool:
    """Whether what is denser than air, yet joined to the air outside, is a lung that the field of view cuts.

    Partial volume along the skin is as dense, but thin.
    """
    if np.count_nonzero(lost) * grid.voxel_litres < limits.min_total_litres:
        return False
    thick = erode(lost, _BODY_OPENING_MM, grid.spacing_mm)
    return bool(np.count_nonzero(thick) * grid.voxel_litres >= limits.min_total_litres / 3)


def _lung_within_cut_field(air: Mask, hu: npt.NDArray[np.float32], spacing_mm: Spacing, limits: LungsSettings) -> Mask:
    """The air within the body where only HU tell a cut lung from the air outside; thin pieces are skin or mattress."""
    outside = dilate(touching_sides(hu < limits.outside_air_hu), 1.5 * max(spacing_mm[1:]), spacing_mm)
    labels = cc3d.connected_components(air & ~outside, connectivity=6)
    thick = np.unique(labels[erode(labels > 0, _LEAST_DEPTH_MM, spacing_mm)])
    kept: Mask = np.isin(labels, thick[thick > 0])
    return kept


def _shadows(mask: Mask, axis: int) -> tuple[Mask, Mask]:
    """Voxels that have the mask at or before them along an axis, and at or after them."""
    before: Mask = np.logical_or.accumulate(mask, axis=axis)
    after: Mask = np.flip(np.logical_or.accumulate(np.flip(mask, axis), axis=axis), axis)
    return before, after


def _lung_components(air: Mask, hu: npt.NDArray[np.float32], voxel_litres: float, limits: LungsSettings) -> Mask:
    """The components that are large enough and hold lung rather than gas: at most half of them is as light as gas."""
    labels = cc3d.connected_components(air, connectivity=6)
    counts = np.bincount(labels[air], minlength=int(labels.max()) + 1)
    gas = np.bincount(labels[air & (hu < limits.gas_hu)], minlength=len(counts))
    wanted = (counts * voxel_litres >= limits.min_component_litres) & (gas <= counts / 2)
    wanted[0] = False
    lung: Mask = wanted[labels]
    return lung
