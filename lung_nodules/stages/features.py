"""Measured features of one nodule: what a classifier is given beside the image.

Names and definitions follow the Image Biomarker Standardisation Initiative where it has one (Zwanenburg et al.,
Radiology 2020, 10.1148/radiol.2020191145): intensities over the mask's voxels, shape from a marching-cubes mesh,
texture from co-occurrence within the slices. docs/training.md names the standard's code of each.
Whatever looks outside the mask (shell, margin) looks within the mask's slices only, so that a crop that ends with the
nodule gives the same numbers as the whole CT.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import marching_cubes, mesh_surface_area

from lung_nodules.stages.diameters import Diameters, measure_diameters
from lung_nodules.stages.morphology import bounding_box
from lung_nodules.stages.texture import measure_texture

SOLID_HU = -300.0  # as NodulesSettings.solid_threshold_hu by default; a feature must not change with a setting
CALCIUM_HU = 130.0  # Agatston et al., JACC 1990, 10.1016/0735-1097(90)90282-T
FAT_HU = (-120.0, -40.0)  # hamartoma: Siegelman et al., Radiology 1986, 10.1148/radiology.160.2.3726106
SHELL_MM = 2.0

_IN_PLANE_CROSS = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]], dtype=bool)

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Spacing = tuple[float, float, float]


def measure_features(
    hu: npt.NDArray[np.number], mask: Mask, spacing_mm: Spacing, diameters: Diameters | None = None
) -> dict[str, float]:
    """Measure one nodule.

    Args:
        hu: HU, ``[slice, row, column]``: a CT or a crop, of which the mask may touch every border.
        mask: The nodule, same shape; at least one voxel.
        spacing_mm: Between slices, rows and columns.
        diameters: The mask's, where they are known already.

    Returns:
        Feature by name, in a fixed order, always finite. Lengths in mm, volumes in mm3, densities in HU; log_volume is
        the natural logarithm of mm3; shares, elongation, flatness, sphericity and compactness lie between 0 and 1;
        surface_to_volume in 1/mm; margin_sharpness in HU/mm. Where the crop shows nothing outside the mask, the shell
        is taken from the mask's edge.

    Raises:
        ValueError: The mask is empty.
    """
    diameters = diameters or measure_diameters(mask, spacing_mm)
    box = _widen(bounding_box(mask), mask.shape, spacing_mm)
    near_hu, near = np.asarray(hu[box], dtype=np.float64), mask[box]
    volume_mm3 = float(near.sum() * np.prod(spacing_mm))
    return {
        "log_volume": float(np.log(volume_mm3)),
        "mean_diameter_mm": diameters.mean_mm,
        "long_axis_mm": diameters.long_axis_mm,
        **_densities(near_hu[near]),
        **_surroundings(near_hu, near, spacing_mm),
        **_axes_of_inertia(near, spacing_mm),
        **_surface(near, spacing_mm),
        **measure_texture(near_hu, near),
    }


def _widen(box: tuple[slice, ...], shape: tuple[int, ...], spacing_mm: Spacing) -> tuple[slice, ...]:
    """The box with room for the shell in plane, as far as the array goes."""
    reach = [0, *(int(np.ceil(SHELL_MM / spacing)) + 1 for spacing in spacing_mm[1:])]
    return tuple(
        slice(max(0, side.start - voxels), min(length, side.stop + voxels))
        for side, voxels, length in zip(box, reach, shape, strict=True)
    )


def _densities(hu: FloatArray) -> dict[str, float]:
    """Statistics of the voxels of the mask."""
    low, high = np.percentile(hu, [5, 95])
    return {
        "mean_hu": float(hu.mean()),
        "std_hu": float(hu.std()),
        "p05_hu": float(low),
        "p95_hu": float(high),
        "max_hu": float(hu.max()),
        "solid_share": float((hu > SOLID_HU).mean()),
        "calcium_share": float((hu > CALCIUM_HU).mean()),
        "fat_share": float(((hu >= FAT_HU[0]) & (hu <= FAT_HU[1])).mean()),
    }


def _surroundings(hu: FloatArray, mask: Mask, spacing_mm: Spacing) -> dict[str, float]:
    """The mask's edge, the shell around it, and how sharply the one passes into the other."""
    edge = mask & ~ndimage.binary_erosion(mask)
    shell = ~mask & ndimage.binary_dilation(mask, _disc(SHELL_MM, spacing_mm))
    around = hu[shell] if shell.any() else hu[edge]
    return {
        "edge_mean_hu": float(hu[edge].mean()),
        "shell_mean_hu": float(around.mean()),
        "shell_std_hu": float(around.std()),
        "margin_sharpness": _margin_sharpness(hu, mask, spacing_mm),
    }


def _disc(radius_mm: float, spacing_mm: Spacing) -> Mask:
    """Structuring element ``[1, row, column]`` of all pixels within a radius."""
    reach = [int(radius_mm / spacing) for spacing in spacing_mm[1:]]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    disc: Mask = np.hypot(rows * spacing_mm[1], columns * spacing_mm[2]) <= radius_mm
    return disc[None]


def _margin_sharpness(hu: FloatArray, mask: Mask, spacing_mm: Spacing) -> float:
    """Mean length of the in-plane gradient, HU/mm, over the mask's outermost pixels of each slice."""
    padded = np.pad(hu, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows, columns = np.gradient(padded, *spacing_mm[1:], axis=(1, 2))
    steepness = np.hypot(rows, columns)[:, 1:-1, 1:-1]
    rim = mask & ~ndimage.binary_erosion(mask, _IN_PLANE_CROSS)
    return float(steepness[rim].mean())


def _axes_of_inertia(mask: Mask, spacing_mm: Spacing) -> dict[str, float]:
    """Elongation and flatness (IBSI Q3CK, N17B): second and third semi-axis over the first, a ball's are 1.

    Each voxel counts as a box, not as a point, so that a single one has axes, too.
    """
    positions = np.argwhere(mask) * np.asarray(spacing_mm)
    centred = positions - positions.mean(axis=0)
    moments = centred.T @ centred / len(centred) + np.diag(np.square(spacing_mm)) / 12
    least, minor, major = np.sqrt(np.linalg.eigvalsh(moments))
    return {"elongation": float(minor / major), "flatness": float(least / major)}


def _surface(mask: Mask, spacing_mm: Spacing) -> dict[str, float]:
    """Shape from the mesh of the mask (IBSI: C0JK surface, RNU0 volume, QCFX sphericity, BQWJ compactness 2)."""
    vertices, faces, _, _ = marching_cubes(np.pad(mask, 1).astype(np.float32), 0.5, spacing=spacing_mm)
    area_mm2 = float(mesh_surface_area(vertices, faces))
    corners = vertices[faces].astype(float)
    volume_mm3 = abs(float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum())) / 6
    sphericity = (36 * np.pi * volume_mm3**2) ** (1 / 3) / area_mm2
    return {
        "sphericity": float(sphericity),
        "compactness": float(sphericity**3),
        "surface_to_volume": area_mm2 / volume_mm3,
    }
