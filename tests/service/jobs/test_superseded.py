"""Late slices through a worker and the real line: the SR that is stored for them names the one that it supersedes."""

import shutil
from uuid import uuid4

import pydicom
import pytest
from service_fixtures import until, worker
from tiny_models import write_tiny_models

from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec
from lung_nodules.progress import SilentProgress
from lung_nodules.service.jobs.desk import open_desk
from lung_nodules.service.jobs.model import ENDED, JobOrder, JobState, Source
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.jobs.steps import Steps

pytestmark = [pytest.mark.service, pytest.mark.slow]

CHEST = PhantomSettings(
    nodules=(NoduleSpec(diameter_mm=24),),
    **{"num_slices": 60, "slice_spacing_mm": 5.0, "rows": 128, "columns": 128, "pixel_spacing_mm": 2.8},
)
DOCUMENT = "structured_report.dcm"


@pytest.fixture
def place(tmp_path):
    """Models, an archive for results, and a study that lacks its last slice."""
    write_phantom(tmp_path / "whole", CHEST)
    for name in ("models", "pacs"):
        (tmp_path / name).mkdir()
    write_tiny_models(tmp_path / "models")
    shutil.copytree(tmp_path / "whole" / "dicom" / "thin", tmp_path / "study")
    last_slice(tmp_path / "study").unlink()
    return tmp_path


@pytest.fixture
def settings(make, place):
    return make(
        models_folder=place / "models",
        archives={"pacs": {"kind": "folder", "path": str(place / "pacs")}},
        destinations=["pacs"],
        workers={"analysis": "lung_nodules.service.jobs.analysis:LineAnalysis"},
    )


def last_slice(folder):
    return max(folder.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))


def stored_reports(place):
    """The SRs in the archive, by their SOP Instance UID."""
    objects = map(pydicom.dcmread, (path for path in (place / "pacs").rglob("*") if path.is_file()))
    return {str(each.SOPInstanceUID): each for each in objects if each.Modality == "SR"}


async def read(desk, settings, folder, kill_at=None):
    """The job of a study that was read to its end; with `kill_at`, by a second worker after the first was killed."""
    job = await desk.submit(JobOrder(source=Source(kind="folder", path=str(folder))))

    async def ended():
        found = await desk.get(job.id)
        return found if found.state in ENDED else None

    async def reached():
        return (await desk.get(job.id)).stage == kill_at

    if kill_at is not None:
        with worker(settings):
            await until(reached)
    with worker(settings):
        return await until(ended, 180)


def test_the_sr_of_late_slices_names_that_of_the_first_ones(settings, run, place):
    async def scenario():
        async with open_desk(settings) as desk:
            first = await read(desk, settings, place / "study")
            whole = place / "whole" / "dicom" / "thin"
            shutil.copy(last_slice(whole), place / "study")
            second = await read(desk, settings, place / "study", kill_at="lungs")
            return await desk.get(first.id), second

    first, second = run(scenario())
    assert (first.state, second.state, second.attempts) == (JobState.done, JobState.done, 2)
    assert (second.version, second.replaces, first.replaced_by) == (2, first.id, second.id)
    older, newer = (ResultFolder(settings.data_folder, job.id) for job in (first, second))
    superseded = older.report()["structured_report"]
    assert superseded["predecessor"] is None
    predecessor = newer.report()["structured_report"]["predecessor"]
    assert predecessor["sop_instance_uid"] == superseded["sop_instance_uid"]
    stored = stored_reports(place)
    assert set(stored) == {superseded["sop_instance_uid"], newer.report()["structured_report"]["sop_instance_uid"]}
    assert "PredecessorDocumentsSequence" not in stored.pop(superseded["sop_instance_uid"])
    (document,) = stored.values()
    (of_study,) = document.PredecessorDocumentsSequence
    (of_series,) = of_study.ReferencedSeriesSequence
    (instance,) = of_series.ReferencedSOPSequence
    assert of_study.StudyInstanceUID == document.StudyInstanceUID
    assert of_series.SeriesInstanceUID == superseded["series_instance_uid"]
    assert instance.ReferencedSOPInstanceUID == superseded["sop_instance_uid"]

    def again(named):
        into, job = place / uuid4().hex, second.model_copy(update={"id": uuid4()})
        Steps(settings).analyse(job, SilentProgress(), place / "study", second.content_hash, into, named)
        return into / DOCUMENT

    assert again({**predecessor, "predecessor": None}).read_bytes() == newer.path(DOCUMENT).read_bytes()
    assert pydicom.dcmread(again(None)).SOPInstanceUID != document.SOPInstanceUID
