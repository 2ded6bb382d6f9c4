"""Nodules of known shape: where they lie, how they are drawn, and what is true of them.

A nodule is a body whose radius depends on the direction: an ellipsoid with low bumps. It is drawn from many points
within each voxel, so that its volume and its centre are true to a small part of a voxel; scanner blur comes later,
as for everything else, and moves neither. What is true of a nodule is read off the same points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial.distance import pdist

from lung_nodules.errors import UsageRefusal
from lung_nodules.phantom.anatomy import Anatomy
from lung_nodules.phantom.grid import Float32, Grid, resample
from lung_nodules.phantom.placement import Neighbourhood, find_place, lung_at
from lung_nodules.phantom.settings import NoduleKind, NoduleSpec, PhantomSettings
from lung_nodules.phantom.tissues import parenchyma_hu
from lung_nodules.phantom.tubes import box_around

_SOLID_HU = (25.0, 55.0)
_GROUND_GLASS_HU = (-670.0, -560.0)
_CORE_SHARE = 0.5  # diameter of a part-solid nodule's core, of the whole
_NUM_SPICULES = 18


class NoduleTruth(BaseModel):
    """What is true of one nodule, before scanner blur and noise. Spicules are not counted as part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodule_id: str = Field(description='"P1", "P2", ... in the order of the settings.')
    kind: NoduleKind
    center_lps: tuple[float, float, float] = Field(description="Centroid, mm.")
    longest_axial_diameter_mm: float = Field(description="Longest distance between two of its points in one slice.")
    volume_mm3: float
    equivalent_sphere_diameter_mm: float
    mean_hu: float
    side: str = Field(description='"right" or "left".')


@dataclass(frozen=True)
class Shape:
    """A body around the origin: its radius in mm in every direction."""

    axes: npt.NDArray[np.float64]  # [3, 3], rows: half-axes' directions divided by their lengths
    bumps: npt.NDArray[np.float64]  # [n, 3], unit vectors
    heights: npt.NDArray[np.float64]  # [n], of the bumps, as a share of the radius
    reach_mm: float  # no point of the body is farther from the origin

    def contains(self, x: Float32, y: Float32, z: Float32) -> npt.NDArray[np.bool_]:
        """Whether points (broadcast together, mm from the centre) lie inside."""
        rows = [sum(a * p for a, p in zip(axis, (x, y, z), strict=True)) for axis in self.axes.astype(np.float32)]
        radius = np.sqrt(rows[0] ** 2 + rows[1] ** 2 + rows[2] ** 2)
        length = np.maximum(np.sqrt(x**2 + y**2 + z**2), 1e-6)
        surface = np.ones_like(radius)
        for bump, height in zip(self.bumps.astype(np.float32), self.heights, strict=True):
            cosine = (bump[0] * x + bump[1] * y + bump[2] * z) / length
            surface += np.float32(height) * np.exp(7 * (cosine - 1))
        return np.asarray(radius <= surface)

    def scaled(self, factor: float) -> Shape:
        """The same shape, `factor` times as large."""
        return Shape(self.axes / factor, self.bumps, self.heights, self.reach_mm * factor)


@dataclass(frozen=True)
class PlacedNodule:
    """A nodule that has its shape and its place."""

    spec: NoduleSpec
    shape: Shape
    center_lps: tuple[float, float, float]  # of the shape's origin
    side: int  # -1 right, 1 left
    spicules: npt.NDArray[np.float64]  # [n, 3], directions and lengths, mm
    core_center_mm: tuple[float, float, float]  # of a part-solid nodule's core, from the centre
    solid_hu: float
    ground_glass_hu: float


@dataclass(frozen=True)
class NodulePatch:
    """A nodule on the voxels around it."""

    nodule: PlacedNodule
    box: tuple[slice, slice, slice]
    share: Float32  # of each voxel that the nodule covers
    core: Float32  # of each voxel that what is solid of it covers, spicules aside
    spicules: Float32  # of each voxel that its spicules cover
    truth: NoduleTruth


def place_nodules(
    settings: PhantomSettings, anatomy: Anatomy, grid: Grid, vessels: Neighbourhood
) -> list[PlacedNodule]:
    """Give every nodule of the settings its shape and its place.

    Raises:
        UsageRefusal: ``nodule-outside-lungs`` for a centre outside both lungs, ``no-room-for-nodules`` where no free
            place is left in the part of the lungs that is scanned.
    """
    rng = np.random.default_rng([settings.seed, 20])
    specs = settings.nodules if settings.nodules is not None else _draw_specs(settings, rng)
    placed: dict[int, PlacedNodule] = {}
    order = sorted(range(len(specs)), key=lambda k: (specs[k].center_lps is None, -specs[k].diameter_mm, k))
    for k in order:
        shape = _draw_shape(np.random.default_rng([settings.seed, 21, k]), specs[k])
        taken = [(nodule.center_lps, nodule.shape.reach_mm) for nodule in placed.values()]
        center = specs[k].center_lps or find_place(specs[k], shape.reach_mm, anatomy, grid, vessels, taken, rng)
        placed[k] = _finish(np.random.default_rng([settings.seed, 22, k]), specs[k], shape, center, anatomy)
    return [placed[k] for k in range(len(specs))]


def draw_ground_glass(hu: Float32, patches: list[NodulePatch]) -> None:
    """Draw what is ground glass, before the vessels that shine through it; so does the lung's own texture."""
    for patch in patches:
        if patch.nodule.spec.kind in (NoduleKind.GROUND_GLASS, NoduleKind.PART_SOLID):
            _, y, z = patch.nodule.center_lps
            hu[patch.box] += patch.share * (patch.nodule.ground_glass_hu - parenchyma_hu(y, z))


def draw_solid(hu: Float32, patches: list[NodulePatch]) -> None:
    """Draw what is solid, over the vessels and airways."""
    for patch in patches:
        part = hu[patch.box]
        for share in (patch.spicules, patch.core):
            part += share * (patch.nodule.solid_hu - part)


def _draw_specs(settings: PhantomSettings, rng: np.random.Generator) -> tuple[NoduleSpec, ...]:
    """Kinds in turn, diameters spread evenly over the logarithm of the range."""
    low, high = np.log(settings.min_diameter_mm), np.log(settings.max_diameter_mm)
    count = settings.num_nodules
    steps = rng.permutation(count) + rng.uniform(0, 1, count)
    diameters = np.exp(low + (high - low) * steps / max(count, 1))
    return tuple(
        NoduleSpec(kind=settings.kinds[k % len(settings.kinds)], diameter_mm=float(np.clip(diameter, 3, 60)))
        for k, diameter in enumerate(diameters)
    )


def _draw_shape(rng: np.random.Generator, spec: NoduleSpec) -> Shape:
    """A random shape whose longest axial diameter is the one asked for."""
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    half_axes = np.array((1.0, rng.uniform(0.75, 1.0), rng.uniform(0.7, 0.95)))
    bumps = rng.standard_normal((7, 3))
    bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
    high = 0.32 if spec.kind is NoduleKind.SPICULATED else 0.18
    heights = rng.uniform(-0.15, high, 7)
    unit = Shape(rotation / half_axes[:, None], bumps, heights, 1 + float(heights.clip(0).sum()))
    axis = np.linspace(-unit.reach_mm, unit.reach_mm, 72, dtype=np.float32)
    mask = unit.contains(axis[None, None, :], axis[None, :, None], axis[:, None, None])
    step = float(axis[1] - axis[0])
    tight = float(np.sqrt(sum((axis[part] ** 2) for part in np.nonzero(mask))).max()) + step
    unit = Shape(unit.axes, bumps, heights, min(unit.reach_mm, tight))
    return unit.scaled(spec.diameter_mm / longest_axial_diameter_mm(mask, step))


def _finish(
    rng: np.random.Generator, spec: NoduleSpec, shape: Shape, center: tuple[float, float, float], anatomy: Anatomy
) -> PlacedNodule:
    side = lung_at(anatomy, center)
    if side == 0:
        raise UsageRefusal("nodule-outside-lungs", f"The point {center} (LPS mm) lies in neither lung of the phantom.")
    spicules = np.zeros((0, 3))
    if spec.kind is NoduleKind.SPICULATED:
        spicules = rng.standard_normal((_NUM_SPICULES, 3))
        lengths = shape.reach_mm * rng.uniform(1.2, 1.6, (_NUM_SPICULES, 1))
        spicules *= lengths / np.linalg.norm(spicules, axis=1, keepdims=True)
    x, y, z = (float(v) for v in rng.uniform(-0.08, 0.08, 3) * spec.diameter_mm)
    solid, ground_glass = (float(rng.uniform(*limits)) for limits in (_SOLID_HU, _GROUND_GLASS_HU))
    return PlacedNodule(spec, shape, center, side, spicules, (x, y, z), solid, ground_glass)


def render_nodule(grid: Grid, anatomy: Anatomy, nodule: PlacedNodule, number: int) -> NodulePatch:
    """Cover the voxels around a nodule with it, from a finer grid of points; `number` counts from 1.

    Raises:
        UsageRefusal: ``nodule-outside-scan``.
    """
    center = np.asarray(nodule.center_lps)
    reach = nodule.shape.reach_mm * (1.6 if len(nodule.spicules) else 1.0) + 1
    box = box_around(grid, center - reach, center + reach)
    if box is None:
        raise UsageRefusal("nodule-outside-scan", f"Nodule P{number} lies outside the slices of the phantom.")
    fine_mm = max(0.2, nodule.spec.diameter_mm / 50)
    factors = [int(np.ceil(step / fine_mm)) for step in grid.spacing_mm]
    z, y, x = axes = [
        _subdivided(axis[part], step, factor)
        for axis, part, step, factor in zip(grid.axes_mm, box, grid.spacing_mm, factors, strict=True)
    ]
    x, y, z = x[None, None, :] - center[0], y[None, :, None] - center[1], z[:, None, None] - center[2]
    x, y, z = (part.astype(np.float32) for part in (x, y, z))
    lung = anatomy.right_lung if nodule.side < 0 else anatomy.left_lung
    in_lung = resample(lung, anatomy.grid, (axes[0], axes[1], axes[2])) < 0
    mask = nodule.shape.contains(x, y, z) & in_lung
    if not mask.any():
        raise UsageRefusal("nodule-outside-scan", f"Nodule P{number} lies outside the slices of the phantom.")
    core = mask
    if nodule.spec.kind is NoduleKind.GROUND_GLASS:
        core = np.zeros_like(mask)
    elif nodule.spec.kind is NoduleKind.PART_SOLID:
        inner, (dx, dy, dz) = nodule.shape.scaled(_CORE_SHARE), np.asarray(nodule.core_center_mm, dtype=np.float32)
        core = inner.contains(x - dx, y - dy, z - dz) & mask
    spikes = _spicules(nodule, x, y, z) & in_lung
    truth = _truth(nodule, number, mask, core, axes, [s / f for s, f in zip(grid.spacing_mm, factors, strict=True)])
    share, core_share, spike_share = (_voxel_means(part, factors) for part in (mask, core, spikes))
    return NodulePatch(nodule, box, share, core_share, spike_share, truth)


def _subdivided(axis_mm: Float32, step_mm: float, factor: int) -> npt.NDArray[np.float64]:
    """Centres of `factor` equal parts of every voxel along an axis."""
    parts = ((np.arange(factor) + 0.5) / factor - 0.5) * step_mm
    return (axis_mm[:, None].astype(float) + parts).ravel()


def _voxel_means(mask: npt.NDArray[np.bool_], factors: list[int]) -> Float32:
    shape = [n for size, factor in zip(mask.shape, factors, strict=True) for n in (size // factor, factor)]
    return np.asarray(mask.reshape(shape).mean(axis=(1, 3, 5), dtype=np.float32))


def _spicules(nodule: PlacedNodule, x: Float32, y: Float32, z: Float32) -> npt.NDArray[np.bool_]:
    """Thin cones from the centre through the surface."""
    inside = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=bool)
    base_mm = np.float32(0.5 + 0.11 * nodule.spec.diameter_mm)
    for spicule in nodule.spicules.astype(np.float32):
        length = np.linalg.norm(spicule)
        along = (spicule[0] * x + spicule[1] * y + spicule[2] * z) / length
        aside2 = x**2 + y**2 + z**2 - along**2
        radius = np.float32(0.25) + base_mm * (1 - along / length)
        inside |= (along > 0) & (along < length) & (aside2 < radius**2)
    return inside


def _truth(
    nodule: PlacedNodule,
    number: int,
    mask: npt.NDArray[np.bool_],
    core: npt.NDArray[np.bool_],
    axes_mm: list[npt.NDArray[np.float64]],
    steps_mm: list[float],
) -> NoduleTruth:
    volume = float(mask.sum()) * float(np.prod(steps_mm))
    sums = [mask.sum(axis=tuple(other for other in range(3) if other != axis)) for axis in range(3)]
    z, y, x = (float(axis @ s / s.sum()) for axis, s in zip(axes_mm, sums, strict=True))
    solid = float(core.sum() / mask.sum())
    return NoduleTruth(
        nodule_id=f"P{number}",
        kind=nodule.spec.kind,
        center_lps=(round(x, 3), round(y, 3), round(z, 3)),
        longest_axial_diameter_mm=round(longest_axial_diameter_mm(mask, steps_mm[1]), 2),
        volume_mm3=round(volume, 2),
        equivalent_sphere_diameter_mm=round((6 * volume / np.pi) ** (1 / 3), 2),
        mean_hu=round(solid * nodule.solid_hu + (1 - solid) * nodule.ground_glass_hu, 1),
        side="right" if nodule.side < 0 else "left",
    )


def longest_axial_diameter_mm(mask: npt.NDArray[np.bool_], step_mm: float) -> float:
    """Longest distance between two points of a mask ``[slice, row, column]`` within one slice, edge to edge.

    Args:
        mask: With equal steps between rows and columns.
        step_mm: That step.
    """
    longest = 0.0
    for plane in mask:
        rows = np.flatnonzero(plane.any(axis=1))
        if rows.size:
            first = plane[rows].argmax(axis=1) - 0.5
            last = plane.shape[1] - 0.5 - plane[rows, ::-1].argmax(axis=1)
            ends = np.concatenate((np.stack((rows, first), axis=1), np.stack((rows, last), axis=1)))
            longest = max(longest, float(pdist(ends).max()))
    return longest * step_mm
