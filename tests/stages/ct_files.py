"""A small drawn chest, written as CT slices with pydicom: every attribute that a test is about can be set."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lung_nodules.settings import Settings
from lung_nodules.stages.instances import read_instances
from lung_nodules.stages.series import Selection, select_series
from lung_nodules.stages.volume import Volume, build_volume

BEAD_LPS = np.array([42.0, -18.0, 11.0])
BEAD_HU = 400.0
LUNG_HU = -850.0
PATIENT_NAME = "Doe^Jane"
Change = Callable[[Dataset, int], Any]


def chest_hu(lps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """HU at points [..., 3] in LPS mm: air, body, two lungs, and a bead of 18 mm with a soft edge in the left one."""
    x, y, z = np.moveaxis(lps, -1, 0)
    hu = np.full(x.shape, -1000.0)
    hu[(x / 120) ** 2 + (y / 85) ** 2 < 1] = 40.0
    for center_x in (-52.0, 52.0):
        hu[((x - center_x) / 42) ** 2 + (y / 60) ** 2 + (z / 80) ** 2 < 1] = LUNG_HU
    share = np.clip((12.0 - np.linalg.norm(lps - BEAD_LPS, axis=-1)) / 6.0, 0, 1)
    return np.where(share > 0, LUNG_HU + share * (BEAD_HU - LUNG_HU), hu)


@dataclass
class CTSeries:
    """Where the slices of a series lie and what their headers say."""

    rows: tuple[float, float, float] = (1, 0, 0)  # direction along a row
    columns: tuple[float, float, float] = (0, 1, 0)  # direction along a column
    advance: tuple[float, float, float] | None = None  # from slice to slice; the normal where None
    spacing_mm: tuple[float, float, float] = (5.0, 6.0, 6.0)  # slices, rows, columns
    extent_mm: tuple[float, float, float] = (140.0, 264.0, 264.0)
    slope: float = 1.0
    intercept: float = -1024.0
    study_uid: str = field(default_factory=generate_uid)
    series_uid: str = field(default_factory=generate_uid)
    frame_uid: str = field(default_factory=generate_uid)

    @property
    def num_slices(self) -> int:
        return round(self.extent_mm[0] / self.spacing_mm[0])

    def points(self, index: int) -> npt.NDArray[np.float64]:
        """Pixel centres [row, column, 3] of one slice, LPS mm; the grid is centred on the origin."""
        shape = [round(extent / spacing) for extent, spacing in zip(self.extent_mm, self.spacing_mm, strict=True)]
        row, column = np.asarray(self.rows, float), np.asarray(self.columns, float)
        advance = np.cross(row, column) if self.advance is None else np.asarray(self.advance, float)
        along = [(np.arange(n) - (n - 1) / 2) * mm for n, mm in zip(shape, self.spacing_mm, strict=True)]
        return along[0][index] * advance + along[1][:, None, None] * column + along[2][None, :, None] * row

    def dataset(self, index: int) -> Dataset:
        """One slice as a CT Image."""
        points = self.points(index)
        stored = np.rint((chest_hu(points) - self.intercept) / self.slope).astype(np.uint16)
        header = Dataset()
        header.SOPClassUID = CTImageStorage
        header.SOPInstanceUID = f"{self.series_uid[:50]}.{index + 1}"
        header.Modality = "CT"
        header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        header.PatientID, header.PatientName, header.PatientBirthDate = "P1", PATIENT_NAME, "19500101"
        header.StudyInstanceUID, header.SeriesInstanceUID = self.study_uid, self.series_uid
        header.FrameOfReferenceUID = self.frame_uid
        header.StudyDate, header.StudyTime = "20240101", "120000"
        header.SeriesNumber, header.InstanceNumber, header.AcquisitionNumber = 2, index + 1, 1
        header.ConvolutionKernel, header.SliceThickness = "STANDARD", self.spacing_mm[0]
        header.PatientPosition = "HFS"
        header.ImagePositionPatient = [round(float(v), 6) for v in points[0, 0]]
        header.ImageOrientationPatient = [*self.rows, *self.columns]
        header.PixelSpacing = list(self.spacing_mm[1:])
        header.Rows, header.Columns = stored.shape
        header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
        header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 0
        header.RescaleSlope, header.RescaleIntercept = self.slope, self.intercept
        header.PixelData = stored.tobytes()
        return header

    def write(self, folder: Path, change: Change | None = None, indices: Sequence[int] | None = None) -> list[Path]:
        """Write the slices, each changed first by ``change(header, index)``; it keeps its name by index."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for index in range(self.num_slices) if indices is None else indices:
            header = self.dataset(index)
            if change is not None:
                change(header, index)
            paths.append(folder / f"{self.series_uid[-6:]}-{index:03d}")
            save(header, paths[-1])
        return paths


def save(header: Dataset, path: Path) -> None:
    """Write a data set as an explicit little endian file."""
    header.file_meta = FileMetaDataset()
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.save_as(path, enforce_file_format=True)


def expected_hu(series: CTSeries, index: int) -> npt.NDArray[np.float64]:
    """HU of one slice [row, column] as drawn."""
    return chest_hu(series.points(index))


def set_pixels(header: Dataset, hu: npt.NDArray[np.float64], dtype: type[np.generic] = np.int16) -> None:
    """Give a slice other values, stored as HU x 1 + 0 in `dtype`."""
    header.RescaleSlope, header.RescaleIntercept = 1, 0
    header.PixelRepresentation = int(np.issubdtype(dtype, np.signedinteger))
    header.PixelData = np.rint(hu).astype(dtype).tobytes()


def select(folder: Path) -> Selection:
    """What our line chooses in a folder."""
    return select_series(read_instances(folder, Settings()), Settings())


def read_volume(folder: Path) -> Volume:
    """What our line reads from a folder."""
    return build_volume(select(folder), Settings())


def bead_center_lps(volume: Volume) -> npt.NDArray[np.float64]:
    """Centroid of the bead in LPS mm, by the volume's own geometry."""
    indices = np.argwhere(np.ones(volume.array.shape, bool))
    points = volume.geometry.to_world(indices)
    near = np.linalg.norm(points - BEAD_LPS, axis=1) < 20
    weights = np.clip((volume.array[tuple(indices[near].T)] - LUNG_HU) / (BEAD_HU - LUNG_HU), 0, None)
    center: npt.NDArray[np.float64] = (points[near] * weights[:, None]).sum(axis=0) / weights.sum()
    return center
