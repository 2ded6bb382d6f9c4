"""A DICOMweb server that is made of what a test tells of single CT instances; no archive is behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from fault_proxy import Answer, FaultProxy, Spoil, start_fault_proxy

_NOWHERE = "http://127.0.0.1:9"


@contextmanager
def start_told_archive() -> Iterator[FaultProxy]:
    """A server that holds nothing yet; a rule that is added before `tell` goes before what is told."""
    with start_fault_proxy(_NOWHERE) as proxy:
        yield proxy


def answers(body: bytes, status: int = 200, content_type: str = "application/dicom+json") -> Spoil:
    """The same answer to everything."""
    return lambda _question, _answer: Answer(status, {"Content-Type": content_type}, body)


def tell(proxy: FaultProxy, file: Path) -> None:
    """Let a server hold a study of one instance: its lists, its metadata and the instance itself."""
    header = pydicom.dcmread(file)
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    study, series, instance = (f"/{re.escape(str(header[name].value))}" for name in names)
    metadata = {tag: element for tag, element in header.to_json_dict().items() if tag != "7FE00010"}
    listed = answers(json.dumps([metadata | {"00201209": {"vr": "IS", "Value": [1]}}]).encode())
    told = answers(json.dumps([metadata]).encode())
    all_series = f"GET /studies{study}/series"
    all_instances = f"{all_series}{series}/instances"
    for pattern, spoil in {
        r"GET /studies\?": listed,
        rf"{all_series}\?": listed,
        rf"{all_instances}\?": listed,
        f"{all_series}{series}/metadata$": told,
        f"{all_instances}{instance}/metadata$": told,
        f"{all_instances}{instance}$": answers(file.read_bytes(), content_type="application/dicom"),
    }.items():
        proxy.spoil(pattern, spoil, reaches_archive=False)
