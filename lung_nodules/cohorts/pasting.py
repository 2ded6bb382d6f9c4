"""Composites: scans into which real nodules of other patients are pasted, at places that are known.

A place is the best of many in the host's free lung by the difference along the seam, so that a nodule on the pleura
tends to come to lie on a pleura. How a nodule is lifted and laid is the business of `layers`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lung_nodules.cohorts.crops import NoduleCrop
from lung_nodules.cohorts.hosts import Host
from lung_nodules.cohorts.layers import Layer, LayerSettings, Spacing, attachment, lay, lift, seam_cost
from lung_nodules.settings import Section
from lung_nodules.stages.volume import Geometry

Box = tuple[slice, slice, slice]
Point = tuple[float, float, float]


class PasteSettings(Section):
    """Where nodules go, and how they are taken."""

    layer: LayerSettings = LayerSettings()
    places: int = Field(default=24, ge=1, le=10_000, description="Tried in all orientations; the best is taken.")
    draws: int = Field(default=2000, ge=1, description="Random voxels of free lung among which places are sought.")
    gap_mm: float = Field(default=10.0, ge=0, description="Between two pasted nodules.")
    lung_share: float = Field(default=0.95, ge=0, le=1, description="Of a nodule that must lie in lung.")
    attached: bool = Field(default=True, description="Take nodules on pleura, mediastinum or large vessels too.")
    attached_from: float = Field(default=0.35, ge=0, le=1, description="Soft tissue around it that makes it one.")
    attached_lung_share: float = Field(default=0.6, ge=0, le=1, description="Of such a nodule that must lie in lung.")


@dataclass(frozen=True)
class PastedNodule:
    """A nodule in a composite."""

    label: int  # in the composite's label map
    nodule_id: str
    patient_id: str
    num_readers: int
    center_ijk: Point  # centroid of its mask, slice, row, column
    center_lps: Point  # the same in mm
    diameter_mm: float  # the crop's: longest in-plane diameter of the consensus
    is_attached: bool
    box: Box = field(repr=False)  # all that was changed


@dataclass(frozen=True)
class Composite:
    """A host with nodules pasted in, on the host's grid."""

    host: str
    hu: npt.NDArray[np.int16] = field(repr=False)  # [slice, row, column]
    labels: npt.NDArray[np.uint16] = field(repr=False)  # 0, or the label of a pasted nodule
    share: npt.NDArray[np.float16] = field(repr=False)  # of each voxel that is not the host's own
    geometry: Geometry = field(repr=False)
    nodules: tuple[PastedNodule, ...]
    left_out: tuple[str, ...]  # nodule IDs without a place, without a consensus, or attached and not wanted

    @property
    def spacing_mm(self) -> Spacing:
        """Between slices, rows, columns."""
        return self.geometry.spacing_mm


def compose(host: Host, crops: Sequence[NoduleCrop], seed: int, settings: PasteSettings | None = None) -> Composite:
    """Paste nodules into a host, one after the other, each at a plausible free place.

    Args:
        host: Scan of a patient; unchanged.
        crops: Nodules of either kind.
        seed: Everything random follows from it and from the order of the crops.
        settings: The defaults where None.

    Returns:
        The composite; what was not pasted is named in `left_out`.
    """
    canvas = _Canvas(host, settings or PasteSettings(), np.random.default_rng(seed))
    for crop in crops:
        canvas.paste(crop)
    return Composite(
        host.name, canvas.hu, canvas.labels, canvas.share, host.geometry, tuple(canvas.nodules), tuple(canvas.left_out)
    )


class _Canvas:
    """A composite in the making."""

    def __init__(self, host: Host, settings: PasteSettings, rng: np.random.Generator) -> None:
        self.host, self.settings, self.rng = host, settings, rng
        self.hu, self.free = host.hu.copy(), host.clear.copy()
        self.labels = np.zeros(host.hu.shape, dtype=np.uint16)
        self.share = np.zeros(host.hu.shape, dtype=np.float16)
        self.lung_ijk = np.argwhere(host.lung & host.clear).astype(np.int32)
        self.nodules: list[PastedNodule] = []
        self.left_out: list[str] = []

    def paste(self, crop: NoduleCrop) -> None:
        """Paste one nodule, or note that it was left out."""
        is_attached = attachment(crop) >= self.settings.attached_from
        best = None
        if crop.consensus.any() and (self.settings.attached or not is_attached):
            layer = lift(crop, self.host.geometry.spacing_mm, self.settings.layer)
            best = self._best_place(layer, is_attached)
        if best is None:
            self.left_out.append(crop.nodule_id)
        else:
            self._lay(*best, crop, is_attached)

    def _best_place(self, layer: Layer, is_attached: bool) -> tuple[Layer, Box] | None:
        """The box and the orientation with the least difference along the seam."""
        share = self.settings.attached_lung_share if is_attached else self.settings.lung_share
        orientations = layer.orientations()
        candidates = [
            (seam_cost(one, self.hu[box]), number, one, box)
            for number, (one, box) in enumerate(
                (one, box) for box in self._places(layer, share) for one in orientations
            )
        ]
        return min(candidates)[2:] if candidates else None

    def _places(self, layer: Layer, lung_share: float) -> Iterator[Box]:
        """Free boxes around random voxels of lung, as many as are to be tried."""
        drawn = self.rng.choice(len(self.lung_ijk), size=min(self.settings.draws, len(self.lung_ijk)), replace=False)
        inside, taken = layer.inside >= 0.5, layer.share > 0
        found = 0
        for center in self.lung_ijk[drawn]:
            box = _box_around(center, layer.hu.shape, self.hu.shape)
            if box is None or not self.free[box][taken].all() or self.host.lung[box][inside].mean() < lung_share:
                continue
            yield box
            found += 1
            if found == self.settings.places:
                return

    def _lay(self, layer: Layer, box: Box, crop: NoduleCrop, is_attached: bool) -> None:
        blended = lay(layer, self.hu[box], self.rng)
        self.hu[box] = np.clip(np.round(blended), -1024, 3071)
        self.share[box] = np.maximum(self.share[box], layer.share)
        label = len(self.nodules) + 1
        inside = layer.inside >= 0.5
        self.labels[box][inside] = label
        center = np.argwhere(inside).mean(axis=0) + [part.start for part in box]
        self.nodules.append(
            PastedNodule(
                label=label,
                nodule_id=crop.nodule_id,
                patient_id=crop.patient_id,
                num_readers=crop.num_readers,
                center_ijk=_point(center),
                center_lps=_point(self.host.geometry.to_world(center)),
                diameter_mm=crop.diameter_mm,
                is_attached=is_attached,
                box=box,
            )
        )
        self.free[_widened(box, self.settings.gap_mm, layer.spacing_mm)] = False


def _box_around(center: npt.NDArray[np.int32], shape: tuple[int, ...], outer: tuple[int, ...]) -> Box | None:
    """The box of an odd shape around a voxel, if it lies within the outer array."""
    low = [int(middle) - size // 2 for middle, size in zip(center, shape, strict=True)]
    high = [start + size for start, size in zip(low, shape, strict=True)]
    if min(low) < 0 or any(end > size for end, size in zip(high, outer, strict=True)):
        return None
    first, second, third = (slice(start, end) for start, end in zip(low, high, strict=True))
    return first, second, third


def _widened(box: Box, by_mm: float, spacing_mm: Spacing) -> Box:
    reach = [int(np.ceil(by_mm / mm)) for mm in spacing_mm]
    first, second, third = (slice(max(part.start - n, 0), part.stop + n) for part, n in zip(box, reach, strict=True))
    return first, second, third


def _point(values: npt.NDArray[np.float64]) -> Point:
    return (float(values[0]), float(values[1]), float(values[2]))
