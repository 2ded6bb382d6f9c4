"""Writes small studies, as a folder that is an archive holds them."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def write_study(folder: Path, uid: str, **elements: str) -> None:
    """Write a study of one header without pixels."""
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.SpecificCharacterSet = "ISO_IR 192"
    header.SOPClassUID, header.SOPInstanceUID = CTImageStorage, generate_uid()
    header.StudyInstanceUID, header.SeriesInstanceUID = uid, generate_uid()
    for keyword, value in {"Modality": "CT", **elements}.items():
        setattr(header, keyword, value)
    folder.mkdir(parents=True, exist_ok=True)
    header.save_as(folder / f"{uid}.dcm", enforce_file_format=True)
