"""Trachea and main bronchi, followed downwards slice by slice.

Growing a region from the trachea leaks into emphysema; following the lumen from one axial slice to the next, and
refusing cross-sections larger than a carina, does not (after the idea of Hu, Hoffman and Reinhardt, IEEE TMI 2001,
10.1109/42.929615, who follow the trachea so).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from lung_nodules.settings import LungsSettings
from lung_nodules.stages.morphology import Mask, Spacing

_LEAST_FILL = 0.55  # share of its bounding box that a lumen fills (a disc: 0.79), so that clefts start no track
_LEAST_AREA_MM2 = 30.0  # a trachea of 6 mm
_FURTHEST_FROM_MIDDLE_MM = 45.0  # a displaced trachea is still nearer than that


def find_airways(
    hu: npt.NDArray[np.float32], inner_air: Mask, middle: float, spacing_mm: Spacing, settings: LungsSettings
) -> Mask:
    """Find the lumen of trachea and main bronchi.

    Args:
        hu: HU, canonical ``[up, back, left]``.
        inner_air: The air within the body, same shape.
        middle: Index on the left axis of the body's middle.
        spacing_mm: Voxel size, same axes.
        settings: Thresholds.

    Returns:
        Mask of the same shape; empty where no trachea is seen.
    """
    air = inner_air & (hu < settings.airway_hu)
    tracks = _follow_tracks(air, middle, spacing_mm, settings.airway_max_area_mm2)
    lumen = np.zeros_like(air)
    if tracks:
        longest = max(tracks, key=lambda track: sum(int(plane.sum()) for plane in track.values()))
        for index, plane in longest.items():
            lumen[index] = plane
    return lumen


def _follow_tracks(air: Mask, middle: float, spacing_mm: Spacing, most_area_mm2: float) -> list[dict[int, Mask]]:
    """Every lumen that begins near the middle, as its cross-section by slice, followed from the top downwards."""
    tracks: list[dict[int, Mask]] = []
    above: Mask | None = None
    for index in range(air.shape[0] - 1, -1, -1):
        labels, num_labels = ndimage.label(air[index])
        areas_mm2 = np.bincount(labels.ravel(), minlength=num_labels + 1) * spacing_mm[1] * spacing_mm[2]
        small = areas_mm2 <= most_area_mm2
        small[0] = False
        if above is not None:
            section = _section_below(labels, small, above)
        else:
            section = _section_to_start(labels, small & (areas_mm2 >= _LEAST_AREA_MM2), middle, spacing_mm)
            if section.any():
                tracks.append({})
        above = section if section.any() else None
        if above is not None:
            tracks[-1][index] = above
    return tracks


def _section_below(labels: npt.NDArray[np.signedinteger], small: Mask, above: Mask) -> Mask:
    """The small regions of this slice that touch the lumen of the slice above."""
    touched = np.zeros(len(small), dtype=bool)
    touched[labels[ndimage.binary_dilation(above)]] = True
    section: Mask = (touched & small)[labels]
    return section


def _section_to_start(labels: npt.NDArray[np.signedinteger], wanted: Mask, middle: float, spacing_mm: Spacing) -> Mask:
    """The compact region nearest to the middle, where there is one."""
    best, nearest_mm = 0, _FURTHEST_FROM_MIDDLE_MM
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if not wanted[label] or box is None or np.mean(labels[box] == label) < _LEAST_FILL:
            continue
        away_mm = abs((box[1].start + box[1].stop - 1) / 2 - middle) * spacing_mm[2]
        if away_mm < nearest_mm:
            best, nearest_mm = label, away_mm
    section: Mask = (labels == best) & (best > 0)
    return section
