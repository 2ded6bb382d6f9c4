"""DICOM headers of the phantom's study: what all its objects share, and what a CT image adds.

Attributes follow the CT Image IOD (DICOM PS3.3 A.3). Identities are derived from the settings and dates are fixed, so
that equal settings give equal files. Patient, institution and dates are plainly invented.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from lung_nodules.phantom.settings import PhantomSettings

CONTENT_DATE, CONTENT_TIME = "20200101", "100000"
KVP = "120"
_NAMESPACE = uuid.UUID("5b0b7d1e-6a51-5d0a-9a55-6b8f4f6f1c12")


@dataclass(frozen=True)
class StudyIdentity:
    """Derives every UID of the study from its settings."""

    settings: PhantomSettings

    def uid(self, *names: object) -> str:
        """The UID of a named part of the study (DICOM PS3.5 B.2: derived from a UUID)."""
        text = "/".join((self.settings.model_dump_json(), *map(str, names)))
        return f"2.25.{uuid.uuid5(_NAMESPACE, text).int}"

    @property
    def study_instance_uid(self) -> str:
        """Of the one study."""
        return self.uid("study")

    @property
    def frame_of_reference_uid(self) -> str:
        """Shared by all its series, as by those of one examination without the patient moving."""
        return self.uid("frame of reference")


@dataclass(frozen=True)
class SeriesHeader:
    """What tells one series from the others."""

    name: str  # also its folder
    number: int
    description: str
    image_type: tuple[str, ...]
    kernel: str
    thickness_mm: float
    spacing_mm: float | None  # between slices; None where there are none to speak of


def new_object(identity: StudyIdentity, sop_class_uid: str, series: str, number: int) -> FileDataset:
    """An object with file meta information, patient, study, series and equipment."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class_uid)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = UID(sop_class_uid)
    dataset.StudyInstanceUID = identity.study_instance_uid
    dataset.SeriesInstanceUID = identity.uid("series", series)
    dataset.SeriesNumber = number
    dataset.PatientName = identity.settings.patient_name
    dataset.PatientID = f"PHANTOM-{identity.settings.seed}"
    dataset.PatientBirthDate = ""
    dataset.PatientSex = "O"
    dataset.PatientAge = "061Y"
    dataset.StudyID = "1"
    dataset.AccessionNumber = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "CT CHEST PHANTOM"
    for kind in ("Study", "Series", "Content"):
        setattr(dataset, f"{kind}Date", CONTENT_DATE)
        setattr(dataset, f"{kind}Time", CONTENT_TIME)
    dataset.Manufacturer = "lung-nodules phantom"
    dataset.ManufacturerModelName = "Synthetic chest"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"
    dataset.InstitutionName = "Synthetic data"
    return dataset


def set_instance(dataset: pydicom.Dataset, sop_instance_uid: str, number: int) -> None:
    """Give an object its own identity."""
    dataset.SOPInstanceUID = UID(sop_instance_uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    dataset.InstanceNumber = number


def ct_template(identity: StudyIdentity, series: SeriesHeader, rows: int, columns: int) -> FileDataset:
    """A CT image of the series, complete but for its identity, place and pixels."""
    dataset = new_object(identity, CTImageStorage, series.name, series.number)
    dataset.Modality = "CT"
    dataset.ImageType = list(series.image_type)
    dataset.SeriesDescription = series.description
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.ProtocolName = "Chest phantom"
    dataset.FrameOfReferenceUID = identity.frame_of_reference_uid
    dataset.PositionReferenceIndicator = ""
    dataset.AcquisitionNumber = 1 if series.number > 1 else 0
    dataset.AcquisitionDate, dataset.AcquisitionTime = CONTENT_DATE, CONTENT_TIME
    dataset.KVP = KVP
    dataset.XRayTubeCurrent = 100
    dataset.ExposureTime = 500
    dataset.Exposure = 50
    dataset.FilterType = "BODY"
    dataset.ScanOptions = "HELICAL MODE" if series.spacing_mm else "SCOUT MODE"
    dataset.ConvolutionKernel = series.kernel
    dataset.SliceThickness = decimal(series.thickness_mm)
    if series.spacing_mm:
        dataset.SpacingBetweenSlices = decimal(series.spacing_mm)
        dataset.DataCollectionDiameter = dataset.ReconstructionDiameter = decimal(
            identity.settings.columns * identity.settings.pixel_spacing_mm
        )
        dataset.GantryDetectorTilt = "0"
    _set_pixel_format(dataset, rows, columns, identity.settings.pixel_spacing_mm)
    return dataset


def _set_pixel_format(dataset: pydicom.Dataset, rows: int, columns: int, pixel_spacing_mm: float) -> None:
    """HU above -1024 in 12 bits, shown in a lung and in a soft tissue window."""
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelSpacing = [decimal(pixel_spacing_mm)] * 2
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept, dataset.RescaleSlope = "-1024", "1"
    dataset.RescaleType = "US" if dataset.ImageType[2] == "LOCALIZER" else "HU"
    dataset.WindowCenter, dataset.WindowWidth = ["-600", "40"], ["1500", "400"]
    dataset.WindowCenterWidthExplanation = ["LUNG", "SOFT TISSUE"]


def decimal(value: float) -> str:
    """A number as a DICOM decimal string, to a ten-thousandth."""
    return f"{value:.4f}".rstrip("0").rstrip(".")
