"""What a job's results still know of the CT, when the CT itself may have gone: its place, its names, its HU.

The SR holds patient and study, byte for byte, and names every image in slice order; the preview holds geometry, HU and
outlines on the CT's own grid. That is all that corrected objects and training labels need.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom

from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.preview import META, labels_path, slice_path
from lung_nodules.service.reviews.model import NothingToCorrect
from lung_nodules.service.reviews.stored_report import read_report
from lung_nodules.stages.geometry import Geometry
from lung_nodules.stages.report_model import Report
from lung_nodules.stages.segmentation import Outlines
from lung_nodules.stages.volume import Volume

_OF_THE_DOCUMENT = {
    "ContentSequence",
    "ContributingEquipmentSequence",
    "CurrentRequestedProcedureEvidenceSequence",
    "PredecessorDocumentsSequence",
}
_SCANNER = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber")
_LOSSY = ("LossyImageCompression", "LossyImageCompressionMethod", "LossyImageCompressionRatio")


@dataclass(frozen=True)
class JobSource:
    """The results of one job, read back.

    Args:
        results: They are complete.
        scratch: Where voxels lie while they are worked on, so that a large CT takes no memory; None: where the system
            has its temporary files.
    """

    results: ResultFolder
    scratch: Path | None = None

    def report(self) -> Report:
        """The report of the line.

        Raises:
            ReportUnreadable: It is damaged, or of a version that is unknown here.
        """
        return read_report(self.results)

    def structured_report(self, report: Report) -> pydicom.Dataset:
        """The SR of the line.

        Raises:
            NothingToCorrect: The line was set not to write one.
        """
        if report.structured_report is None:
            raise NothingToCorrect("no-structured-report", "This job has no SR, so there is none to correct.")
        return pydicom.dcmread(self.results.folder / report.structured_report.file_name)

    def volume(self, report: Report, document: pydicom.Dataset) -> Volume:
        """The CT's headers, as far as its objects repeat them, and its place; voxels are not read.

        Args:
            report: Of the line.
            document: The SR of the line.
        """
        images = list(_list_images(document))
        geometry = self._geometry(_find_frame_of_reference(document))
        shared = self._restore_header(report, document)
        num_slices = geometry.shape[0]
        if len(images) == 1 and num_slices > 1:
            images *= num_slices
            frame_numbers = _frames_of(document, report, num_slices)
        else:
            frame_numbers = ()
        headers = tuple(_place(shared, image, geometry, index) for index, image in enumerate(images))
        return Volume(np.broadcast_to(np.int16(0), geometry.shape), geometry, headers, (), frame_numbers)

    def outlines(self) -> Outlines:
        """The outlines of all findings, under their `outline_label`."""
        meta = self._meta()
        labelled = self._lay_out(_shape(meta), np.uint16)
        for index in meta["labels"]:
            labelled[index] = _unpack(labels_path(self.results.preview, index), "<u2", labelled.shape[1:])
        return Outlines(labelled, (), 0, 0)

    def scan(self) -> Volume:
        """The CT's HU in its place, without headers."""
        meta = self._meta()
        array = self._lay_out(_shape(meta), np.int16)
        for index in range(meta["num_slices"]):
            array[index] = _unpack(slice_path(self.results.preview, index), "<i2", array.shape[1:])
        return Volume(array, self._geometry(""))

    def _lay_out(self, shape: tuple[int, int, int], kind: type[np.generic]) -> npt.NDArray[Any]:
        """Zeros in a file without a name, which is gone when nobody looks at them any more.

        Raises:
            OSError: The disk has no room; were that found out page by page, the process would be killed.
        """
        with tempfile.TemporaryFile(dir=self.scratch) as file:
            os.posix_fallocate(file.fileno(), 0, math.prod(shape) * np.dtype(kind).itemsize)
            return np.memmap(file, dtype=kind, mode="w+", shape=shape)

    def _meta(self) -> dict[str, Any]:
        return dict(json.loads((self.results.preview / META).read_bytes()))

    def _geometry(self, frame_of_reference_uid: str) -> Geometry:
        meta = self._meta()
        origin, spacing, direction = meta["origin_lps"], meta["spacing_mm"], meta["direction"]
        return Geometry(
            (origin[0], origin[1], origin[2]),
            (spacing[0], spacing[1], spacing[2]),
            tuple((axis[0], axis[1], axis[2]) for axis in direction),
            _shape(meta),
            frame_of_reference_uid,
        )

    def _restore_header(self, report: Report, document: pydicom.Dataset) -> pydicom.Dataset:
        """What all slices have in common: patient, study and series, and the scanner."""
        header = pydicom.Dataset()
        for element in document:
            if element.keyword not in _OF_THE_DOCUMENT:
                header.add(element)  # names keep the bytes that they were read from
        for keyword in (*_SCANNER, "SOPClassUID", "SOPInstanceUID"):
            header.pop(keyword, None)
        for equipment in document.get("ContributingEquipmentSequence") or []:
            if equipment.PurposeOfReferenceCodeSequence[0].CodeValue == "109101":  # Acquisition Equipment
                for keyword in _SCANNER:
                    if keyword in equipment:
                        setattr(header, keyword, equipment[keyword].value)
        header.Modality, header.SeriesInstanceUID = "CT", report.study.series_instance_uid
        header.SliceThickness = report.protocol.slice_thickness_mm or report.protocol.spacing_mm[0]
        self._restore_compression(report, header)
        return header

    def _restore_compression(self, report: Report, header: pydicom.Dataset) -> None:
        """Whether the CT had lost anything to compression, as the SEG repeats it."""
        if report.segmentation is None:
            return
        path = self.results.folder / report.segmentation.file_name
        segmentation = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_LOSSY))
        for keyword in _LOSSY:
            if keyword in segmentation:
                setattr(header, keyword, segmentation[keyword].value)


def _shape(meta: dict[str, Any]) -> tuple[int, int, int]:
    return int(meta["num_slices"]), int(meta["rows"]), int(meta["columns"])


def _unpack(path: Path, kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=kind).reshape(shape)


def _place(shared: pydicom.Dataset, image: pydicom.Dataset, geometry: Geometry, index: int) -> pydicom.Dataset:
    header = pydicom.Dataset()
    header.update(shared)  # the same elements in each; what differs is not among them
    header.SOPClassUID, header.SOPInstanceUID = image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID
    header.FrameOfReferenceUID = geometry.frame_of_reference_uid
    header.ImageOrientationPatient = [_decimal(part) for part in (*geometry.direction[2], *geometry.direction[1])]
    header.ImagePositionPatient = [_decimal(part) for part in geometry.to_world([index, 0, 0])]
    header.PixelSpacing = [_decimal(part) for part in geometry.spacing_mm[1:]]
    header.Rows, header.Columns = geometry.shape[1:]
    return header


def _decimal(value: float) -> str:
    """A number in the sixteen characters of a Decimal String."""
    return str(pydicom.valuerep.DSfloat(float(value), auto_format=True))


def _list_images(document: pydicom.Dataset) -> Iterable[pydicom.Dataset]:
    """The images of the Image Library, in slice order."""
    for item in _library(document):
        if item.ValueType == "IMAGE":
            yield item.ReferencedSOPSequence[0]


def _find_frame_of_reference(document: pydicom.Dataset) -> str:
    return next((str(item.UID) for item in _library(document) if _code(item) == "112227"), "")


def _library(document: pydicom.Dataset) -> Iterable[pydicom.Dataset]:
    (library,) = (item for item in document.ContentSequence if _code(item) == "111028")
    return list(library.ContentSequence[0].ContentSequence)


def _frames_of(document: pydicom.Dataset, report: Report, num_slices: int) -> tuple[int, ...]:
    """The frame of each slice on which axes were measured; 0 for the others, which nothing refers to."""
    frames = [0] * num_slices
    slices = {finding.tracking_uid: finding.size.axes_slice.index for finding in report.findings}
    (container,) = (item for item in document.ContentSequence if _code(item) == "126010")
    for group in container.ContentSequence:
        uid = next((str(item.UID) for item in group.ContentSequence if _code(item) == "112040"), "")
        for item in group.ContentSequence:
            if item.ValueType == "SCOORD" and uid in slices:
                image = item.ContentSequence[0].ReferencedSOPSequence[0]
                frames[slices[uid]] = int(image.ReferencedFrameNumber)
    return tuple(frames)


def _code(item: pydicom.Dataset) -> str:
    return str(item.ConceptNameCodeSequence[0].CodeValue)
