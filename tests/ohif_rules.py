"""What OHIF's viewer does with a SEG and an SR, restated from its loaders.

Sources: OHIF/Viewers, extensions/cornerstone-dicom-seg and cornerstone-dicom-sr: getSopClassHandlerModule.ts at 0012c30
and cccb0bf, isRehydratable.ts and hydrateStructuredReport.ts of 3.13.2; cornerstone3D: labelmapImagesFromBuffer.ts, and
MeasurementReport.ts and Bidirectional.ts of the adapters of 5.6.8. Where they would stop with an error, so does this.
It is no browser: that what they hand on is drawn is shown with the viewer itself, in tests/viewer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

SEG_CLASSES = {"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"}
SR_CLASSES = {f"1.2.840.10008.5.1.4.1.1.88.{number}" for number in (11, 22, 33, 34)}


TOOL_OF_TWO_AXES = "Cornerstone3DTools@^0.1.0:Bidirectional"


class RefusedError(Exception):
    """OHIF makes no display set of it, or stops."""


@dataclass(frozen=True)
class Drawn:
    """One measurement as OHIF hands it to its drawing tool."""

    tracking_uid: str
    labels: tuple[str, ...]
    graphic_type: str | None
    points: npt.NDArray[np.float64]  # [n, 2], column and row, from the top left hand corner of the image
    sop_class_uid: str
    sop_instance_uid: str
    frame_number: int


@dataclass(frozen=True)
class Listed:
    """One measurement as OHIF lists it in its panel, where a reader can change it."""

    tracking_uid: str
    label: str
    lengths_mm: tuple[float, float]  # long and short axis
    ends: npt.NDArray[np.float64]  # [4, 2], column and row: both ends of the long axis, both of the short one
    sop_instance_uid: str


def load_segmentation(segmentation: Dataset, series_instance_uid: str, instances: Collection[str]) -> list[str]:
    """The labels of the segments that OHIF shows on a loaded series."""
    if segmentation.SOPClassUID not in SEG_CLASSES:
        raise RefusedError("not a segmentation")
    if not segmentation.get("ReferencedSeriesSequence"):
        raise RefusedError("no referenced series: no display set")
    if segmentation.ReferencedSeriesSequence[0].SeriesInstanceUID != series_instance_uid:
        raise RefusedError("the referenced series is not loaded")
    for item in segmentation.PerFrameFunctionalGroupsSequence:
        source = item.DerivationImageSequence[0].SourceImageSequence[0]
        if source.ReferencedSOPInstanceUID not in instances:
            raise RefusedError("a frame without its source image is skipped")
    return [segment.SegmentLabel for segment in segmentation.SegmentSequence]


def load_structured_report(document: Dataset) -> list[Drawn]:
    """The measurements that OHIF takes from an SR."""
    if document.SOPClassUID not in SR_CLASSES:
        raise RefusedError("not a structured report")
    if _code(document) != "126000":
        raise RefusedError("only Imaging Measurement Reports are shown")
    library = _find(document.ContentSequence, "111028")
    _find(library.ContentSequence, "126200")
    groups = [item for item in _find(document.ContentSequence, "126010").ContentSequence if _code(item) == "125007"]
    merged: dict[str, list[Dataset]] = {}
    for group in groups:
        uid = _find(group.ContentSequence, "112040").UID
        rest = [item for item in group.ContentSequence if uid not in merged or _code(item) != "112040"]
        merged.setdefault(uid, []).extend(rest)
    return [_process(uid, items) for uid, items in merged.items()]


def list_measurements(document: Dataset) -> list[Listed]:
    """The measurements that OHIF lists once a reader agrees to track them; the others it can only draw.

    Each group is taken alone here, and those of no tool are passed over.
    """
    if document.ContentTemplateSequence[0].TemplateIdentifier != "1500":
        raise RefusedError("only TID 1500 is read")
    groups = _find(document.ContentSequence, "126010").ContentSequence
    named = [group.ContentSequence for group in groups]
    return [_list(items) for items in named if _find(items, "112039").TextValue.startswith(TOOL_OF_TWO_AXES)]


def _list(items: list[Dataset]) -> Listed:
    axes = [_by_meaning(items, meaning) for meaning in ("Long Axis", "Short Axis")]
    places = [
        next((each for each in axis.get("ContentSequence", ()) if each.ValueType == "SCOORD"), None) for axis in axes
    ]
    if None in places:
        raise RefusedError("TypeError: an axis without its ends")
    ends = np.concatenate([np.array(place.GraphicData, dtype=float).reshape(-1, 2) for place in places])
    lengths_mm = [float(axis.MeasuredValueSequence[0].NumericValue) for axis in axes]
    comment = next((item.TextValue for item in items if _code(item) == "121106"), "")
    image = places[0].ContentSequence[0].ReferencedSOPSequence[0]
    uid = _find(items, "112040").UID
    return Listed(uid, comment, (lengths_mm[0], lengths_mm[1]), ends, image.ReferencedSOPInstanceUID)


def _by_meaning(items: list[Dataset], meaning: str) -> Dataset:
    found = next((item for item in items if item.ConceptNameCodeSequence[0].CodeMeaning == meaning), None)
    if found is None:
        raise RefusedError(f"TypeError: {meaning} is missing")
    return found


def _process(uid: str, items: list[Dataset]) -> Drawn:
    _find(items, "112039")
    numbers = [item for item in items if item.ValueType == "NUM"]
    labels = tuple(_label(item) for item in numbers)
    graphic = next((item for item in items if item.ValueType in {"SCOORD", "SCOORD3D"}), None)
    if graphic is not None:
        return _drawn(uid, labels, graphic)
    for item in numbers:
        if "ContentSequence" not in item:
            raise RefusedError("TypeError: a number without coordinates in a group without coordinates")
    return Drawn(uid, labels, None, np.empty((0, 2)), "", "", 1)


def _drawn(uid: str, labels: tuple[str, ...], graphic: Dataset) -> Drawn:
    if graphic.RelationshipType not in {"CONTAINS", "INFERRED FROM"}:
        raise RefusedError("coordinates of another relationship are not drawn")
    reference = graphic.ContentSequence[0].ReferencedSOPSequence[0]
    return Drawn(
        uid,
        labels,
        graphic.GraphicType,
        np.array(graphic.GraphicData, dtype=float).reshape(-1, 2),
        reference.ReferencedSOPClassUID,
        reference.ReferencedSOPInstanceUID,
        int(reference.get("ReferencedFrameNumber", 1)),
    )


def _label(number: Dataset) -> str:
    value: Any = number.MeasuredValueSequence[0]
    unit = value.MeasurementUnitsCodeSequence[0].CodeValue
    return f"{number.ConceptNameCodeSequence[0].CodeMeaning} {float(value.NumericValue):.2f} {unit}"


def _find(items: Collection[Dataset], code: str) -> Dataset:
    found = next((item for item in items if _code(item) == code), None)
    if found is None:
        raise RefusedError(f"TypeError: {code} is missing")
    return found


def _code(item: Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)
