"""From outlines to what can be measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Nodule:
    """One outlined candidate, measured on the CT's own voxels."""

    label: int  # in the outlines' label map
    candidate_score: float  # 0-1
    center_lps: tuple[float, float, float]  # centroid of the mask, mm
    center_ijk: tuple[float, float, float]  # the same, slice, row, column
    key_slice: int  # index of the slice of largest area
    key_sop_instance_uid: str  # its SOP Instance UID; empty where there is none
    key_instance_number: int | None  # its Instance Number
    long_axis_mm: float  # longest distance within one axial slice, pixel edge to pixel edge
    short_axis_mm: float  # longest extent perpendicular to the long axis, in the same slice
    mean_diameter_mm: float  # mean of the two
    long_axis_slice: int  # the slice in which they were measured
    long_axis_ends_lps: tuple[tuple[float, float, float], tuple[float, float, float]]
    short_axis_ends_lps: tuple[tuple[float, float, float], tuple[float, float, float]]
    volume_mm3: float
    equivalent_sphere_diameter_mm: float
    side: str  # "right", "left" or "" where it touches neither lung
    mean_hu: float
    solid_fraction: float  # share of the mask's voxels above the solid threshold, 0-1
    density: str  # "solid", "part-solid" or "ground-glass", by the solid fraction
    features: dict[str, float]  # the measured features by name, for the classifier
