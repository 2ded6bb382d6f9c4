"""What an archive tells of instances without their pixels, as headers that the line's choice of a series can read.

Archives differ in what they tell: DICOMweb's metadata holds everything but bulk data, or the few elements that an index
keeps; a C-FIND answers some keys and leaves others empty. Where one that the choice rests on is missing, the headers do
not tell, and the series has to be fetched to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from lung_nodules.stages.identifiers import digest_text
from lung_nodules.stages.instances import Instance
from lung_nodules.stages.multiframe import is_multiframe_ct, split_frames
from lung_nodules.stages.pixels import value_or_none
from lung_nodules.stages.series_parts import CT_STORAGE_CLASSES, text, values

# what the line's choice looks at, in `stages.series`, `stages.series_parts`, `stages.stack` and `stages.pixels`, and
# whose the instance is
HEADER_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "AvailableTransferSyntaxUID",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "IssuerOfPatientID",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "ImageType",
    "InstanceNumber",
    "AcquisitionNumber",
    "AcquisitionTime",
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    "ConvolutionKernel",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "LossyImageCompression",
    "NumberOfFrames",
)
FRAME_KEYWORDS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
# a header without one of these leaves open whether the archive does not tell or the image does not have it
_NEEDED = (
    "SOPClassUID",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
)


def read_instances_of(
    headers: Sequence[pydicom.Dataset], sop_instance_uids: Sequence[str], folder: Path
) -> tuple[Instance, ...] | None:
    """Make instances without files of the headers of one series.

    Args:
        headers: What the archive told, in any order.
        sop_instance_uids: The instances that the archive lists; each needs a header.
        folder: Where their files would lie; the paths tell instances apart and nothing else.

    Returns:
        One a slice; None where the headers do not tell enough to choose by.
    """
    by_uid = {text(header, "SOPInstanceUID"): header for header in headers}
    if not set(sop_instance_uids) <= set(by_uid):
        return None
    instances: list[Instance] = []
    for index, uid in enumerate(sop_instance_uids):
        frames = _split(by_uid[uid])
        if not frames or not all(_is_telling(frame) for frame in frames):
            return None
        path = folder / f"{index:06d}"
        instances.extend(Instance(path, frame, number, has_file=False) for number, frame in enumerate(frames))
    return tuple(instances)


def version_of(header: pydicom.Dataset) -> str:
    """Names what an archive tells of an instance: an instance that it has replaced or corrected has another one."""
    return digest_text(text(header, keyword) for keyword in HEADER_KEYWORDS)


def _split(header: pydicom.Dataset) -> list[pydicom.Dataset]:
    """Give one header a frame; none where the functional groups are not told."""
    _name_transfer_syntax(header)
    if not is_multiframe_ct(header):
        return [header]
    try:
        return split_frames(header)
    except (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError):
        return []


def _name_transfer_syntax(header: pydicom.Dataset) -> None:
    """Take the transfer syntax that the archive tells of, else one that can be read: the file will tell."""
    syntax = text(header, "AvailableTransferSyntaxUID")
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = UID(syntax) if UID(syntax).is_transfer_syntax else ExplicitVRLittleEndian


def _is_telling(header: pydicom.Dataset) -> bool:
    """Whether a header holds what the choice rests on; of what is no CT, its class is enough."""
    sop_class = text(header, "SOPClassUID")
    if sop_class not in CT_STORAGE_CLASSES or "LOCALIZER" in values(header, "ImageType"):
        return bool(sop_class)
    return all(value_or_none(header, keyword) not in (None, "", []) for keyword in _NEEDED)
