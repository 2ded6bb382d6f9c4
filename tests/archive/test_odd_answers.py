"""Answers of an archive that are not what was asked for: each has a name, and what is empty is not told."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from archive_studies import PATIENT, write_study
from ct_files import CTSeries
from fault_proxy import Answer, FaultProxy, Question, Spoil, fails
from pydicom.uid import CTImageStorage, generate_uid
from told_archive import answers, start_told_archive, tell

from lung_nodules.archive.dicomweb import DicomwebArchive
from lung_nodules.archive.fetching import content_of
from lung_nodules.archive.headers import read_instances_of, version_of
from lung_nodules.archive.orthanc_changes import OrthancChanges
from lung_nodules.archive.protocol import InstanceKey, StudyQuery
from lung_nodules.archive.received import read_key
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import DicomwebSettings, RetrySettings
from lung_nodules.stages.study import IDENTITY_KEYWORDS, digest_identity

METADATA, INSTANCE = r"GET .*/instances/[0-9.]+/metadata$", r"GET .*/instances/[0-9.]+$"
DEEP = b"[" * 100_000
ODD = [
    b"null",
    b"5",
    b'"text"',
    b"true",
    b"[null]",
    b"[5]",
    b"[[]]",
    b'{"error": "no"}',
    b'[{"error": "no"}]',
    b"<",
    DEEP,
]
ASKS: dict[str, Callable[[DicomwebArchive, InstanceKey], object]] = {
    "check": lambda archive, _key: archive.check(),
    "find_studies": lambda archive, _key: list(archive.find_studies(StudyQuery())),
    "find_series": lambda archive, key: archive.find_series(key.study_instance_uid),
    "find_instances": lambda archive, key: archive.find_instances(key.study_instance_uid, key.series_instance_uid),
    "read_headers": lambda archive, key: archive.read_headers(key.study_instance_uid, key.series_instance_uid),
    "read_identity": lambda archive, key: archive.read_identity(key),
}


@pytest.fixture
def server() -> Iterator[FaultProxy]:
    with start_told_archive() as started:
        yield started


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One instance of a chest."""
    return write_study(tmp_path / "study", generate_uid()).files[0]


def settings_of(server: FaultProxy, **changes: object) -> DicomwebSettings:
    once = RetrySettings(max_tries=1)
    return DicomwebSettings.model_validate({"kind": "dicomweb", "url": server.url, "retries": once} | changes)


def archive_of(server: FaultProxy, **changes: object) -> DicomwebArchive:
    return DicomwebArchive(settings_of(server, **changes), "odd")


@pytest.mark.parametrize("body", ODD, ids=lambda body: body[:20].decode())
@pytest.mark.parametrize("ask", ASKS)
def test_what_is_no_list_of_data_sets_is_a_bad_answer(server: FaultProxy, file: Path, ask: str, body: bytes) -> None:
    server.spoil("GET", answers(body), reaches_archive=False)
    with archive_of(server) as archive, pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        ASKS[ask](archive, read_key(file))


@pytest.mark.parametrize("body", [*ODD, b"[]", b"{}", b'{"Last": -1}', b'{"Last": 9223372036854775808}'])
def test_what_is_no_answer_of_a_change_feed_is_a_bad_answer(server: FaultProxy, body: bytes) -> None:
    server.spoil("GET", answers(body), reaches_archive=False)
    feed = OrthancChanges(settings_of(server, change_feed="orthanc", change_feed_url=server.url))
    with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        feed.changes(0)
    feed.close()


NULL_UID = b'[{"00080018": {"vr": "UI", "Value": null}}]'
NOT_TOLD = {
    "204": fails(204),
    "404": fails(404),
    "413": fails(413),
    "501": fails(501),
    **{body.decode() or "nothing": answers(body) for body in (b"", b"[]", b"{}", b"[{}]", NULL_UID)},
}


@pytest.mark.parametrize("spoil", NOT_TOLD.values(), ids=NOT_TOLD)
def test_whose_an_instance_is_comes_from_itself_where_its_metadata_are_not_told(
    server: FaultProxy, file: Path, spoil: Spoil
) -> None:
    server.spoil(METADATA, spoil, reaches_archive=False, skip=1)
    tell(server, file)
    key = read_key(file)
    with archive_of(server) as archive:
        told = content_of(archive, key.study_instance_uid)
        assert server.count(INSTANCE) == 0
        assert content_of(archive, key.study_instance_uid) == told
        assert str(archive.read_identity(key).PatientID) == PATIENT["PatientID"]
    assert server.count(INSTANCE) == 2


def test_of_a_large_instance_no_more_comes_than_tells_whose_it_is(
    server: FaultProxy, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is written; one above the limit of an instance is not refused, a slow one not waited for."""

    def is_large(question: Question, answer: Answer) -> Answer:
        return replace(answer, body=file.read_bytes() + bytes(2**24), piece_delay_s=0.01)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    server.spoil(METADATA, fails(413), reaches_archive=False)
    server.spoil(INSTANCE, is_large, reaches_archive=False)
    with archive_of(server, max_instance_mib=1, request_timeout_s=2.0) as archive:
        told = archive.read_identity(read_key(file))
    assert digest_identity(told) == digest_identity(pydicom.dcmread(file))
    assert {element.keyword for element in told} <= {*IDENTITY_KEYWORDS, "SpecificCharacterSet"} | {
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
    }


def nested(levels: int) -> dict[str, object]:
    element: dict[str, object] = {"vr": "SQ"}
    for _ in range(levels):
        element = {"vr": "SQ", "Value": [{"00081140": element}]}
    return element


def test_a_metadata_element_that_cannot_be_read_is_missing(server: FaultProxy, file: Path) -> None:
    key = read_key(file)
    odd = {
        "00080018": {"vr": "UI", "Value": [key.sop_instance_uid]},
        "00080016": {"vr": "UI", "Value": [CTImageStorage]},
        "00080008": {"vr": "LO", "Value": [5]},
        "00200013": {"vr": "IS", "Value": [float("inf")]},
        "0008103E": {"vr": "LO", "Value": ["\ud800"]},
        "00100020": {"vr": "LO", "Value": None},
        "00280010": nested(250),
    }
    server.spoil("GET .*/metadata", answers(json.dumps([odd]).encode()), reaches_archive=False)
    with archive_of(server) as archive:
        (header,) = archive.read_headers(key.study_instance_uid, key.series_instance_uid)
        assert archive.read_identity(key).get("PatientID") in (None, "")
    assert read_instances_of([header], [key.sop_instance_uid], Path()) is None
    assert version_of(header)
    assert "InstanceNumber" not in header
    assert "SeriesDescription" not in header
    assert "Rows" not in header


def test_half_of_a_surrogate_pair_in_a_list_can_be_written(server: FaultProxy) -> None:
    study: dict[str, object] = {
        "0020000D": {"vr": "UI", "Value": ["1.2"]},
        "00081030": {"vr": "LO", "Value": ["chest \ud800"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A\ud800"}]},
    }
    server.spoil("GET", answers(json.dumps([study]).encode()), reaches_archive=False)
    with archive_of(server) as archive:
        (entry,) = archive.find_studies(StudyQuery())
    assert (entry.description, entry.patient_name) == ("chest ?", "A?")


@pytest.mark.parametrize("items", [[5], [None], ["text"], [[]], [{}]])
def test_an_object_that_an_archive_refuses_without_words_is_rejected(
    server: FaultProxy, file: Path, items: list[object]
) -> None:
    body = json.dumps({"00081198": {"vr": "SQ", "Value": items}}).encode()
    server.spoil("POST", answers(body), reaches_archive=False)
    with archive_of(server) as archive:
        (failure,) = archive.push([file]).failures
    assert (failure.code, failure.status) == ("push-rejected", None)


def test_an_answer_to_a_store_that_is_nested_without_end_is_none(server: FaultProxy, tmp_path: Path) -> None:
    (file,) = CTSeries().write(tmp_path, indices=[0])
    server.spoil("POST", answers(DEEP), reaches_archive=False)
    tell(server, file)
    with archive_of(server) as archive:
        assert archive.push([file]).is_complete
