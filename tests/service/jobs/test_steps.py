"""The steps in this process: a phantom through the real line with tiny models, and into a folder as destination."""

import json
import shutil
from datetime import UTC, datetime
from uuid import uuid4

import pydicom
import pytest
from tiny_models import write_tiny_models

from lung_nodules.errors import UsageRefusal
from lung_nodules.phantom import PhantomSettings, write_phantom
from lung_nodules.phantom.settings import NoduleSpec
from lung_nodules.progress import SilentProgress
from lung_nodules.service.jobs.model import Job, JobState, Source
from lung_nodules.service.jobs.models_hash import hash_models
from lung_nodules.service.jobs.places import staging_folder
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.jobs.steps import Steps
from lung_nodules.service.settings import read_service_settings

pytestmark = pytest.mark.slow

QUIET = SilentProgress()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps")
    nodules = (NoduleSpec(diameter_mm=24), NoduleSpec(diameter_mm=16))
    chest = PhantomSettings(
        nodules=nodules, num_slices=60, slice_spacing_mm=5.0, rows=128, columns=128, pixel_spacing_mm=2.8
    )
    write_phantom(folder / "study", chest)
    (folder / "models").mkdir()
    write_tiny_models(folder / "models")
    (folder / "pacs").mkdir()
    return folder


@pytest.fixture(scope="module")
def settings(place):
    return read_service_settings(
        None,
        {
            "data_folder": place / "data",
            "models_folder": place / "models",
            "archives": {"pacs": {"kind": "folder", "path": str(place / "pacs")}},
            "destinations": ["pacs"],
        },
    )


@pytest.fixture(scope="module")
def job(place, settings):
    return Job(
        id=uuid4(),
        source=Source(kind="folder", path=str(place / "study" / "dicom")),
        label="0123abcd",
        priority=0,
        state=JobState.running,
        models_hash=hash_models(settings),
        submitted_by="test",
        created_at=datetime.now(UTC),
    )


@pytest.fixture(scope="module")
def read(place, settings, job):
    """What the steps gave, and the results."""
    steps = Steps(settings)
    found = steps.fetch(job, QUIET, place / "work")
    results = ResultFolder(settings.data_folder, job.id)
    staging = staging_folder(settings.data_folder, uuid4())
    summary = steps.analyse(job, QUIET, place / "study" / "dicom", found["content_hash"], staging)
    assert not results.exists()
    results.take(staging)
    return steps, found, summary, results


def test_results_and_preview_appear_together(read):
    _, found, summary, results = read
    names = [file.name for file in results.files()]
    assert {"report.json", "structured_report.dcm"} <= set(names)
    assert "origin.json" not in names
    report = results.report()
    assert summary["num_findings"] == len(report["findings"])
    assert summary["quality"] in ("pass", "warn", "fail")
    meta = json.loads((results.preview / "meta.json").read_text())
    assert (meta["num_slices"], meta["rows"], meta["columns"]) == (60, 128, 128)
    assert len(list((results.preview / "slices").iterdir())) == 60
    assert results.origin().content_hash == found["content_hash"]
    assert [path.name for path in results.folder.parent.iterdir()] == [results.folder.name]


def test_what_was_read_is_not_read_again(place, read, job):
    steps, found, summary, results = read
    before = (results.folder / "report.json").stat().st_mtime_ns
    staging = results.folder.with_name(".again")
    assert steps.analyse(job, QUIET, place / "nowhere", found["content_hash"], staging) == summary
    results.take(staging)
    assert (results.folder / "report.json").stat().st_mtime_ns == before


def test_storing_twice_is_storing_once(place, read, job):
    steps, _, _, results = read
    num_objects = len([file for file in results.files() if file.name.endswith(".dcm")])
    names = results.report()["structured_report"]
    document = {key: names[key] for key in ("series_instance_uid", "sop_class_uid", "sop_instance_uid", "predecessor")}
    document["study_instance_uid"] = results.report()["study"]["study_instance_uid"]
    assert steps.store(job, QUIET) == {"num_stored": num_objects, "document": document}
    stored = sorted((place / "pacs").rglob("*.dcm"))
    assert steps.store(job, QUIET) == {"num_stored": num_objects, "document": document}
    assert sorted((place / "pacs").rglob("*.dcm")) == stored
    ours = {str(pydicom.dcmread(results.path(f.name)).SOPInstanceUID) for f in results.files() if f.name[-4:] == ".dcm"}
    assert {str(pydicom.dcmread(path).SOPInstanceUID) for path in stored} == ours


def test_results_of_other_content_are_replaced(place, read, job):
    steps, _, _, results = read
    staging = results.folder.with_name(".another")
    steps.analyse(job, QUIET, place / "study" / "dicom", "another content", staging)
    results.take(staging)
    assert results.origin().content_hash == "another content"
    assert results.exists()


def test_a_study_is_read_with_the_models_that_its_job_names_or_not_at_all(place, read, job, settings):
    steps, _, _, results = read
    study, record = place / "study" / "dicom", place / "models" / "detection" / "record.json"
    before = record.read_text()
    record.write_text(json.dumps({**json.loads(before), "version": "replaced"}))
    try:
        newer = job.model_copy(update={"models_hash": hash_models(settings)})
        assert newer.models_hash != job.models_hash
        with pytest.raises(UsageRefusal) as caught:
            Steps(settings).analyse(job, QUIET, study, "content", results.folder.with_name(".refused"))
        assert caught.value.code == "models-changed"
        staging = results.folder.with_name(".newer")
        steps.analyse(newer, QUIET, study, "content", staging)
        results.take(staging)
    finally:
        record.write_text(before)
    assert results.origin().models_hash == newer.models_hash
    assert "replaced" in {model["version"] for model in results.report()["models"]}


def test_the_content_of_files_is_that_of_their_ct_alone(place, settings, read, tmp_path):
    steps, found, _, results = read
    mixed = tmp_path / "mixed"
    shutil.copytree(place / "study" / "dicom", mixed)
    (mixed / "ours.dcm").write_bytes(results.path("structured_report.dcm").read_bytes())
    (tmp_path / "empty").mkdir()
    again, nothing = (steps.fetch(_from(folder), QUIET, tmp_path) for folder in (mixed, tmp_path / "empty"))
    assert (nothing["study_instance_uid"], nothing["content_hash"]) == ("", "")
    assert (again["study_instance_uid"], again["content_hash"]) == (found["study_instance_uid"], found["content_hash"])


def _from(folder):
    return Job(
        id=uuid4(),
        source=Source(kind="folder", path=str(folder)),
        label="x",
        priority=0,
        state=JobState.running,
        submitted_by="test",
        created_at=datetime.now(UTC),
    )
