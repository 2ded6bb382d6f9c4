"""An archive by DICOM's own protocol (PS3.4 C, PS3.7): C-FIND, C-GET or C-MOVE, C-STORE; pynetdicom speaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path
from types import TracebackType
from typing import Self

from pydicom import Dataset
from pynetdicom import build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made when the module is loaded
    StudyRootQueryRetrieveInformationModelFind,
    Verification,
)

from lung_nodules.archive.dicom_json import date_of
from lung_nodules.archive.dimse_association import associate, check_status
from lung_nodules.archive.dimse_retrieval import (
    Receiver,
    get_instances,
    identifiers_of,
    make_identifier,
    move_instances,
    open_store_scp,
)
from lung_nodules.archive.dimse_store import store_files
from lung_nodules.archive.headers import HEADER_KEYWORDS
from lung_nodules.archive.naming import check_uid
from lung_nodules.archive.protocol import InstanceKey, InstanceSink, PushOutcome, SeriesEntry, StudyEntry, StudyQuery
from lung_nodules.archive.queries import SERIES_FIELDS, STUDY_FIELDS, check_query, date_range, does_match
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.retrying import call_with_retries
from lung_nodules.archive.settings import DimseSettings
from lung_nodules.stages.study import IDENTITY_KEYWORDS, read_int, read_text


class DimseArchive:
    """See `Archive`.

    Args:
        settings: With whom, and how.
        name: Its name in the settings.
    """

    def __init__(self, settings: DimseSettings, name: str) -> None:
        self.name = name
        self._settings = settings

    def check(self) -> None:
        """See `Archive.check`: a C-ECHO."""
        with associate(self._settings, [build_context(Verification)]) as association:
            check_status(association.send_c_echo())

    def find_studies(self, query: StudyQuery) -> Iterator[StudyEntry]:
        """See `Archive.find_studies`."""
        check_query(query)
        keys = dict.fromkeys(("StudyInstanceUID", *STUDY_FIELDS), "") | _keys_of(query)
        entries = {entry.study_instance_uid: entry for entry in map(_read_study, self._find("STUDY", keys))}
        yield from islice((each for each in entries.values() if does_match(each, query)), query.max_num_studies)

    def find_series(self, study_instance_uid: str) -> Sequence[SeriesEntry]:
        """See `Archive.find_series`."""
        study = check_uid(study_instance_uid)
        keys = dict.fromkeys(("SeriesInstanceUID", *SERIES_FIELDS), "") | {"StudyInstanceUID": study}
        entries = {each.series_instance_uid: each for each in map(_read_series, self._find("SERIES", keys))}
        entries.pop("", None)
        if not entries:
            raise ArchiveRefusal("study-not-found", "The archive holds no such study.")
        return [entries[uid] for uid in sorted(entries)]

    def find_instances(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[str]:
        """See `Archive.find_instances`."""
        study, series = check_uid(study_instance_uid), check_uid(series_instance_uid)
        return sorted(call_with_retries(lambda: self._list_counted(study, series), self._settings.retries))

    def read_headers(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[Dataset]:
        """See `Archive.read_headers`: what a C-FIND answers at the level of images."""
        keys = dict.fromkeys(HEADER_KEYWORDS, "") | {
            "StudyInstanceUID": check_uid(study_instance_uid),
            "SeriesInstanceUID": check_uid(series_instance_uid),
        }
        try:
            return self._find("IMAGE", keys)
        except ArchiveRefusal as refusal:
            if refusal.code in ("archive-not-supported", "bad-query", "archive-error"):
                return ()
            raise

    def read_identity(self, key: InstanceKey) -> Dataset:
        """See `Archive.read_identity`: what a C-FIND answers at the level of studies, which is where it belongs."""
        keys = dict.fromkeys(IDENTITY_KEYWORDS, "") | {"StudyInstanceUID": check_uid(key.study_instance_uid)}
        found = self._find("STUDY", keys)
        if not found:
            raise ArchiveRefusal("archive-short-count", "The archive lists a study's series and not the study.")
        return found[0]

    def fetch_series(self, study_instance_uid: str, series_instance_uid: str, into: InstanceSink) -> int:
        """See `Archive.fetch_series`: several associations, each with a share of what is missing."""
        study, series = check_uid(study_instance_uid), check_uid(series_instance_uid)
        classes = call_with_retries(lambda: self._list_counted(study, series), self._settings.retries)
        if not classes:
            raise ArchiveRefusal("series-not-found", "The archive holds no such series.")
        keys = [InstanceKey(study, series, check_uid(uid)) for uid in sorted(classes)]
        receiver = Receiver([key for key in keys if not into.holds(key)], into, self._settings.max_instance_mib)
        if receiver.missing():
            self._retrieve(receiver, sorted(set(classes.values())))
        return len(keys)

    def push(self, files: Sequence[Path]) -> PushOutcome:
        """See `Archive.push`."""
        return store_files(self, self._settings, files)

    def close(self) -> None:
        """See `Archive.close`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _retrieve(self, receiver: Receiver, sop_classes: Sequence[str]) -> None:
        """Retrieve what the receiver misses."""
        settings = self._settings
        if settings.retrieval == "get":
            self._in_shares(receiver, lambda keys: get_instances(settings, receiver, keys, sop_classes))
            return
        with open_store_scp(settings, receiver, sop_classes):
            self._in_shares(receiver, lambda keys: move_instances(settings, receiver, keys))

    def _in_shares(self, receiver: Receiver, retrieve: Callable[[Dataset], None]) -> None:
        """Ask for a share of the instances in each of several associations, again for what did not come."""
        missing = receiver.missing()
        num_shares = min(self._settings.num_connections, len(missing))
        shares = [missing[start::num_shares] for start in range(num_shares)]

        def ask(share: Sequence[InstanceKey]) -> None:
            tries = count()

            def ask_once() -> None:
                # archives differ in whether they take a list of instances: every second time the series is asked for
                asks_for_series = next(tries) % 2 == 1
                for keys in identifiers_of(receiver.missing_of(share), asks_for_series):
                    retrieve(keys)
                receiver.check(share)

            call_with_retries(ask_once, self._settings.retries)

        with ThreadPoolExecutor(num_shares) as pool:
            for future in [pool.submit(ask, share) for share in shares]:
                future.result()

    def _list_counted(self, study: str, series: str) -> dict[str, str]:
        """SOP class of each instance of a series; their number is held against the archive's own."""
        keys = {"StudyInstanceUID": study, "SeriesInstanceUID": series, "SOPInstanceUID": "", "SOPClassUID": ""}
        matches = self._find_once("IMAGE", keys)
        classes = {str(each.get("SOPInstanceUID") or ""): str(each.get("SOPClassUID") or "") for each in matches}
        classes.pop("", None)
        claimed = next((s.num_instances for s in self.find_series(study) if s.series_instance_uid == series), None)
        if claimed is not None and len(classes) < claimed:
            raise ArchiveRefusal(
                "archive-short-count", f"The archive counts {claimed} instances in a series and lists {len(classes)}."
            )
        return classes

    def _find(self, level: str, keys: Mapping[str, str]) -> list[Dataset]:
        return call_with_retries(lambda: self._find_once(level, keys), self._settings.retries)

    def _find_once(self, level: str, keys: Mapping[str, str]) -> list[Dataset]:
        """One C-FIND."""
        identifier = make_identifier(level, keys)
        matches: list[Dataset] = []
        contexts = [build_context(StudyRootQueryRetrieveInformationModelFind)]
        with associate(self._settings, contexts) as association:
            answers = association.send_c_find(identifier, StudyRootQueryRetrieveInformationModelFind)
            for status, match in answers:
                if check_status(status) and match is not None:
                    matches.append(match)
        return matches


def _keys_of(query: StudyQuery) -> dict[str, str]:
    """Matching keys (PS3.4 C.6.2.1)."""
    keys = {
        "StudyInstanceUID": query.study_instance_uid,
        "PatientID": query.patient_id,
        "PatientName": query.patient_name,
        "AccessionNumber": query.accession_number,
        "StudyDate": date_range(query),
        "ModalitiesInStudy": query.modality,
        "StudyDescription": query.description,
    }
    return {keyword: value for keyword, value in keys.items() if value}


def _read_study(match: Dataset) -> StudyEntry:
    return StudyEntry(
        study_instance_uid=read_text(match, "StudyInstanceUID") or "",
        study_date=date_of(read_text(match, "StudyDate") or ""),
        study_time=read_text(match, "StudyTime") or "",
        modalities=tuple(filter(None, (read_text(match, "ModalitiesInStudy") or "").split(" / "))),
        description=read_text(match, "StudyDescription") or "",
        num_series=read_int(match, "NumberOfStudyRelatedSeries"),
        num_instances=read_int(match, "NumberOfStudyRelatedInstances"),
        patient_id=read_text(match, "PatientID") or "",
        patient_name=read_text(match, "PatientName") or "",
        accession_number=read_text(match, "AccessionNumber") or "",
        study_id=read_text(match, "StudyID") or "",
    )


def _read_series(match: Dataset) -> SeriesEntry:
    return SeriesEntry(
        study_instance_uid=read_text(match, "StudyInstanceUID") or "",
        series_instance_uid=read_text(match, "SeriesInstanceUID") or "",
        modality=read_text(match, "Modality") or "",
        series_number=read_int(match, "SeriesNumber"),
        description=read_text(match, "SeriesDescription") or "",
        num_instances=read_int(match, "NumberOfSeriesRelatedInstances"),
    )
