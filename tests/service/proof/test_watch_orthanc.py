"""From a real Orthanc through the line and its models back into Orthanc, by nothing but `lung-nodules serve`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from proof_service import Serving, archive_values, instances_in, is_settled, serving, wait_until
from pydicom.uid import CTImageStorage, SegmentationStorage
from real_orthanc import Orthanc, need_orthanc, start_orthanc
from service_fixtures import short_folder

from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec
from lung_nodules.service.jobs.model import Job, JobState

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.timeout(1800)]

CHEST = PhantomSettings(
    nodules=(NoduleSpec(diameter_mm=18.0), NoduleSpec(diameter_mm=11.0)),
    **{"num_slices": 100, "slice_spacing_mm": 2.5, "rows": 256, "columns": 256, "pixel_spacing_mm": 1.4},
)
SCANS = ("LIDC-IDRI-0001", "LIDC-IDRI-0003")


@pytest.fixture
def folder():
    need_orthanc(dicomweb=True)
    with short_folder() as made:
        yield made


@pytest.fixture
def orthanc(folder):
    with start_orthanc(folder / "orthanc", dicomweb=True) as started:
        yield started


def dicom_files(folder: Path) -> list[Path]:
    """DICOM files below a folder, in order."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in (".xml", ".json")]
    assert files, folder
    return files


def study_of(file: Path) -> str:
    return str(pydicom.dcmread(file, stop_before_pixels=True).StudyInstanceUID)


def write_report_alone(path: Path, model: Path) -> str:
    """A study of somebody else's that holds an SR and nothing more."""
    report = pydicom.dcmread(model)
    report.StudyInstanceUID, report.SeriesInstanceUID = "2.25.9001", "2.25.9001.1"
    report.SOPInstanceUID = report.file_meta.MediaStorageSOPInstanceUID = "2.25.9001.1.1"
    report.save_as(path)
    return "2.25.9001"


def write_scouts_alone(folder: Path, scouts: Sequence[Path]) -> tuple[str, list[Path]]:
    """A study that holds localizers and nothing more."""
    folder.mkdir()
    for number, source in enumerate(scouts):
        header = pydicom.dcmread(source)
        header.StudyInstanceUID, header.SeriesInstanceUID = "2.25.9002", "2.25.9002.1"
        header.SOPInstanceUID = header.file_meta.MediaStorageSOPInstanceUID = f"2.25.9002.1.{number + 1}"
        header.save_as(folder / f"{number}.dcm")
    return "2.25.9002", sorted(folder.iterdir())


class Results:
    """The SEG and the SRs of one study, as DICOMweb gives them."""

    def __init__(self, orthanc: Orthanc, study_uid: str, known: Sequence[str]) -> None:
        client = DICOMwebClient(orthanc.dicomweb_url)
        listed = client.search_for_instances(study_instance_uid=study_uid)
        keys = [(each["0020000E"]["Value"][0], each["00080018"]["Value"][0]) for each in listed]
        new = [
            client.retrieve_instance(study_uid, series, instance) for series, instance in keys if instance not in known
        ]
        self.segmentations = [each for each in new if each.Modality == "SEG"]
        self.reports = [each for each in new if each.Modality == "SR"]
        self.num_others = len(new) - len(self.segmentations) - len(self.reports)


def judge(orthanc: Orthanc, job: Job, files: Sequence[Path]) -> Results:
    """Results are there, once, and refer to slices of one series of their study and to its frame of reference."""
    assert job.state is JobState.done, job.reason
    headers = {str(header.SOPInstanceUID): header for header in map(read_header, files)}
    found = Results(orthanc, str(job.source.study_instance_uid), list(headers))
    assert found.num_others == 0
    assert len(found.reports) == 1
    assert len(found.segmentations) == (1 if job.summary.num_findings else 0)
    assert job.summary.num_stored == len(found.reports) + len(found.segmentations)
    for segmentation in found.segmentations:
        (series,) = segmentation.ReferencedSeriesSequence
        slices = [headers[each.ReferencedSOPInstanceUID] for each in series.ReferencedInstanceSequence]
        assert {each.SeriesInstanceUID for each in slices} == {series.SeriesInstanceUID}
        assert {each.SOPClassUID for each in slices} == {CTImageStorage}
        assert {each.FrameOfReferenceUID for each in slices} == {segmentation.FrameOfReferenceUID}
        assert all_sources(segmentation) <= {str(each.SOPInstanceUID) for each in slices}
        assert all_sources(segmentation)
        assert segmentation.PatientID == slices[0].PatientID
    ours = {str(each.SOPInstanceUID) for each in found.segmentations}
    for report in found.reports:
        evidence = list(referenced(report.CurrentRequestedProcedureEvidenceSequence))
        assert {study for study, _, _ in evidence} == {job.source.study_instance_uid}
        assert {uid for _, uid, _ in evidence} <= ours | set(headers)
        assert {uid for _, uid, kind in evidence if kind == SegmentationStorage} == ours
        assert {uid for _, uid, kind in evidence if kind == CTImageStorage}
    return found


def read_header(path: Path) -> pydicom.Dataset:
    return pydicom.dcmread(path, stop_before_pixels=True)


def all_sources(segmentation: pydicom.Dataset) -> set[str]:
    """Slices from which frames are said to be made."""
    return {
        str(source.ReferencedSOPInstanceUID)
        for frame in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in frame.DerivationImageSequence
        for source in derivation.SourceImageSequence
    }


def referenced(evidence: Sequence[pydicom.Dataset]):
    """Study, instance and class of each object of a hierarchical reference."""
    for study in evidence:
        for series in study.ReferencedSeriesSequence:
            for each in series.ReferencedSOPSequence:
                yield study.StudyInstanceUID, str(each.ReferencedSOPInstanceUID), each.ReferencedSOPClassUID


def values_of(orthanc: Orthanc) -> dict[str, object]:
    """Settings beside the defaults: the line and the models are the user's."""
    return archive_values(orthanc.url, read_timeout_s=60.0)


def settle(service: Serving, orthanc: Orthanc, timeout_s: float) -> list[Job]:
    """Wait until nothing is left to do; all jobs."""

    def stand() -> str:
        jobs = [(job.state.value, job.step, job.reason) for job in service.jobs()]
        return f"{jobs}\n{service.log.read_text(errors='replace')[-3000:]}"

    wait_until(lambda: is_settled(service, orthanc), timeout_s, stand)
    return service.jobs()


def start_again(service: Serving, orthanc: Orthanc) -> None:
    """End everything and start it again; nothing is to change."""
    jobs, stand = service.jobs(), instances_in(orthanc)
    service.stop()
    orthanc.stop()
    orthanc.start()
    service.start()
    assert settle(service, orthanc, 120) == jobs
    assert instances_in(orthanc) == stand


@pytest.mark.real_data
def test_each_study_of_an_archive_is_read_once(folder: Path, orthanc: Orthanc, shared_data: Path) -> None:
    phantom = write_phantom(folder / "phantom", CHEST)
    studies = {name: dicom_files(shared_data / "lidc-scans" / name) for name in SCANS}
    studies["phantom"] = dicom_files(phantom.dicom_folder)
    mr = dicom_files(shared_data / "dicom-robustness" / "mr-chest")
    reported = write_report_alone(folder / "report.dcm", phantom.dicom_folder / "dose" / "SR0001.dcm")
    scout, scouts = write_scouts_alone(folder / "scouts", dicom_files(phantom.dicom_folder / "scout"))
    for files in (*studies.values(), mr, scouts, [folder / "report.dcm"]):
        orthanc.add(files)
    with serving(folder, **values_of(orthanc)) as service:
        jobs = {job.source.study_instance_uid: job for job in settle(service, orthanc, 1200)}
        assert set(jobs) == {*(study_of(files[0]) for files in studies.values()), scout}
        assert len(service.jobs()) == len(jobs)
        for files in studies.values():
            judge(orthanc, jobs[study_of(files[0])], files)
        assert jobs[study_of(studies["LIDC-IDRI-0001"][0])].summary.num_findings > 0
        assert (jobs[scout].state, jobs[scout].reason.code) == (JobState.refused, "localizer")
        for uid in (study_of(mr[0]), reported):  # the watcher passes over what holds no CT; who asks for it is told
            assert service.ask("/v1/studies", {"study_instance_uid": uid})[0] == 202
        after = {job.source.study_instance_uid: job for job in settle(service, orthanc, 120)}
        for uid in (study_of(mr[0]), reported):
            assert (after[uid].state, after[uid].reason.code) == (JobState.refused, "not-ct")
        assert all(after[uid] == job for uid, job in jobs.items())
        start_again(service, orthanc)


def test_a_late_slice_makes_a_new_version_and_no_double(folder: Path, orthanc: Orthanc) -> None:
    phantom = write_phantom(folder / "phantom", CHEST)
    files = dicom_files(phantom.dicom_folder)
    late = dicom_files(phantom.dicom_folder / "thin")[-1]
    early = [path for path in files if path != late]
    orthanc.add(early)
    with serving(folder, **values_of(orthanc)) as service:
        (first,) = settle(service, orthanc, 600)
        before = judge(orthanc, first, early)
        start_again(service, orthanc)
        orthanc.add([late])
        wait_until(lambda: len(service.jobs()) > 1, 60)
        again, second = settle(service, orthanc, 600)
        assert again == first.model_copy(update={"replaced_by": second.id})
        assert (second.version, second.replaces, second.duplicate_of) == (2, first.id, None)
        assert second.content_hash != first.content_hash
        kept = [*before.segmentations, *before.reports]
        earlier = folder / "earlier"
        earlier.mkdir()
        for number, made in enumerate(kept):
            made.save_as(earlier / f"{number}.dcm", enforce_file_format=True)
        (report,) = judge(orthanc, second, [*files, *earlier.iterdir()]).reports
        (superseded,) = before.reports
        predecessors = {uid for _, uid, _ in referenced(report.PredecessorDocumentsSequence)}
        assert predecessors == {str(superseded.SOPInstanceUID)}
        start_again(service, orthanc)
        orthanc.add([late])  # once more, as an archive that is sent the same again
        assert settle(service, orthanc, 60) == [again, second]
