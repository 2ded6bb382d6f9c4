"""An archive by DICOMweb: QIDO-RS, WADO-RS and STOW-RS (PS3.18).

dicomweb-client words the searches and reads the metadata; `GuardedSession` is its way out. Instances are streamed past
it, as it holds each one in memory and writes it anew. Addresses come from the settings and from UIDs that were checked;
a Retrieve URL or a bulk data URI of an answer is never followed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http import HTTPStatus
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pydicom
import requests
from dicomweb_client import DICOMwebClient

from lung_nodules.archive.dicom_json import Item, read_header, read_series, read_study, text_of
from lung_nodules.archive.dicomweb_search import filters_of, items_of, told_or_none
from lung_nodules.archive.dicomweb_store import store_files
from lung_nodules.archive.http_session import MIB, GuardedSession
from lung_nodules.archive.instance_head import MAX_HEAD_BYTES, read_identity_of
from lung_nodules.archive.multipart import boundary_of, iterate_first_part
from lung_nodules.archive.naming import check_uid
from lung_nodules.archive.protocol import InstanceKey, InstanceSink, PushOutcome, SeriesEntry, StudyEntry, StudyQuery
from lung_nodules.archive.queries import SERIES_FIELDS, STUDY_FIELDS, check_query, does_match
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.retrying import call_with_retries
from lung_nodules.archive.settings import DicomwebSettings
from lung_nodules.stages.dicom_file import quiet_pydicom

_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_PLAIN = 'multipart/related; type="application/dicom"'
_NOT_TOLD = ("archive-not-supported", "study-not-found", "archive-too-large")  # of metadata: there are none to be had
Search = Callable[..., list[dict[str, Any]]]


class DicomwebArchive:
    """See `Archive`.

    Args:
        settings: Address, credentials, bounds.
        name: Its name in the settings.
    """

    def __init__(self, settings: DicomwebSettings, name: str) -> None:
        self.name = name
        self._settings = settings
        self._session = GuardedSession(settings)
        self._client = DICOMwebClient(
            settings.url,
            session=self._session,
            qido_url_prefix=settings.qido_prefix,
            wado_url_prefix=settings.wado_prefix,
            stow_url_prefix=settings.stow_prefix,
            permissive_uid=True,  # `check_uid` has looked at them; dicomweb-client refuses leading zeros, which occur
        )
        self._client.set_http_retry_params(retry=False)
        self._gives_stored_syntax = True

    def check(self) -> None:
        """See `Archive.check`."""
        try:
            items_of(lambda: self._client.search_for_studies(limit=1))
        except ArchiveRefusal as refusal:
            if refusal.code == "study-not-found":
                raise ArchiveRefusal("archive-unreachable", "No DICOMweb service answers at the address.") from None
            raise

    def find_studies(self, query: StudyQuery) -> Iterator[StudyEntry]:
        """See `Archive.find_studies`."""
        check_query(query)
        search = self._client.search_for_studies
        items = self._search(search, "StudyInstanceUID", STUDY_FIELDS, search_filters=filters_of(query))
        entries = (read_study(item) for item in items)
        yield from islice((entry for entry in entries if does_match(entry, query)), query.max_num_studies)

    def find_series(self, study_instance_uid: str) -> Sequence[SeriesEntry]:
        """See `Archive.find_series`."""
        study = check_uid(study_instance_uid)
        search = self._client.search_for_series
        try:
            items = list(self._search(search, "SeriesInstanceUID", SERIES_FIELDS, study_instance_uid=study))
        except ArchiveRefusal as refusal:
            if refusal.code == "study-not-found":
                self.check()  # a proxy before an archive that restarts says so of everything
            raise
        entries = [read_series(item, study) for item in items]
        if not entries:
            raise ArchiveRefusal("study-not-found", "The archive holds no such study.")
        return sorted(entries, key=lambda entry: entry.series_instance_uid)

    def find_instances(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[str]:
        """See `Archive.find_instances`."""
        return call_with_retries(
            lambda: self._list_counted(check_uid(study_instance_uid), check_uid(series_instance_uid)),
            self._settings.retries,
        )

    def read_headers(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[pydicom.Dataset]:
        """See `Archive.read_headers`."""
        study, series = check_uid(study_instance_uid), check_uid(series_instance_uid)
        try:
            items = self._ask(lambda: self._client.retrieve_series_metadata(study, series))
        except ArchiveRefusal as refusal:
            if refusal.code in _NOT_TOLD:
                return ()
            raise
        with quiet_pydicom():
            return [read_header(item) for item in items]

    def read_identity(self, key: InstanceKey) -> pydicom.Dataset:
        """See `Archive.read_identity`: of the instance itself, as an index may tell less, or lag behind a correction.

        Where the archive does not tell its metadata, now or ever, the instance is asked for: its identity is the same.
        """
        uids = key.study_instance_uid, key.series_instance_uid, key.sop_instance_uid
        study, series, instance = map(check_uid, uids)
        try:
            told = self._ask(
                lambda: told_or_none(lambda: self._client.retrieve_instance_metadata(study, series, instance))
            )
        except ArchiveRefusal as refusal:
            if refusal.code not in _NOT_TOLD:
                raise
            told = []
        item = next(iter(told), {})
        if text_of(item, "SOPInstanceUID") != instance:
            return call_with_retries(lambda: self._stream_identity(key), self._settings.retries)
        with quiet_pydicom():
            return read_header(item)

    def fetch_series(self, study_instance_uid: str, series_instance_uid: str, into: InstanceSink) -> int:
        """See `Archive.fetch_series`."""
        study, series = check_uid(study_instance_uid), check_uid(series_instance_uid)
        uids = self.find_instances(study, series)
        if not uids:
            raise ArchiveRefusal("series-not-found", "The archive holds no such series.")
        keys = [InstanceKey(study, series, check_uid(uid)) for uid in uids]
        with ThreadPoolExecutor(self._settings.num_connections) as pool:
            waiting = [pool.submit(self._fetch_instance, key, into) for key in keys]
            try:
                for future in waiting:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return len(keys)

    def push(self, files: Sequence[Path]) -> PushOutcome:
        """See `Archive.push`."""
        return store_files(self, self._session, self._settings, files)

    def close(self) -> None:
        """See `Archive.close`."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _list_counted(self, study: str, series: str) -> list[str]:
        """List the instances of a series, and hold their number against the archive's own."""
        items = self._search(
            self._client.search_for_instances,
            "SOPInstanceUID",
            (),
            study_instance_uid=study,
            series_instance_uid=series,
        )
        uids = sorted(text_of(item, "SOPInstanceUID") for item in items)
        claimed = next((s.num_instances for s in self.find_series(study) if s.series_instance_uid == series), None)
        if claimed is not None and len(uids) < claimed:
            raise ArchiveRefusal(
                "archive-short-count", f"The archive counts {claimed} instances in a series and lists {len(uids)}."
            )
        return uids

    def _search(self, search: Search, key: str, fields: Iterable[str], **options: Any) -> Iterator[Item]:
        """Turn pages until one is empty or brings nothing new; each match once, by its UID.

        Some servers give fewer matches than asked for and say so in a Warning header or not at all, some ignore the
        offset: what counts is whether a page brought something.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            page = self._ask(
                lambda offset=offset: search(  # type: ignore[misc]  # bound now
                    limit=self._settings.page_size, offset=offset, fields=list(fields), **options
                )
            )
            fresh = {uid: item for item in page if (uid := text_of(item, key)) and uid not in seen}
            if not fresh:
                return
            yield from fresh.values()
            seen.update(fresh)
            offset += len(page)

    def _ask(self, call: Callable[[], list[dict[str, Any]]]) -> list[Mapping[str, Any]]:
        """Ask for JSON, again where that can help."""
        return call_with_retries(lambda: items_of(call), self._settings.retries)

    def _fetch_instance(self, key: InstanceKey, into: InstanceSink) -> None:
        if not into.holds(key):
            call_with_retries(lambda: self._stream_instance(key, into), self._settings.retries)

    def _stream_instance(self, key: InstanceKey, into: InstanceSink) -> None:
        with self._open_instance(key, self._settings.max_instance_mib * MIB) as chunks:
            into.receive(key, chunks)

    def _stream_identity(self, key: InstanceKey) -> pydicom.Dataset:
        with self._open_instance(key, MAX_HEAD_BYTES) as chunks:
            return read_identity_of(chunks, key)

    @contextmanager
    def _open_instance(self, key: InstanceKey, max_bytes: int) -> Iterator[Iterator[bytes]]:
        """An instance in pieces; what was not read when it is left does not come."""
        response = self._request_instance(key)
        chunks = self._session.iterate_body(response, max_bytes)
        boundary = boundary_of(response.headers.get("Content-Type", ""))
        with closing(response):
            yield chunks if boundary is None else iterate_first_part(chunks, boundary)

    def _request_instance(self, key: InstanceKey) -> requests.Response:
        """Ask for an instance as it is stored; where the archive refuses that, in the syntax that it likes."""
        prefix = f"/{self._settings.wado_prefix}" if self._settings.wado_prefix else ""
        url = (
            f"{self._settings.url}{prefix}/studies/{key.study_instance_uid}/series/{key.series_instance_uid}"
            f"/instances/{key.sop_instance_uid}"
        )
        accept = _STORED if self._gives_stored_syntax else _PLAIN  # another thread may find out meanwhile
        try:
            # left to itself, Orthanc compresses each slice anew: 120 ms of its time for half a mebibyte
            headers = {"Accept": accept, "Accept-Encoding": "identity"}
            response = self._session.get(url, headers=headers, stream=True)
        except ArchiveRefusal as refusal:
            if refusal.code == "study-not-found":
                raise ArchiveRefusal(
                    "archive-short-count", "The archive lists an instance and does not give it."
                ) from None
            if accept == _PLAIN or refusal.code not in ("archive-not-supported", "bad-query"):
                raise
            self._gives_stored_syntax = False
            return self._request_instance(key)
        if response.status_code != HTTPStatus.OK:
            response.close()
            raise ArchiveRefusal(
                "archive-short-count", f"The archive gives an instance in part only (HTTP {response.status_code})."
            )
        return response
