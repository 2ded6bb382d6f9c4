"""A DICOMweb server as servers are: nothing is taken for complete that is not, and every failure has its name."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pydicom
import pytest
from archive_studies import SmallStudy, uids_of, uids_of_files
from fault_proxy import (
    Answer,
    FaultProxy,
    Question,
    Spoil,
    claims_more,
    fails,
    ignores_offset,
    is_capped,
    is_cut,
    is_partial,
    is_redirected,
    is_single_part,
    is_slow,
    lists_fewer,
    start_fault_proxy,
)
from real_orthanc import Orthanc

from lung_nodules.archive.dicomweb import DicomwebArchive
from lung_nodules.archive.fetching import content_of, fetch_study
from lung_nodules.archive.protocol import StudyQuery
from lung_nodules.archive.refusals import HEALING, ArchiveRefusal
from lung_nodules.archive.settings import DicomwebSettings
from lung_nodules.archive.study_folder import StudyFolder
from lung_nodules.settings import Settings

pytestmark = pytest.mark.service

INSTANCE = r"GET .*/instances/[0-9.]+$"
SERIES_LIST, INSTANCE_LIST = r"GET .*/series\?", r"GET .*/instances\?"
INSTANCE_METADATA = r"GET .*/instances/[0-9.]+/metadata$"
STORE = r"POST .*/studies"


@pytest.fixture(scope="module")
def started(orthanc: Orthanc) -> Iterator[FaultProxy]:
    with start_fault_proxy(orthanc.url) as running:
        yield running


@pytest.fixture
def proxy(started: FaultProxy) -> FaultProxy:
    """A proxy before Orthanc, without rules."""
    started.heal()
    return started


@pytest.fixture
def spoiled(web: DicomwebSettings, proxy: FaultProxy) -> Iterator[DicomwebArchive]:
    """Orthanc behind the proxy."""
    settings = web.model_copy(update={"url": f"{proxy.url}/dicom-web", "read_timeout_s": 1.0, "request_timeout_s": 3.0})
    with DicomwebArchive(settings, "spoiled") as opened:
        yield opened


def fetch_thin(archive: DicomwebArchive, study: SmallStudy, folder: Path) -> int:
    return archive.fetch_series(study.uid, study.thin.series_uid, StudyFolder(folder, "test", None))


def expected(study: SmallStudy) -> list[str]:
    return sorted(f"{study.thin.series_uid[:50]}.{index + 1}" for index in range(study.thin.num_slices))


@pytest.mark.parametrize(
    "spoil",
    [
        fails(500),
        fails(503, Retry_After="0"),
        fails(429),
        fails(404),
        is_cut(0.5),
        is_cut(0.0),
        is_cut(0.5, has_length=False),
        is_cut(0.97, has_length=False),
        is_slow(delay_s=1.5),
        is_partial,
        lambda _question, answer: replace(answer, body=b""),
        lambda _question, answer: replace(answer, headers={"Content-Type": "application/dicom"}, body=b"<html>"),
    ],
)
def test_what_heals_is_asked_for_again(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path, spoil: Spoil
) -> None:
    proxy.spoil(INSTANCE, spoil, times=2, skip=3)
    assert fetch_thin(spoiled, study, tmp_path) == study.thin.num_slices
    assert uids_of(tmp_path) == expected(study)
    assert proxy.count(INSTANCE) == study.thin.num_slices + 2


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (fails(500), "archive-error"),
        (fails(503), "archive-busy"),
        (fails(404), "archive-short-count"),
        (is_partial, "archive-short-count"),
        (is_cut(0.5), "archive-unreachable"),
        (is_cut(0.5, has_length=False), "archive-bad-answer"),
        (is_slow(delay_s=1.5), "archive-timeout"),
    ],
)
def test_what_does_not_heal_is_never_complete(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path, spoil: Spoil, code: str
) -> None:
    """One instance is spoiled every time; the others stay for the next attempt."""
    uid = expected(study)[-1]
    proxy.spoil(rf"GET .*/instances/{uid}$", spoil)
    with pytest.raises(ArchiveRefusal) as caught:
        fetch_study(spoiled, study.uid, None, tmp_path, Settings())
    assert caught.value.code in (code, "archive-bad-answer")
    assert caught.value.heals
    assert uid not in uids_of(tmp_path)
    proxy.heal()
    assert fetch_study(spoiled, study.uid, None, tmp_path, Settings()).num_fetched == study.thin.num_slices
    assert uids_of(tmp_path) == expected(study)
    assert proxy.count(INSTANCE) < study.thin.num_slices


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (fails(401), "archive-auth"),
        (fails(403), "archive-auth"),
        (fails(301, Location="/dicom-web/elsewhere"), "archive-redirect"),
        (fails(413), "archive-too-large"),
    ],
)
def test_what_cannot_heal_is_asked_once(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path, spoil: Spoil, code: str
) -> None:
    proxy.spoil(SERIES_LIST, spoil)
    with pytest.raises(ArchiveRefusal, match=code) as caught:
        fetch_study(spoiled, study.uid, None, tmp_path, Settings())
    assert not caught.value.heals
    assert proxy.count(SERIES_LIST) == 1


@pytest.mark.parametrize("pattern", [SERIES_LIST, INSTANCE])
def test_no_other_origin_is_ever_asked(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path, pattern: str
) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)

    with HTTPServer(("127.0.0.1", 0), Handler) as other:
        threading.Thread(target=other.handle_request, daemon=True).start()
        proxy.spoil(pattern, is_redirected(f"http://127.0.0.1:{other.server_address[1]}"))
        with pytest.raises(ArchiveRefusal, match="archive-redirect"):
            fetch_study(spoiled, study.uid, None, tmp_path, Settings())
        assert asked == []
        with pytest.raises(ArchiveRefusal, match="archive-origin"):
            spoiled._session.get(f"http://127.0.0.1:{other.server_address[1]}/")
        assert asked == []


def test_counts_that_are_short_are_not_complete(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path
) -> None:
    proxy.spoil(SERIES_LIST, claims_more(1))
    for ask in (
        lambda: fetch_study(spoiled, study.uid, None, tmp_path, Settings()),
        lambda: content_of(spoiled, study.uid),
    ):
        with pytest.raises(ArchiveRefusal, match="archive-short-count"):
            ask()
    assert proxy.count(INSTANCE) == 0


def test_a_list_that_is_short_once_is_asked_for_again(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy
) -> None:
    proxy.spoil(rf"GET .*{study.thin.series_uid}/instances\?.*offset=21", lists_fewer(3), times=1)
    assert list(spoiled.find_instances(study.uid, study.thin.series_uid)) == expected(study)


def test_more_than_the_archive_counts_is_taken(spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy) -> None:
    proxy.spoil(SERIES_LIST, claims_more(-5))
    assert len(spoiled.find_instances(study.uid, study.thin.series_uid)) == study.thin.num_slices


def test_pages_are_turned_to_the_end(spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy) -> None:
    ask, spoil = is_capped(3)
    proxy.spoil(INSTANCE_LIST, spoil, ask=ask)
    assert list(spoiled.find_instances(study.uid, study.thin.series_uid)) == expected(study)


def test_a_server_that_repeats_its_first_page_does_not_hold_us(
    web: DicomwebSettings, proxy: FaultProxy, study: SmallStudy
) -> None:
    settings = web.model_copy(update={"url": f"{proxy.url}/dicom-web", "page_size": 100})
    proxy.spoil(INSTANCE_LIST, lambda _question, answer: answer, ask=ignores_offset)
    with DicomwebArchive(settings, "spoiled") as archive:
        assert list(archive.find_instances(study.uid, study.thin.series_uid)) == expected(study)
    assert proxy.count(INSTANCE_LIST) == 2


def test_a_page_repeated_is_a_short_list_and_no_double(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy
) -> None:
    proxy.spoil(INSTANCE_LIST, lambda _question, answer: answer, ask=ignores_offset)
    with pytest.raises(ArchiveRefusal, match="archive-short-count"):
        spoiled.find_instances(study.uid, study.thin.series_uid)


def test_no_content_is_an_empty_list(spoiled: DicomwebArchive, proxy: FaultProxy) -> None:
    proxy.spoil(r"GET", lambda _question, _answer: Answer(204))
    assert list(spoiled.find_studies(StudyQuery())) == []
    with pytest.raises(ArchiveRefusal, match="study-not-found"):
        spoiled.find_series("1.2.3")


@pytest.mark.parametrize("body", [b"<html>", b"[1, 2]", b'"text"', b'{"a": ', b"[[]]"])
def test_an_answer_that_is_no_list_has_a_name(spoiled: DicomwebArchive, proxy: FaultProxy, body: bytes) -> None:
    proxy.spoil(r"GET", lambda _question, answer: replace(answer, body=body))
    with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        list(spoiled.find_studies(StudyQuery()))


def test_odd_values_in_a_list_do_no_harm(spoiled: DicomwebArchive, proxy: FaultProxy) -> None:
    odd = {
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "00080020": {"vr": "DA", "Value": ["yesterday"]},
        "00080061": {"vr": "CS", "Value": [None, "CT", ""]},
        "00081030": {"vr": "LO"},
        "00201206": {"vr": "IS", "Value": ["many"]},
        "00201208": {"vr": "IS", "Value": ["12"]},
        "00100010": "text",
    }
    no_uid = {"00080020": {"vr": "DA", "Value": ["20240101"]}}
    proxy.spoil(r"GET", lambda _question, answer: answer.with_json([odd, no_uid, {}]))
    (entry,) = spoiled.find_studies(StudyQuery())
    assert (entry.study_instance_uid, entry.study_date, entry.modalities) == ("1.2.3", None, ("CT",))
    assert (entry.num_series, entry.num_instances, entry.study_id) == (None, 12, "")


def test_an_instance_that_is_not_wrapped_is_taken(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path
) -> None:
    proxy.spoil(INSTANCE, is_single_part)
    fetch_thin(spoiled, study, tmp_path)
    assert uids_of(tmp_path) == expected(study)


@pytest.mark.parametrize("status", [400, 406])
def test_an_archive_that_refuses_stored_syntaxes_is_asked_without(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path, status: int
) -> None:
    def refuses(question: Question, answer: Answer) -> Answer:
        return Answer(status) if "transfer-syntax=*" in question.headers["Accept"] else answer

    proxy.spoil(INSTANCE, refuses)
    fetch_thin(spoiled, study, tmp_path)
    assert uids_of(tmp_path) == expected(study)


def test_another_instance_than_asked_for_is_not_taken(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path
) -> None:
    first, second = expected(study)[:2]
    proxy.spoil(
        rf"GET .*/instances/{first}$",
        lambda _question, answer: answer,
        ask=lambda question: replace(question, path=question.path.replace(first, second)),
    )
    with pytest.raises(ArchiveRefusal, match="archive-bad-answer"):
        fetch_thin(spoiled, study, tmp_path)
    assert first not in uids_of(tmp_path)


@pytest.mark.parametrize("kept", [{"00080018", "0020000D", "0020000E"}, set()])
def test_metadata_that_tell_little_lead_to_the_same_choice(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path, kept: set[str]
) -> None:
    def keeps_few(_question: Question, answer: Answer) -> Answer:
        return answer.with_json([{tag: item[tag] for tag in kept} for item in answer.json()])

    proxy.spoil(r"GET .*/metadata", keeps_few)
    fetched = fetch_study(spoiled, study.uid, None, tmp_path, Settings())
    assert fetched.series_instance_uid == study.thin.series_uid
    assert fetched.num_fetched == study.num_ct


def test_an_archive_without_metadata_leads_to_the_same_choice(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, tmp_path: Path
) -> None:
    proxy.spoil(r"GET .*/metadata", fails(501))
    fetched = fetch_study(spoiled, study.uid, None, tmp_path, Settings())
    assert fetched.series_instance_uid == study.thin.series_uid


def is_empty(_question: Question, answer: Answer) -> Answer:
    return answer.with_json([{}])


@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize("spoil", [fails(404), fails(501), is_empty], ids=["404", "501", "empty"])
def test_a_study_is_the_same_whether_its_metadata_are_told_or_not(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy, spoil: Spoil, times: int | None
) -> None:
    content = content_of(spoiled, study.uid)
    num_identities = proxy.count(INSTANCE_METADATA)
    proxy.spoil(INSTANCE_METADATA, spoil, times=times)
    assert content_of(spoiled, study.uid) == content
    assert proxy.count(INSTANCE) == (times or num_identities)


def test_a_study_of_which_no_instance_is_to_be_had_has_no_other_content(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy
) -> None:
    content = content_of(spoiled, study.uid)
    proxy.spoil(rf"{INSTANCE_METADATA}|{INSTANCE}", fails(404))
    with pytest.raises(ArchiveRefusal, match="archive-short-count") as caught:
        content_of(spoiled, study.uid)
    assert caught.value.heals
    proxy.heal()
    assert content_of(spoiled, study.uid) == content


def test_the_host_header_names_the_port(spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy) -> None:
    spoiled.find_series(study.uid)
    list(spoiled.read_headers(study.uid, study.thin.series_uid))
    assert {question.headers["Host"] for question in proxy.questions} == {proxy.url.removeprefix("http://")}


def test_an_answer_that_never_ends_is_cut(
    web: DicomwebSettings, proxy: FaultProxy, study: SmallStudy, tmp_path: Path
) -> None:
    update = {"url": f"{proxy.url}/dicom-web", "request_timeout_s": 0.3, "retries": web.retries}
    proxy.spoil(INSTANCE, lambda _q, answer: replace(answer, body=answer.body * 50, piece_delay_s=0.05))
    settings = web.model_copy(update=update)
    with DicomwebArchive(settings, "spoiled") as archive, pytest.raises(ArchiveRefusal) as caught:
        fetch_thin(archive, study, tmp_path)
    assert caught.value.code == "archive-timeout"


def test_an_answer_above_the_limit_is_refused(
    web: DicomwebSettings, proxy: FaultProxy, study: SmallStudy, tmp_path: Path
) -> None:
    settings = web.model_copy(update={"url": f"{proxy.url}/dicom-web", "max_instance_mib": 1})
    proxy.spoil(INSTANCE, lambda _q, answer: replace(answer, body=answer.body * 600))
    with DicomwebArchive(settings, "spoiled") as archive, pytest.raises(ArchiveRefusal, match="archive-too-large"):
        fetch_thin(archive, study, tmp_path)


class TestStoring:
    def test_an_answer_without_the_object_is_not_believed(
        self, spoiled: DicomwebArchive, proxy: FaultProxy, results: list[Path]
    ) -> None:
        proxy.spoil(STORE, lambda _question, _answer: Answer(202), reaches_archive=False)
        outcome = spoiled.push(results)
        assert outcome.num_confirmed == 0
        assert {failure.code for failure in outcome.failures} == {"push-not-confirmed"}
        assert sorted(failure.sop_instance_uid for failure in outcome.failures) == uids_of_files(results)

    @pytest.mark.parametrize("status", [200, 202, 409])
    @pytest.mark.parametrize("is_json", [True, False])
    def test_a_refusal_in_the_answer_is_read(
        self, spoiled: DicomwebArchive, proxy: FaultProxy, results: list[Path], status: int, is_json: bool
    ) -> None:
        failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}
        xml = b'<NativeDicomModel><DicomAttribute tag="00081198" vr="SQ"><Item/></DicomAttribute></NativeDicomModel>'
        body = json.dumps(failed).encode() if is_json else xml
        proxy.spoil(STORE, lambda _question, _answer: Answer(status, body=body), reaches_archive=False, times=1)
        outcome = spoiled.push(results)
        assert outcome.num_confirmed == len(results) - 1
        (failure,) = outcome.failures
        assert (failure.code, failure.status) == ("push-rejected", 0xA700 if is_json else None)

    def test_a_duplicate_that_is_there_has_arrived(
        self, spoiled: DicomwebArchive, proxy: FaultProxy, results: list[Path]
    ) -> None:
        assert spoiled.push(results).is_complete
        failed = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0x0111]}}]}}
        proxy.spoil(STORE, lambda _q, _a: Answer(409, body=json.dumps(failed).encode()), reaches_archive=False)
        assert spoiled.push(results).is_complete

    @pytest.mark.parametrize("spoil", [fails(503), is_cut(0.0), fails(500)])
    def test_an_answer_that_is_lost_is_asked_for_again(
        self, spoiled: DicomwebArchive, proxy: FaultProxy, results: list[Path], study: SmallStudy, spoil: Spoil
    ) -> None:
        proxy.spoil(STORE, spoil, times=2)
        assert spoiled.push(results).num_confirmed == len(results)
        series = str(pydicom.dcmread(results[0]).SeriesInstanceUID)
        assert list(spoiled.find_instances(study.uid, series)) == uids_of_files(results)

    def test_an_archive_that_is_slow_to_list_is_waited_for(
        self, spoiled: DicomwebArchive, proxy: FaultProxy, results: list[Path]
    ) -> None:
        proxy.spoil(INSTANCE_LIST, lambda _question, _answer: Answer(204), times=2)
        assert spoiled.push(results).is_complete

    def test_credentials_that_are_refused_are_not_tried_for_each_object(
        self, spoiled: DicomwebArchive, proxy: FaultProxy, results: list[Path]
    ) -> None:
        proxy.spoil(STORE, fails(401))
        with pytest.raises(ArchiveRefusal, match="archive-auth"):
            spoiled.push(results)


def test_every_code_heals_or_lasts() -> None:
    assert ArchiveRefusal("archive-timeout", "").heals
    assert not ArchiveRefusal("archive-auth", "").heals
    assert "archive-short-count" in HEALING


def test_a_proxy_that_denies_everything_is_an_archive_that_is_away(
    spoiled: DicomwebArchive, proxy: FaultProxy, study: SmallStudy
) -> None:
    proxy.spoil("GET", fails(404))
    for ask in (spoiled.check, lambda: spoiled.find_series(study.uid), lambda: content_of(spoiled, study.uid)):
        with pytest.raises(ArchiveRefusal, match="archive-unreachable"):
            ask()
    proxy.heal()
    proxy.spoil(SERIES_LIST, fails(404))
    with pytest.raises(ArchiveRefusal, match="study-not-found"):
        spoiled.find_series(study.uid)
