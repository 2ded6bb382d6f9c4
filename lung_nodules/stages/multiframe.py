"""Enhanced multi-frame CT as single frames.

An enhanced object says per frame, in functional groups (PS3.3 C.7.6.16), what a classic CT image says in its header.
Here each frame gets a header of its own in which those values lie flat, so that everything after this
knows one kind of slice.
"""

from __future__ import annotations

import pydicom

ENHANCED_CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2.1"
LEGACY_CONVERTED_ENHANCED_CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2.2"

# the functional groups whose attributes a classic CT image carries itself
_FLATTENED_GROUPS = (
    "UnassignedSharedConvertedAttributesSequence",
    "UnassignedPerFrameConvertedAttributesSequence",
    "FrameContentSequence",
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "CTReconstructionSequence",
    "CTImageFrameTypeSequence",
)
_NOT_FLAT = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "NumberOfFrames")


def is_multiframe_ct(header: pydicom.Dataset) -> bool:
    """Tell whether the header is that of an Enhanced or Legacy Converted Enhanced CT."""
    return header.get("SOPClassUID") in (ENHANCED_CT_STORAGE, LEGACY_CONVERTED_ENHANCED_CT_STORAGE)


def split_frames(header: pydicom.Dataset) -> list[pydicom.Dataset]:
    """Make one flat header a frame, in the order of the frames.

    Args:
        header: Header of a multi-frame CT, functional groups included.

    Returns:
        Headers with the attributes of a classic CT image; they share SOP Class and SOP Instance UID.

    Raises:
        AttributeError, IndexError: A functional group sequence is missing or empty.
    """
    shared = header.SharedFunctionalGroupsSequence[0]
    per_frame = header.PerFrameFunctionalGroupsSequence
    common = pydicom.Dataset({element.tag: element for element in header})
    for keyword in _NOT_FLAT:
        common.pop(keyword, None)
    return [_flatten(header, common, shared, groups) for groups in per_frame]


def _flatten(
    header: pydicom.Dataset, common: pydicom.Dataset, shared: pydicom.Dataset, groups: pydicom.Dataset
) -> pydicom.Dataset:
    """Lay the functional groups of one frame over the attributes that all frames have in common."""
    flat = pydicom.Dataset()
    flat.update(common)
    for keyword in _FLATTENED_GROUPS:
        for source in (shared, groups):
            for item in source.get(keyword) or []:
                flat.update(item)
    if "FrameType" in flat:
        flat.ImageType = flat.FrameType
    if "FrameAcquisitionNumber" in flat:
        flat.AcquisitionNumber = flat.FrameAcquisitionNumber
    flat.file_meta = header.file_meta
    return flat
