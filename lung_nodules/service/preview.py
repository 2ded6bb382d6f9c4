"""Slices for the page: the CT and the findings' labels in small files that a browser draws without DICOM.

`meta.json` says what there is (`PreviewMeta`). `slices/0000.hu.gz` holds HU and `labels/0000.labels.gz` the findings'
`outline_label`, 0 elsewhere; both gzip'd, row-major, little endian, int16 and uint16.
"""

from __future__ import annotations

import gzip
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from lung_nodules.stages.volume import Volume

META = "meta.json"
_LEVEL = 1  # noise does not pack well at any level
_NUM_THREADS = 2


Vector = Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]  # a tuple of three would need `prefixItems`


class PreviewMeta(BaseModel):
    """What slices there are and where they lie: `meta.json`, and what the API gives of it."""

    model_config = ConfigDict(frozen=True)

    num_slices: int
    rows: int
    columns: int
    spacing_mm: Vector  # from slice to slice, row to row, column to column
    origin_lps: Vector  # of the first voxel, mm
    direction: Annotated[tuple[Vector, ...], Field(min_length=3, max_length=3)]  # row k: LPS direction of array axis k
    low_hu: int
    high_hu: int
    labels: tuple[int, ...]  # slices that have some


def write_preview(volume: Volume, label_map: npt.NDArray[np.uint16], labels: Collection[int], folder: Path) -> None:
    """Write all slices of a CT.

    Args:
        volume: The CT.
        label_map: [slice, row, column] on its grid.
        labels: Those to keep; what else was outlined is not shown.
        folder: Made where it is missing.
    """
    (folder / "slices").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(exist_ok=True)
    kept = _keep(label_map, labels)
    labelled = [index for index, plane in enumerate(kept) if plane.any()]
    with ThreadPoolExecutor(_NUM_THREADS) as threads:  # zlib lets go of the interpreter
        list(threads.map(lambda k: _write(slice_path(folder, k), volume.array[k], "<i2"), range(len(volume.array))))
        list(threads.map(lambda k: _write(labels_path(folder, k), kept[k], "<u2"), labelled))
    (folder / META).write_text(_describe(volume, labelled).model_dump_json(), encoding="utf-8")


def slice_path(folder: Path, index: int) -> Path:
    """Where a slice lies in a preview folder."""
    return folder / "slices" / f"{index:04d}.hu.gz"


def labels_path(folder: Path, index: int) -> Path:
    """Where the labels of a slice lie, if it has some."""
    return folder / "labels" / f"{index:04d}.labels.gz"


def _keep(label_map: npt.NDArray[np.uint16], labels: Collection[int]) -> npt.NDArray[np.uint16]:
    import numpy as np

    table = np.zeros(max(int(label_map.max(initial=0)), *labels, 0) + 1, dtype=np.uint16)
    table[list(labels)] = list(labels)
    return table[label_map]


def _write(path: Path, plane: npt.NDArray[Any], kind: str) -> None:
    import numpy as np

    path.write_bytes(gzip.compress(np.ascontiguousarray(plane, dtype=kind).tobytes(), _LEVEL, mtime=0))


def _describe(volume: Volume, labelled: list[int]) -> PreviewMeta:
    geometry = volume.geometry
    num_slices, rows, columns = geometry.shape
    return PreviewMeta(
        num_slices=num_slices,
        rows=rows,
        columns=columns,
        spacing_mm=geometry.spacing_mm,
        origin_lps=geometry.origin_lps,
        direction=geometry.direction,
        low_hu=int(volume.array.min()),
        high_hu=int(volume.array.max()),
        labels=tuple(labelled),
    )
