"""A study out of an archive: headers first, then the one series that the line reads.

The line's own choice (`stages.series.select_series`) is asked with the headers of every CT series of the study. Where
it comes to a series that could be the one, it says so, and that series alone is fetched and asked about again with its
pixels: does it show lungs? A series of which the archive does not tell enough is fetched to know. So the choice is the
one that the line would make on the whole study, at the cost of one series. What became of the others is left beside the
files (`stages.survey`), for the report.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lung_nodules.archive.cache import InstanceCache
from lung_nodules.archive.headers import read_instances_of, version_of
from lung_nodules.archive.naming import hash_content, hash_uid
from lung_nodules.archive.protocol import Archive, InstanceKey, SeriesEntry
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.study_folder import StudyFolder
from lung_nodules.archive.surveying import can_matter, list_series, with_others
from lung_nodules.progress import Progress, SilentProgress
from lung_nodules.settings import Settings
from lung_nodules.stages.dicom_file import quiet_pydicom
from lung_nodules.stages.instances import Instance, Instances, PassedOver, read_instances
from lung_nodules.stages.series import NoUsableSeries, PixelsNeeded, Selection, select_series
from lung_nodules.stages.study import digest_identity
from lung_nodules.stages.survey import SURVEY_FILE, ConsideredSeries, Survey, write_survey

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FetchedStudy:
    """A study of which the chosen series lies in a folder."""

    folder: Path  # what the line reads: the chosen series, and any other whose pixels had to be looked at
    study_instance_uid: str
    series_instance_uid: str  # the chosen one
    num_instances: int  # of the chosen series
    content_hash: str  # of all CT instances of the study, and whose it is; see `hash_content`
    num_listed: int  # CT instances of the study, fetched or not
    num_fetched: int  # files in the folder
    considered: tuple[ConsideredSeries, ...] = field(repr=False)  # every series of the study, the chosen one first


@dataclass
class _Candidate:
    """One CT series of the study: what is known of it so far."""

    entry: SeriesEntry
    sop_instance_uids: Sequence[str]
    identity: str  # see `digest_identity`
    versions: Mapping[str, str]  # of its instances, see `version_of`
    instances: tuple[Instance, ...] | None  # headers alone or files; None where the headers do not tell enough
    passed_over: tuple[PassedOver, ...] = ()
    is_fetched: bool = False


def fetch_study(
    archive: Archive,
    study_instance_uid: str,
    cache: InstanceCache | None,
    folder: Path,
    settings: Settings,
    progress: Progress | None = None,
) -> FetchedStudy:
    """Fetch what the line reads of a study.

    Called again after a crash, it goes on: what lies in the folder or the cache is not fetched twice, unless the
    archive has corrected it since. What lies in the folder besides goes.

    Args:
        archive: Where the study is.
        study_instance_uid: Which one.
        cache: Disk cache; None to do without.
        folder: For the files, under names that are hashes; made when missing.
        settings: Of the line: what is chosen depends on them.
        progress: Told of each instance.

    Raises:
        ArchiveRefusal: The archive does not hold the study, cannot be asked, or gives less than it lists.
        NoUsableSeries: No series of the study can be read; the reasons are the line's own.
        OSError: The folder or the cache cannot be written to.
    """
    series = list_series(archive, study_instance_uid)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SURVEY_FILE).unlink(missing_ok=True)
    candidates = _list_candidates(archive, series, folder)
    fetch = _Fetch(archive, cache, folder, settings, progress or SilentProgress())
    try:
        selection = fetch.choose(candidates)
    except NoUsableSeries as refusal:
        refusal.considered = with_others(refusal.considered, series, archive)
        raise
    considered = with_others(selection.considered, series, archive)
    write_survey(Survey(study_instance_uid=selection.study_instance_uid, considered=considered), folder)
    _remove_others(folder, candidates)
    chosen = next(each for each in candidates if each.entry.series_instance_uid == selection.series_instance_uid)
    listed = [uid for each in candidates for uid in each.sop_instance_uids]
    fetched = [each for each in candidates if each.is_fetched]
    logger.info("Study %s: %d of %d series fetched", hash_uid(study_instance_uid, 8), len(fetched), len(candidates))
    return FetchedStudy(
        folder=folder,
        study_instance_uid=study_instance_uid,
        series_instance_uid=selection.series_instance_uid,
        num_instances=len(chosen.sop_instance_uids),
        content_hash=hash_content(listed, (each.identity for each in candidates)),
        num_listed=len(set(listed)),
        num_fetched=sum(len(each.sop_instance_uids) for each in fetched),
        considered=considered,
    )


def content_of(archive: Archive, study_instance_uid: str) -> str:
    """What a study's CT holds and whose it is, without fetching; the same value as `FetchedStudy.content_hash`.

    Raises:
        ArchiveRefusal: See `Archive.find_series` and `Archive.find_instances`.
        NoUsableSeries: ``not-ct`` where the study holds no CT.
    """
    listed: list[str] = []
    identities: list[str] = []
    for entry in filter(can_matter, list_series(archive, study_instance_uid)):
        uids = archive.find_instances(study_instance_uid, entry.series_instance_uid)
        listed.extend(uids)
        if uids:
            identities.append(_identity_of(archive, entry, uids))
    return hash_content(listed, identities)


def _identity_of(archive: Archive, entry: SeriesEntry, uids: Sequence[str]) -> str:
    key = InstanceKey(entry.study_instance_uid, entry.series_instance_uid, min(uids))
    return digest_identity(archive.read_identity(key))


def _list_candidates(archive: Archive, series: Sequence[SeriesEntry], folder: Path) -> list[_Candidate]:
    candidates = []
    for entry in filter(can_matter, series):
        uids = archive.find_instances(entry.study_instance_uid, entry.series_instance_uid)
        if not uids:
            continue
        identity = _identity_of(archive, entry, uids)
        headers = archive.read_headers(entry.study_instance_uid, entry.series_instance_uid)
        with quiet_pydicom():
            told = {str(header.get("SOPInstanceUID") or ""): version_of(header) for header in headers}
            versions = {uid: f"{identity} {told.get(uid, '')}" for uid in uids}
            instances = read_instances_of(headers, uids, folder / hash_uid(entry.series_instance_uid))
        candidates.append(_Candidate(entry, uids, identity, versions, instances))
    return candidates


def _remove_others(folder: Path, candidates: Sequence[_Candidate]) -> None:
    """Remove series that an earlier fetch has left and that were not fetched now: the line would read them, too."""
    kept = {hash_uid(each.entry.series_instance_uid) for each in candidates if each.is_fetched}
    for other in {path.name for path in folder.iterdir() if path.is_dir()} - kept:
        shutil.rmtree(folder / other)


class _Fetch:
    """The going back and forth between the line's choice and the archive."""

    def __init__(
        self, archive: Archive, cache: InstanceCache | None, folder: Path, settings: Settings, progress: Progress
    ) -> None:
        self._archive = archive
        self._cache = cache
        self._folder = folder
        self._settings = settings
        self._progress = progress

    def choose(self, candidates: Sequence[_Candidate]) -> Selection:
        """Choose a series, fetching those whose pixels decide.

        Raises:
            ArchiveRefusal: See `fetch_study`.
            NoUsableSeries: Likewise.
        """
        by_uid = {each.entry.series_instance_uid: each for each in candidates}
        for each in candidates:
            if each.instances is None:
                self._fetch(each)
        while True:
            try:
                return select_series(_join(candidates), self._settings)
            except PixelsNeeded as needed:
                wanted = by_uid[needed.series_instance_uid]
                assert not wanted.is_fetched
                self._fetch(wanted)

    def _fetch(self, candidate: _Candidate) -> None:
        """Fetch one series and read it as the line does."""
        entry = candidate.entry
        with self._progress.stage("fetch", len(candidate.sop_instance_uids)) as advance:
            into = StudyFolder(self._folder, self._archive.name, self._cache, candidate.versions, lambda: advance(1))
            count = self._archive.fetch_series(entry.study_instance_uid, entry.series_instance_uid, into)
        study, series = entry.study_instance_uid, entry.series_instance_uid
        into.keep_only(InstanceKey(study, series, uid) for uid in candidate.sop_instance_uids)
        found = read_instances(into.series_folder(entry.series_instance_uid), self._settings)
        num_files = len({each.path for each in found.found}) + len(found.passed_over)
        if min(count, num_files) < len(candidate.sop_instance_uids):
            raise ArchiveRefusal("archive-short-count", "Fewer instances of a series came than the archive lists.")
        candidate.instances, candidate.passed_over = found.found, found.passed_over
        candidate.is_fetched = True


def _join(candidates: Sequence[_Candidate]) -> Instances:
    found = tuple(instance for each in candidates for instance in each.instances or ())
    return Instances(found, tuple(file for each in candidates for file in each.passed_over))
