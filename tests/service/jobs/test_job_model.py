import json
from contextlib import suppress
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.jobs.listing import _read_cursor, _write_cursor
from lung_nodules.service.jobs.model import ENDED, FOLLOWS, RETRIABLE, JobState, Source
from lung_nodules.service.jobs.places import upload_folder
from lung_nodules.service.jobs.pruning import choose_doomed
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.jobs.rows import label_of, study_key
from lung_nodules.service.settings import ResultsSettings


def test_what_has_ended_stays_so_unless_somebody_tries_again():
    assert {*FOLLOWS} == {*JobState}
    for state in ENDED:
        assert FOLLOWS[state] == ({JobState.queued} if state in RETRIABLE else set())


def test_a_source_names_its_place():
    Source(kind="archive", archive="pacs", study_instance_uid="1.2")
    Source(kind="upload", path="a")
    for bad in ({"kind": "archive", "archive": "pacs"}, {"kind": "upload"}, {"kind": "folder", "archive": "pacs"}):
        with pytest.raises(ValidationError):
            Source(**bad)
    with pytest.raises(ValidationError):
        Source(kind="archive", archive="pacs", study_instance_uid="1.2' OR 1=1")


def test_an_upload_is_named_by_its_place_even_where_its_study_is_known():
    first, second = (Source(kind="upload", path=path, study_instance_uid="1.2") for path in ("a", "b"))
    assert study_key(first) != study_key(second)


@given(st.text(alphabet="0123456789.", min_size=1, max_size=64))
def test_a_label_tells_nothing_of_the_uid(uid):
    label = label_of(f"study:{uid}")
    assert len(label) == 8
    assert int(label, 16) >= 0


@given(st.integers(0, 2**63 - 1))
def test_a_cursor_comes_back(number):
    assert _read_cursor(_write_cursor(number)) == number


@given(st.text(max_size=30))
def test_any_other_text_is_a_number_or_a_refusal(text):
    with suppress(UsageRefusal):
        assert 0 <= _read_cursor(text) < 2**63


@pytest.mark.parametrize("path", ["..", "../x", ".", "", "a/../..", "/etc"])
def test_no_upload_lies_outside_the_spool(tmp_path, path):
    with pytest.raises(ValueError, match="spool"):
        upload_folder(tmp_path, path)


def test_only_listed_files_have_a_path(tmp_path):
    results = ResultFolder(tmp_path, uuid4())
    assert not results.exists()
    assert results.files() == ()
    (results.folder / "preview").mkdir(parents=True)
    (results.folder / "report.json").write_text(json.dumps({"a": 1}))
    (results.folder / "origin.json").write_text("{}")
    assert results.exists()
    assert [(file.name, file.media_type, file.num_bytes) for file in results.files()] == [
        ("report.json", "application/json", 8)
    ]
    assert results.path("report.json").read_bytes() == b'{"a": 1}'
    for name in ("origin.json", "preview", "../x", "/etc/passwd", "", ".", "missing"):
        with pytest.raises(FileNotFoundError):
            results.path(name)
    results.remove()
    results.remove()
    assert list(results.folder.parent.iterdir()) == []


ended_jobs = st.lists(st.tuples(st.uuids(), st.floats(0, 1e8), st.integers(0, 2**31)), max_size=30).map(
    lambda jobs: sorted(jobs, key=lambda job: -job[1])
)


@given(ended_jobs, st.none() | st.floats(0.01, 1000), st.none() | st.floats(0.001, 10))
def test_what_is_kept_is_young_enough_and_small_enough_and_no_more_goes_than_must(jobs, max_age_days, max_gib):
    doomed = choose_doomed(jobs, ResultsSettings(max_age_days=max_age_days, max_gib=max_gib))
    kept = [job for job in jobs if job[0] not in doomed]
    if max_age_days is not None:
        assert all(age <= max_age_days * 86400 for _, age, _ in kept)
    if max_gib is not None:
        assert sum(size for _, _, size in kept) <= max_gib * 2**30
    young = [job for job in jobs if max_age_days is None or job[1] <= max_age_days * 86400]
    gone = [job for job in young if job[0] in doomed]
    if gone and max_gib is not None:  # without the last one to go it would still have been too much
        assert sum(size for _, _, size in kept) + gone[-1][2] > max_gib * 2**30
    assert max_age_days is not None or max_gib is not None or not doomed
    with_size = [job[0] in doomed for job in young if job[2]]
    assert all(before >= after for before, after in pairwise(with_size))  # the oldest go first
