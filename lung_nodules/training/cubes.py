"""From a nodule crop to a training cube: placed, augmented, and given lung above and below.

Most crops end in the slice direction where the readers' outlines do, so a cube needs slices that the crop does not
have. Two ways are mixed: real lung of another scan, blended over a feather without loss (the seam must teach
nothing), or the end slices repeated, without loss there.

MONAI's random transforms are not used: each keeps a random state of its own, where one generator, seeded by the
example's running number, draws all here; shift, turn, scale and spacing are one resampling by the line's `PatchGrid`;
and none tells how far beyond the crop's end a voxel lies, which decides whether it is known, blended or lung.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.networks.patches import PatchGrid
from lung_nodules.settings import Section
from lung_nodules.training.backgrounds import Background, cut
from lung_nodules.training.scanner_effects import change_kernel, thicken_slices

AIR_HU = -1024
LUNG_BLOCK_VOXELS = 72  # a cube of 48 fits in it, turned and shifted


class CubeSettings(Section):
    """How a cube is drawn from a crop."""

    voxels: int = Field(48, ge=16, le=128, multiple_of=8, description="Side of the cube.")
    spacing_mm: float = Field(1.0, gt=0, le=4)
    center_jitter_mm: float = Field(5.0, ge=0, le=24, description="Greatest shift of the nodule, an axis.")
    rotation_degrees: float = Field(15.0, ge=0, le=45, description="Greatest turn about the slice axis.")
    scaling: float = Field(0.1, ge=0, le=0.5, description="Greatest relative change of size.")
    noise_hu: float = Field(25.0, ge=0, le=200, description="Greatest standard deviation of added noise.")
    gain: float = Field(0.03, ge=0, le=0.5, description="Greatest relative change of contrast.")
    shift_hu: float = Field(50.0, ge=0, le=500, description="Greatest shift of all values.")
    kernel_share: float = Field(0.0, ge=0, le=1, description="Of cubes: blurred or sharpened in plane.")
    kernel_sigma_mm: float = Field(0.8, gt=0, le=3, description="Of that: the Gaussian's standard deviation.")
    thickness_share: float = Field(0.0, ge=0, le=1, description="Of cubes: read as thicker slices.")
    thickness_mm: tuple[float, float] = Field((1.5, 5.0), description="Of that: thinnest and thickest.")
    lung_context: float = Field(0.65, ge=0, le=1, description="Share of cubes with real lung above and below.")
    feather_voxels: int = Field(2, ge=0, le=8, description="Blended slices beyond the crop, without loss.")
    seam_tries: int = Field(
        4, ge=1, le=32, description="Places of lung tried; the one with the smoothest seam is taken."
    )


@dataclass(frozen=True)
class Cube:
    """One training example."""

    hu: npt.NDArray[np.float32]  # [slice, row, column]
    target: npt.NDArray[np.float32]  # soft consensus, 0-1
    known: npt.NDArray[np.float32]  # 1 where the target is known, else 0


@dataclass(frozen=True)
class Excerpt:
    """A block of CT and the place in it that a cube is drawn around."""

    image: npt.NDArray[np.int16]  # [slice, row, column], HU
    inside: npt.NDArray[np.bool_]  # the nodule; the same shape
    spacing_mm: tuple[float, float, float]  # between slices, rows, columns
    center_ijk: npt.NDArray[np.float64]  # slice, row, column
    is_slab: bool  # ends above and below, so that the cube needs slices which the block does not have

    @classmethod
    def of_nodule(cls, crop: NoduleCrop) -> Excerpt:
        """A crop around its nodule."""
        return cls(crop.image, crop.consensus, crop.spacing_mm, crop.center_ijk, crop.kind == "slices")

    @classmethod
    def beside_nodule(cls, crop: NoduleCrop, center_ijk: Sequence[float]) -> Excerpt:
        """A crop around a place outside its nodule."""
        place = np.asarray(center_ijk, dtype=np.float64)
        return cls(crop.image, np.zeros(crop.image.shape, dtype=bool), crop.spacing_mm, place, crop.kind == "slices")

    @classmethod
    def of_lung(cls, background: Background, center_ijk: npt.NDArray[np.int32], like: NoduleCrop) -> Excerpt:
        """A block of a background that ends above and below as a crop does, or not if that has its full context."""
        is_slab = like.kind == "slices"
        depth = max(round(like.image.shape[0] * like.spacing_mm[0]), 1) if is_slab else LUNG_BLOCK_VOXELS
        image = cut(background.hu, center_ijk, (depth, LUNG_BLOCK_VOXELS, LUNG_BLOCK_VOXELS))
        middle = (np.array(image.shape) - 1) / 2
        inside = np.zeros(image.shape, dtype=bool)
        return cls(image, inside, (background.spacing_mm,) * 3, middle, is_slab)


def draw_cube(
    crop: NoduleCrop, backgrounds: Sequence[Background], settings: CubeSettings, rng: np.random.Generator
) -> Cube:
    """Draw one augmented cube that holds (a part of) the crop's nodule."""
    return draw_excerpt(Excerpt.of_nodule(crop), backgrounds, settings, rng)


def draw_excerpt(
    excerpt: Excerpt, backgrounds: Sequence[Background], settings: CubeSettings, rng: np.random.Generator
) -> Cube:
    """Draw one augmented cube around the excerpt's place."""
    grid = _random_grid(excerpt, settings, rng)
    hu = grid.sample(excerpt.image)
    target = grid.sample(excerpt.inside.astype(np.uint8))
    inside_plane, beyond = _coverage(grid, excerpt.image.shape)
    target[beyond > 0] = 0.0
    known = (inside_plane & (beyond <= 0)).astype(np.float32)
    if backgrounds and excerpt.is_slab and rng.random() < settings.lung_context:
        hu = _with_lung(hu, beyond, backgrounds, settings, rng)
        known[inside_plane & (beyond > settings.feather_voxels)] = 1.0
    return augment(Cube(hu, target, known), settings, rng)


def draw_background(
    background: Background, center_ijk: npt.NDArray[np.int32], settings: CubeSettings, rng: np.random.Generator
) -> Cube:
    """Draw a cube without a nodule around a voxel of a background; voxels that are not clear are not known."""
    shape = (settings.voxels,) * 3
    hu = cut(background.hu, center_ijk, shape).astype(np.float32)
    known = cut(background.clear.astype(np.int16), center_ijk, shape).astype(np.float32)
    return augment(Cube(hu, np.zeros_like(hu), known), settings, rng)


def with_slab(cube: Cube, background: Background, settings: CubeSettings, rng: np.random.Generator) -> Cube:
    """Paste a slab of other lung into a cube, so that a seam is no sign of a nodule; the feather has no loss."""
    thickness = int(rng.integers(2, settings.voxels // 2))
    first = int(rng.integers(0, settings.voxels - thickness))
    place = background.lung_ijk[int(rng.integers(len(background.lung_ijk)))]
    slab = cut(background.hu, place, (settings.voxels,) * 3).astype(np.float32)
    clear = cut(background.clear.astype(np.int16), place, (settings.voxels,) * 3).astype(np.float32)
    slices = np.arange(settings.voxels)
    depth = np.minimum(slices - first, first + thickness - 1 - slices)[:, None, None]  # negative outside the slab
    weight = np.clip((depth + settings.feather_voxels) / max(settings.feather_voxels, 1), 0, 1)
    known = np.where(depth >= 0, clear, cube.known) * ((weight == 0) | (weight == 1))
    hu = cube.hu * (1 - weight) + slab * weight
    return Cube(hu.astype(np.float32), cube.target * (depth < 0), known.astype(np.float32))


def with_worn_edges(
    hu: npt.NDArray[np.float32], greatest_voxels: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Repeat the row and the column that lie some voxels inside a random edge out to that edge.

    A cube beside a nodule may leave its crop in plane, where the outermost voxels are repeated; so may every other cube
    after this, and repetition is no sign of anything.
    """
    for axis in (1, 2):
        worn = int(rng.integers(0, greatest_voxels + 1))
        side = hu.shape[axis]
        low, high = (worn, side - 1) if rng.random() < 0.5 else (0, side - 1 - worn)
        hu = np.take(hu, np.clip(np.arange(side), low, high), axis=axis)
    return hu


def augment(cube: Cube, settings: CubeSettings, rng: np.random.Generator) -> Cube:
    """Mirror, transpose in plane, change the scanner where that is wanted, and noise, contrast and level."""
    arrays = [cube.hu, cube.target, cube.known]
    flips = [axis for axis in range(3) if rng.random() < 0.5]
    arrays = [np.flip(array, tuple(flips)) for array in arrays]
    if rng.random() < 0.5:
        arrays = [array.transpose(0, 2, 1) for array in arrays]
    hu, target, known = (np.ascontiguousarray(array) for array in arrays)
    hu = _other_scanner(hu, settings, rng)
    hu = (hu - AIR_HU) * (1 + rng.uniform(-settings.gain, settings.gain)) + AIR_HU
    hu = hu + rng.uniform(-settings.shift_hu, settings.shift_hu)
    noise = rng.standard_normal(hu.shape, dtype=np.float32) * np.float32(rng.uniform(0, settings.noise_hu))
    return Cube((hu + noise).astype(np.float32), target, known)


def _other_scanner(
    hu: npt.NDArray[np.float32], settings: CubeSettings, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Another kernel, thicker slices, both or neither; what is off draws no number."""
    if settings.kernel_share and rng.random() < settings.kernel_share:
        hu = change_kernel(hu, rng.uniform(-1, 1), settings.kernel_sigma_mm / settings.spacing_mm)
    if settings.thickness_share and rng.random() < settings.thickness_share:
        thickness = rng.uniform(*settings.thickness_mm) / settings.spacing_mm
        hu = thicken_slices(hu, thickness, rng.uniform(0, thickness))
    return hu


def _random_grid(excerpt: Excerpt, settings: CubeSettings, rng: np.random.Generator) -> PatchGrid:
    spacing = np.asarray(excerpt.spacing_mm)
    jitter = rng.uniform(-settings.center_jitter_mm, settings.center_jitter_mm, 3)
    angle = np.deg2rad(rng.uniform(-settings.rotation_degrees, settings.rotation_degrees))
    scale = 1 + rng.uniform(-settings.scaling, settings.scaling)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    shape = (settings.voxels,) * 3
    return PatchGrid.centered(
        excerpt.center_ijk + jitter / spacing, excerpt.spacing_mm, shape, settings.spacing_mm, rotation=turn * scale
    )


def _coverage(grid: PatchGrid, source_shape: tuple[int, ...]) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """Which cube voxels lie within the crop's rows and columns, and how far beyond its end slices (<= 0: inside).

    The grid turns about the slice axis only, so slices and planes can be told apart.
    """
    slices, rows, columns = (np.arange(size) for size in grid.shape)
    source_slice = grid.start[0] + grid.matrix[0, 0] * slices
    beyond = np.maximum(-0.5 - source_slice, source_slice - (source_shape[0] - 0.5)) / grid.matrix[0, 0]
    plane = grid.to_source(np.stack(np.meshgrid([0], rows, columns, indexing="ij"), axis=-1))[0]
    inside = (plane[..., 1:] >= -0.5) & (plane[..., 1:] <= np.array(source_shape[1:]) - 0.5)
    full = np.broadcast_to(beyond[:, None, None], grid.shape).astype(np.float32)
    return np.broadcast_to(inside.all(axis=-1), grid.shape), full


def _with_lung(
    hu: npt.NDArray[np.float32],
    beyond: npt.NDArray[np.float32],
    backgrounds: Sequence[Background],
    settings: CubeSettings,
    rng: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """Replace the repeated end slices by lung of a background, blended over the feather."""
    background = backgrounds[int(rng.integers(len(backgrounds)))]
    seam = np.flatnonzero(np.abs(beyond[:, 0, 0] - 0.5) <= 0.5)
    best, best_cost = hu, np.inf
    for _ in range(settings.seam_tries):
        place = background.lung_ijk[int(rng.integers(len(background.lung_ijk)))]
        lung = cut(background.hu, place, (settings.voxels,) * 3).astype(np.float32)
        cost = (
            float(np.abs(np.clip(lung[seam], -1000, 400) - np.clip(hu[seam], -1000, 400)).mean()) if len(seam) else 0.0
        )
        if cost < best_cost:
            best, best_cost = lung, cost
    weight = np.clip(beyond / max(settings.feather_voxels, 1), 0, 1)
    return np.asarray(hu * (1 - weight) + best * weight, dtype=np.float32)
