"""What is made for a download: it takes disk and little memory, however large the CT, and nothing of it stays."""

from __future__ import annotations

import errno
import io
import os
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from api_server import RunningApi
from report_examples import drawn_study
from reviewed_studies import JOB, review, write_job

from lung_nodules.service.reviews import labels
from lung_nodules.service.reviews.labels import list_labels, pack_labels
from lung_nodules.service.reviews.objects import write_segmentation_object
from lung_nodules.service.reviews.source import JobSource
from lung_nodules.settings import Settings

pytestmark = pytest.mark.service  # for the time that a large CT takes to write

SHAPE = (160, 512, 512)
CT_BYTES = 2 * SHAPE[0] * SHAPE[1] * SHAPE[2]
REVIEWS = [review("N1", "accepted"), review("N2", "rejected"), review("N3", "accepted")]


@pytest.fixture(scope="module")
def large_job(tmp_path_factory: pytest.TempPathFactory) -> JobSource:
    """A CT of 84 MB with small nodules."""
    return write_job(drawn_study(SHAPE, (1.25, 0.7, 0.7), num_nodules=4), tmp_path_factory.mktemp("large"))


def _list(source: JobSource, folder: Path) -> None:
    list_labels(source, JOB, REVIEWS, folder)


def _pack(source: JobSource, folder: Path) -> None:
    pack_labels(source, JOB, REVIEWS, folder / "labels.zip", folder)


def _segment(source: JobSource, folder: Path) -> None:
    write_segmentation_object(source, REVIEWS, folder / "seg.dcm", Settings())


@pytest.mark.parametrize("make", [_list, _pack, _segment])
def test_memory_does_not_follow_the_size_of_the_ct(
    large_job: JobSource, tmp_path: Path, make: Callable[[JobSource, Path], None]
) -> None:
    """Crops of some nodules, or the slices that hold an outline, are what may lie in memory at a time."""
    source = JobSource(large_job.results, tmp_path)
    make(source, tmp_path)  # what is imported and kept for good is not counted
    (tmp_path / "labels.zip").unlink(missing_ok=True)
    tracemalloc.start()
    try:
        make(source, tmp_path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < CT_BYTES / 3


@pytest.mark.parametrize("name", ["labels.json", "labels.zip", "corrected_segmentation.dcm"])
def test_a_full_disk_is_said(
    reviews_api: RunningApi, reviewed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for finding, verdict in (("N1", "accepted"), ("N2", "rejected")):
        reviews_api.client.put(f"{reviewed.path}/findings/{finding}/review", json={"verdict": verdict})

    def refuse(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    answer = reviews_api.client.get(f"{reviewed.path}/{name}")
    assert (answer.status_code, answer.json()["code"]) == (507, "disk-full")
    assert list((reviews_api.settings.data_folder / "spool").iterdir()) == []


def test_nothing_but_the_file_stays(large_job: JobSource, tmp_path: Path) -> None:
    _pack(JobSource(large_job.results, tmp_path), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"labels.zip", labels.KEY_FILE}
    with zipfile.ZipFile(tmp_path / "labels.zip") as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == ["labels.json", "nodules-00.npz", "nodules.csv"]


def test_the_spool_is_empty_after_a_download_and_after_one_that_is_broken_off(
    reviews_api: RunningApi, reviewed: SimpleNamespace
) -> None:
    client = reviews_api.client
    client.put(f"{reviewed.path}/findings/N1/review", json={"verdict": "accepted"})
    answer = client.get(f"{reviewed.path}/labels.zip")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with client.stream("GET", f"{reviewed.path}/labels.zip") as broken_off:
        assert broken_off.status_code == 200
    client.put(f"{reviewed.path}/findings/N1/review", json={"verdict": "rejected"})
    assert client.get(f"{reviewed.path}/labels.zip").json()["code"] == "no-nodule"
    assert list((reviews_api.settings.data_folder / "spool").iterdir()) == []


def test_two_are_made_at_a_time_and_others_are_answered_meanwhile(
    reviews_api: RunningApi, reviewed: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviews_api.client.put(f"{reviewed.path}/findings/N1/review", json={"verdict": "accepted"})
    may_go_on, lock, at_once = threading.Event(), threading.Lock(), [0, 0]
    write = labels.pack_labels

    def slow(*arguments: Any) -> None:
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        may_go_on.wait(60)
        write(*arguments)
        with lock:
            at_once[0] -= 1

    monkeypatch.setattr(labels, "pack_labels", slow)
    with ThreadPoolExecutor(60) as pool:
        asked = [pool.submit(reviews_api.client.get, f"{reviewed.path}/labels.zip") for _ in range(60)]
        assert reviews_api.client.get(f"{reviewed.path}/files").status_code == 200
        assert at_once[1] <= 2
        may_go_on.set()
        contents = {each.result().content for each in asked}
    assert at_once[1] == 2
    assert all(zipfile.is_zipfile(io.BytesIO(content)) for content in contents)
