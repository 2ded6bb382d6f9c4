"""The committed models on the real scans, as a user runs them: what is found, outlined and written."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from dicom_checkers import errors_of
from highdicom.seg import Segmentation, segread
from programs import REPOSITORY, command_line
from real_scans import RealScan, read_scan

from lung_nodules.stages.report_model import Report, report_schema

LEAST_DICE = {"LIDC-IDRI-0001": 0.85, "LIDC-IDRI-0003": 0.8}
MOST_FALSE_POSITIVES = {"LIDC-IDRI-0001": 1, "LIDC-IDRI-0003": 2}  # a mark of no nodule counts, too
WELL_READ = 3  # readers

pytestmark = [pytest.mark.real_data, pytest.mark.slow]


@dataclass(frozen=True)
class Read:
    """One scan as the program read it."""

    scan: RealScan
    folder: Path
    report: Report
    masks: dict[str, npt.NDArray[np.bool_]]  # finding to its segment on the CT's grid


@pytest.fixture(scope="module", params=LEAST_DICE)
def read(request: pytest.FixtureRequest, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = tmp_path_factory.mktemp(request.param) / "out"
    arguments = ["-i", shared_data / "lidc-scans" / request.param, "-o", folder, "-m", REPOSITORY / "models"]
    done = subprocess.run(
        [*command_line("pipeline"), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr
    report = Report.model_validate_json((folder / "report.json").read_bytes())
    scan = read_scan(shared_data, request.param)
    return Read(scan, folder, report, segments_on_the_ct(segread(folder / "segmentation.dcm"), scan, report))


def segments_on_the_ct(segmentation: Segmentation, scan: RealScan, report: Report) -> dict[str, npt.NDArray[np.bool_]]:
    """Each finding's segment, every frame laid on the slice that it names as its source."""
    slices = {uid: number for number, uid in enumerate(scan.volume.geometry.sop_instance_uids)}
    finding_of = {finding.segment.segment_number: finding.finding_id for finding in report.findings}
    masks = {name: np.zeros(scan.volume.array.shape, dtype=bool) for name in finding_of.values()}
    frames = segmentation.pixel_array.reshape(-1, *scan.volume.array.shape[1:])
    for frame, item in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        (source,) = item.DerivationImageSequence[0].SourceImageSequence
        number = (
            item.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            if "SegmentIdentificationSequence" in item
            else 1
        )
        masks[finding_of[number]][slices[source.ReferencedSOPInstanceUID]] = frame > 0
    return masks


def test_nodules_of_three_readers_are_found_and_outlined(read: Read) -> None:
    patient = read.scan.volume.headers[0].PatientID
    for nodule in read.scan.reference:
        if nodule["readers"] < WELL_READ:
            continue
        center, reference = np.array(nodule["centroid_lps_mm"]), read.scan.consensus == nodule["label"]
        near = [f for f in read.report.findings if np.linalg.norm(np.array(f.position.center_lps_mm) - center) < 5]
        assert near, f"nodule {nodule['label']} was not found"
        dice = max(overlap(read.masks[finding.finding_id], reference) for finding in near)
        assert dice >= LEAST_DICE[patient], f"nodule {nodule['label']}: Dice {dice:.3f}"


def test_false_positives_are_few(read: Read) -> None:
    false = [name for name, mask in read.masks.items() if not (mask & (read.scan.consensus > 0)).any()]
    assert len(false) <= MOST_FALSE_POSITIVES[read.report.study.patient_id]


def test_report_validates_against_the_published_schema(read: Read) -> None:
    jsonschema.validate(read.report.model_dump(mode="json"), report_schema())


@pytest.mark.parametrize("name", ["segmentation.dcm", "structured_report.dcm"])
def test_dciodvfy_finds_no_error(read: Read, name: str) -> None:
    assert errors_of(read.folder / name) == []


def test_segment_volume_is_the_reported_one(read: Read) -> None:
    for finding in read.report.findings:
        voxels = np.count_nonzero(read.masks[finding.finding_id])
        volume_mm3 = voxels * read.scan.volume.geometry.voxel_volume_mm3
        assert finding.size.volume_mm3 == pytest.approx(volume_mm3, rel=1e-4)


def test_no_identity_in_the_report(read: Read) -> None:
    header = pydicom.dcmread(next(iter(sorted(read.folder.glob("*.dcm")))))
    assert header.PatientID == read.report.study.patient_id
    assert "PatientName" not in read.report.model_dump_json()


def overlap(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))
