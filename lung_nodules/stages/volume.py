"""From the selected series to a volume in Hounsfield units that knows its place in the patient.

Our own, because a reader of nodules must not be wrong by a slice: the common readers accept missing and doubled
slices, tilted gantries and mixed value ranges without a word. Here a series is proved to be one regular grid
(`lung_nodules.stages.stack`), and each slice gets its own slope and intercept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pydicom

from lung_nodules.errors import InputRefusal
from lung_nodules.settings import Settings
from lung_nodules.stages.dicom_file import quiet_pydicom
from lung_nodules.stages.geometry import Geometry
from lung_nodules.stages.instances import UNREADABLE_CODES, Instance
from lung_nodules.stages.multiframe import is_multiframe_ct
from lung_nodules.stages.pixels import is_lossy, read_hu
from lung_nodules.stages.series import Selection
from lung_nodules.stages.stack import Stack, VolumeNote, arrange_slices

__all__ = ["Geometry", "Volume", "VolumeNote", "build_volume"]

_OBLIQUE_FROM_DEG = 1.0


@dataclass(frozen=True)
class Volume:
    """A CT series as one array with its place in the patient."""

    array: npt.NDArray[np.int16]  # [slice, row, column], HU; nothing below -1024
    geometry: Geometry
    headers: tuple[pydicom.Dataset, ...] = field(default=(), repr=False)  # one a slice, in slice order, no pixels
    notes: tuple[VolumeNote, ...] = ()  # what is odd about the series yet usable
    frame_numbers: tuple[int, ...] = ()  # of a multi-frame CT, one a slice, from 1; else empty


def build_volume(selection: Selection, settings: Settings) -> Volume:
    """Read the selected series.

    Args:
        selection: The series to read.
        settings: The run's settings; `VolumeSettings` holds the tolerances.

    Returns:
        The volume: slices ordered along the normal, HU rounded to int16, padding and everything below -1024 HU
        set to -1024. Notes: ``duplicate-slices``, ``lossy-compression``, ``oblique``, and ``damaged-file``,
        ``too-large`` or ``too-complex`` where a file of the input could not be read.

    Raises:
        InputRefusal: Codes of `arrange_slices` and `read_hu`, with the number of slices that cannot be read.
    """
    with quiet_pydicom():
        stack = arrange_slices(selection.instances, settings)
        array = _read_pixels(stack, settings)
        headers = tuple(_settled(instance.header) for instance in stack.instances)
        notes = (*stack.notes, *_notes_on_images(stack), *_notes_on_files(selection))
    return Volume(array, stack.geometry, headers, notes, _frame_numbers(stack))


def _read_pixels(stack: Stack, settings: Settings) -> npt.NDArray[np.int16]:
    """Decode all slices [slice, row, column], file by file, several at a time."""
    array = np.empty(stack.geometry.shape, dtype=np.int16)
    by_file: dict[str, list[tuple[int, Instance]]] = defaultdict(list)
    for index, instance in enumerate(stack.instances):
        by_file[str(instance.path)].append((index, instance))

    def fill(frames: Sequence[tuple[int, Instance]]) -> None:
        planes = read_hu([instance for _, instance in frames], settings)
        for (index, _), plane in zip(frames, planes, strict=True):
            array[index] = plane

    refusals: list[InputRefusal] = []
    with ThreadPoolExecutor(settings.volume.num_threads) as pool:
        for done in [pool.submit(fill, frames) for frames in by_file.values()]:
            try:
                done.result()
            except InputRefusal as refusal:
                refusals.append(refusal)
    if refusals:
        raise _refuse_files(refusals, len(by_file))
    return array


def _refuse_files(refusals: Sequence[InputRefusal], num_files: int) -> InputRefusal:
    """One refusal for all files whose pixels cannot be read."""
    first = refusals[0]
    count = f"{len(refusals)} of {num_files} files cannot be read." if num_files > 1 else ""
    return InputRefusal(first.code, f"{first.sentence} {count}".strip(), first.advice)


def _frame_numbers(stack: Stack) -> tuple[int, ...]:
    """Which frame of its object each slice is; nothing where the slices are objects of their own."""
    if not any(is_multiframe_ct(instance.header) for instance in stack.instances):
        return ()
    return tuple(instance.frame + 1 for instance in stack.instances)


def _settled(header: pydicom.Dataset) -> pydicom.Dataset:
    """Convert all values now, so that a later reader meets none of pydicom's warnings, which quote them.

    What cannot be converted is left out.
    """
    for tag in list(header.keys()):
        try:
            str(header[tag].value)
        except Exception:  # pydicom's converters raise what their parsers raise
            del header[tag]
    return header


def _notes_on_images(stack: Stack) -> list[VolumeNote]:
    notes = []
    if any(is_lossy(instance.header) for instance in stack.instances):
        notes.append(VolumeNote("lossy-compression", "The images went through lossy compression."))
    axes = np.abs(np.asarray(stack.geometry.direction)).max(axis=1)
    angle_deg = float(np.rad2deg(np.arccos(np.minimum(axes, 1.0))).max())
    if angle_deg > _OBLIQUE_FROM_DEG:
        notes.append(
            VolumeNote("oblique", f"The slices are turned by {angle_deg:.1f} degrees against the patient's axes.")
        )
    return notes


def _notes_on_files(selection: Selection) -> list[VolumeNote]:
    """Tell of files that were meant to be images: one at the end of the series leaves no gap to be seen."""
    notes = []
    for code in UNREADABLE_CODES:
        same = [file for file in selection.passed_over if file.code == code]
        if same:
            notes.append(VolumeNote(code, f"{len(same)} file(s) of the input could not be read: {same[0].sentence}"))
    return notes
