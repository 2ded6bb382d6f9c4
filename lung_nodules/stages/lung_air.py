"""A quick look for lungs: a few slices, no segmentation.

Lungs are the only part of the body that is large, surrounded by tissue and neither air nor soft: their parenchyma
lies between -960 and -500 HU, where free air (bowel, sinuses, the room) has next to nothing once the noise is averaged.
This tells a chest from a head, an abdomen or an empty phantom; how much of the lungs is there is measured later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lung_nodules.settings import Settings
from lung_nodules.stages.pixels import read_hu
from lung_nodules.stages.stack import Stack

_TISSUE_HU = -300  # body wall against lung and air
_AIR_HU = -400  # everything below, inside the body, is lung or free air
_LUNG_HU = (-960, -500)  # aerated parenchyma; -950 is where emphysema is counted from (Gevenois 1996)
_AVERAGED_MM = 3.0  # side of the blocks over which noise is averaged


@dataclass(frozen=True)
class LungAir:
    """What a few slices tell about the lungs."""

    litres: float  # parenchyma in the whole stack, estimated
    share: float  # of the air inside the body that is parenchyma, 0-1
    lowest_hu: float  # of the averaged slices: air must be somewhere


def estimate_lung_air(stack: Stack, settings: Settings) -> LungAir:
    """Estimate the aerated lung in a stack from a few slices spread over it.

    Args:
        stack: The slices in order.
        settings: The run's settings; ``series.num_probe_slices`` is how many are decoded.

    Returns:
        The estimate.

    Raises:
        InputRefusal: Codes of `read_hu`.
    """
    num_slices = len(stack.instances)
    wanted = np.linspace(0, num_slices - 1, min(settings.series.num_probe_slices + 2, num_slices))[1:-1]
    probes = [read_hu([stack.instances[index]], settings)[0] for index in np.unique(np.rint(wanted).astype(int))]
    areas = np.array([_areas_mm2(probe, stack.geometry.spacing_mm[1:]) for probe in probes])
    lung_mm2, air_mm2 = areas.mean(axis=0)
    extent_mm = num_slices * stack.geometry.spacing_mm[0]
    return LungAir(
        litres=float(lung_mm2 * extent_mm / 1e6),
        share=float(lung_mm2 / air_mm2) if air_mm2 else 0.0,
        lowest_hu=float(min(probe.min() for probe in probes)),
    )


def _areas_mm2(plane_hu: npt.NDArray[np.int16], spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Measure parenchyma, and all air inside the body, in one slice [row, column]."""
    blocks = [max(1, round(_AVERAGED_MM / spacing)) for spacing in spacing_mm]
    averaged = _block_mean(plane_hu, blocks[0], blocks[1])
    inside = _surrounded(averaged > _TISSUE_HU)
    pixel_mm2 = spacing_mm[0] * spacing_mm[1] * blocks[0] * blocks[1]
    lung = inside & (averaged > _LUNG_HU[0]) & (averaged < _LUNG_HU[1])
    air = inside & (averaged < _AIR_HU)
    return float(lung.sum() * pixel_mm2), float(air.sum() * pixel_mm2)


def _block_mean(plane: npt.NDArray[np.int16], rows: int, columns: int) -> npt.NDArray[np.float32]:
    height, width = plane.shape[0] // rows, plane.shape[1] // columns
    blocks = plane[: height * rows, : width * columns].reshape(height, rows, width, columns)
    mean: npt.NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return mean


def _surrounded(tissue: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mark the pixels that have tissue to the left, to the right, in front and behind."""
    seen = np.maximum.accumulate
    rows = seen(tissue, axis=0) & seen(tissue[::-1], axis=0)[::-1]
    columns = seen(tissue, axis=1) & seen(tissue[:, ::-1], axis=1)[:, ::-1]
    return rows & columns
