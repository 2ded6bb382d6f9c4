"""A real nodule lifted out of its crop, and laid into other lung so that the seam teaches nothing.

Our own, because copy-and-paste in the libraries (MONAI, TorchIO, Albumentations) is a hard cut or a fade from one lung
to another, and both can be told from lung: a fade of two textures has less noise than either. Here lung is never
blended with lung. Within the readers' union the crop is taken as it is; around it only what is denser than the crop's
lung is (the nodule's rim and the roots of its vessels), as the share of tissue that it means (partial volume, as in
alpha matting), and that fades over a few millimetres. What looks like lung in the crop stays the host's own voxel.

A crop that ends where its nodule does fades out over the one slice that it does not have, as linear interpolation
between its end slice and the host would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import edt
import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import ndimage

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.networks.patches import PatchGrid
from lung_nodules.settings import Section

Array = npt.NDArray[np.float32]
Spacing = tuple[float, float, float]

LUNG_BELOW_HU = -500  # what around a nodule counts as lung
TISSUE_HU = 40.0  # the other end of partial volume
USUAL_LUNG_HU = -850.0  # the level where a crop shows no lung
LEVELS_HU = (-980.0, -600.0)  # of lung: what is matched stays within
CROP_STEP_HU = 8  # crops are rounded to multiples of this
SHELL_MM = (2.0, 5.0)  # around a nodule: where soft tissue means that it is attached
_FWHM = 2.3548  # of a Gaussian of standard deviation one


class LayerSettings(Section):
    """How a nodule is taken."""

    margin_mm: float = Field(default=0.5, ge=0, le=10, description="Taken whole around the readers' union.")
    edge_mm: float = Field(default=1.0, gt=0, le=10, description="Over which the crop gives way beyond that.")
    halo_mm: float = Field(default=2.5, ge=0, le=20, description="How far out denser surroundings are taken.")
    halo_above_hu: float = Field(default=75.0, ge=0, description="Excess over lung that is noise and not taken.")
    halo_sigma_mm: float = Field(default=0.7, ge=0, le=5, description="Smoothing before that is decided.")


@dataclass(frozen=True)
class Layer:
    """A nodule on a host's spacing; its middle voxel is the nodule's centre. All arrays are [slice, row, column]."""

    hu: Array = field(repr=False)
    core: Array = field(repr=False)  # share of the crop
    halo: Array = field(repr=False)  # share of tissue in what the core leaves
    ring: Array = field(repr=False)  # weight of the surroundings that a place should match
    inside: Array = field(repr=False)  # soft consensus, 0-1
    spacing_mm: Spacing

    def turned(self, mirrored: Sequence[int], transposed: bool) -> Layer:
        """The layer mirrored along axes and, where wanted, with rows and columns exchanged."""
        axes = (0, 2, 1) if transposed else (0, 1, 2)
        hu, core, halo, ring, inside = (
            np.flip(array, tuple(mirrored)).transpose(axes)
            for array in (self.hu, self.core, self.halo, self.ring, self.inside)
        )
        return Layer(hu, core, halo, ring, inside, self.spacing_mm)

    def orientations(self) -> list[Layer]:
        """The layer in the ways in which a nodule may as well lie, slices staying slices."""
        ways = product(((), (0,)), ((), (1,)), ((), (2,)), (False, True))
        square = self.spacing_mm[1] == self.spacing_mm[2]
        return [self.turned((*z, *y, *x), swapped) for z, y, x, swapped in ways if square or not swapped]

    @property
    def share(self) -> Array:
        """How much of each voxel is not the host's; 0: it stays as it is."""
        return np.asarray(1 - (1 - self.core) * (1 - self.halo), dtype=np.float32)


def lift(crop: NoduleCrop, spacing_mm: Spacing, settings: LayerSettings) -> Layer:
    """Bring a crop's nodule to a host's spacing.

    Where the host is coarser the crop is smoothed first, as a thicker slice would have.

    Raises:
        ValueError: The consensus is empty.
    """
    if not crop.consensus.any():
        raise ValueError(f"{crop.nodule_id} has an empty consensus")
    reach_mm = max(settings.margin_mm + settings.edge_mm, settings.halo_mm)
    padding = [int(np.ceil(reach_mm / mm)) + 1 for mm in crop.spacing_mm]
    away_mm = _distances(crop, padding)
    hu = np.pad(crop.image.astype(np.float32), [(n, n) for n in padding], mode="edge")
    core = np.clip((settings.margin_mm + settings.edge_mm - away_mm) / settings.edge_mm, 0, 1)
    ring = np.clip(1 - away_mm / max(settings.halo_mm, 1e-6), 0, 1)
    halo = ring * _tissue(hu, (ring > 0) & (core <= 0), crop.spacing_mm, settings)
    inside = np.pad(crop.consensus.astype(np.float32), [(n, n) for n in padding])
    grid = _grid(crop.center_ijk + padding, np.isfinite(away_mm) & (away_mm < reach_mm), crop.spacing_mm, spacing_mm)
    sigmas = [smoothing(own, host) for own, host in zip(crop.spacing_mm, spacing_mm, strict=True)]
    hu, core, halo, ring, inside = (
        grid.sample(ndimage.gaussian_filter(array.astype(np.float32), sigmas))
        for array in (hu, core, halo, ring, inside)
    )
    return Layer(hu, core, halo, ring, inside, spacing_mm)


def lay(layer: Layer, host: npt.NDArray[np.generic], rng: np.random.Generator) -> Array:
    """Lay a nodule over a block of a host of the layer's shape; HU. Where the layer's share is 0 the host stays."""
    ground = host.astype(np.float32)
    dither = rng.uniform(-CROP_STEP_HU / 2, CROP_STEP_HU / 2, ground.shape)  # crops are rounded, hosts are not
    tissue = np.maximum(layer.hu, TISSUE_HU)
    around = ground + layer.halo * np.maximum(tissue - ground, 0)
    return np.asarray(layer.core * (_matched(layer, ground) + dither) + (1 - layer.core) * around, dtype=np.float32)


def seam_cost(layer: Layer, host: npt.NDArray[np.generic]) -> float:
    """Mean absolute difference of a nodule's surroundings and a host's, levels matched, HU within -1000 .. 200."""
    around = layer.ring * (1 - layer.core) > 0.05
    if not around.any():
        return 0.0
    own, other = layer.hu[around], host[around].astype(np.float32)
    own = _at_level(own, _lung_level(own), _lung_level(other))
    return float(np.abs(np.clip(own, -1000, 200) - np.clip(other, -1000, 200)).mean())


def attachment(crop: NoduleCrop) -> float:
    """Share of soft tissue in the shell around a nodule: near 0 within lung, about a half on a flat pleura."""
    away_mm = edt.edt(np.ascontiguousarray(crop.masks == 0), anisotropy=crop.spacing_mm)
    shell = (away_mm >= SHELL_MM[0]) & (away_mm <= SHELL_MM[1])
    return float((crop.image[shell] > LUNG_BELOW_HU).mean()) if shell.any() else 0.0


def _distances(crop: NoduleCrop, padding: Sequence[int]) -> Array:
    """Distance from the readers' union in mm on the padded crop; infinite where the crop has no voxel."""
    outside = np.pad(crop.masks == 0, [(n, n) for n in padding], constant_values=True)
    own = np.pad(np.ones(crop.image.shape, dtype=bool), [(n, n) for n in padding])
    return np.asarray(np.where(own, edt.edt(outside, anisotropy=crop.spacing_mm), np.inf), dtype=np.float32)


def _tissue(hu: Array, around: npt.NDArray[np.bool_], spacing_mm: Spacing, settings: LayerSettings) -> Array:
    """The share of tissue that a crop's HU mean, its lung being 0."""
    level = _lung_level(hu[around])
    smooth = ndimage.gaussian_filter(hu, [settings.halo_sigma_mm / mm for mm in spacing_mm])
    excess = smooth - ((USUAL_LUNG_HU if level is None else level) + settings.halo_above_hu)
    full = TISSUE_HU - (USUAL_LUNG_HU if level is None else level) - settings.halo_above_hu
    return np.asarray(np.clip(excess / full, 0, 1), dtype=np.float32)


def _grid(
    center_ijk: npt.NDArray[np.float64], taken: npt.NDArray[np.bool_], own_mm: Spacing, host_mm: Spacing
) -> PatchGrid:
    """The host's grid around the centre, as large as what is taken; odd, so that its middle voxel is the centre."""
    places = np.argwhere(taken)
    reach = np.maximum(places.max(axis=0) - center_ijk, center_ijk - places.min(axis=0))
    reach_mm = (reach + 1) * own_mm  # linear interpolation takes from the next voxel too
    half = np.ceil(reach_mm / host_mm).astype(int) + 1
    half[1:] = half[1:].max()  # so that rows and columns can be exchanged
    step = np.array(host_mm) / own_mm
    return PatchGrid(center_ijk - half * step, np.diag(step), (*(2 * int(n) + 1 for n in half),))  # type: ignore[arg-type]


def smoothing(own_mm: float, host_mm: float) -> float:
    """Standard deviation, in the crop's voxels, that widens a profile from the crop's to the host's spacing."""
    return float(np.sqrt(max(host_mm**2 - own_mm**2, 0.0)) / _FWHM / own_mm)


def _matched(layer: Layer, host: Array) -> Array:
    """The layer's HU with its lung at the level of the host's lung around it."""
    around = layer.ring * (1 - layer.core) > 0.05
    return _at_level(layer.hu, _lung_level(layer.hu[around]), _lung_level(host[around]))


def _at_level(hu: Array, own: float | None, other: float | None) -> Array:
    """HU brought from one lung level to another; what is denser than tissue stays as it is.

    HU between lung and tissue are mixtures of both, so the map is linear between the two. Unchanged where there is no
    lung to compare.
    """
    if own is None or other is None:
        return hu
    mapped = TISSUE_HU + (hu - TISSUE_HU) * (TISSUE_HU - other) / (TISSUE_HU - own)
    return np.where(hu < TISSUE_HU, mapped, hu).astype(np.float32)


def _lung_level(hu: Array) -> float | None:
    lung = hu[hu < LUNG_BELOW_HU]
    return float(np.clip(np.median(lung), *LEVELS_HU)) if len(lung) >= 10 else None
