"""Orthanc's change feed: ``GET /changes?since=N`` gives what happened after change N, in order.

The cursor is the number of a change. It survives restarts of both sides as Orthanc keeps its changes; where an Orthanc
was set up anew, its numbers begin again, and so does the reading: who follows the feed tells by the content of a study
whether it is new. Orthanc calls a study stable when nothing came for `StableAge` seconds, and again when something came
later. An Orthanc that is killed in between never says so: who waits for that is found by asking for each study of which
instances came and that was not called stable since. The cursor that is given out stays before those instances, so that
whoever starts again with it waits for them, too.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import requests

from lung_nodules.archive.http_session import GuardedSession
from lung_nodules.archive.protocol import StableStudy
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.retrying import call_with_retries
from lung_nodules.archive.settings import DicomwebSettings

_NUM_CHANGES = 500  # asked for at a time
_CONFIRM_S = 1.0  # until what Orthanc did not know is asked for again
_MAX_NUMBER = 2**63 - 1  # of a change, as Orthanc and the service store it


class OrthancChanges:
    """See `ChangeFeed`.

    Args:
        settings: Of the archive, with ``change_feed_url``.
    """

    def __init__(self, settings: DicomwebSettings) -> None:
        assert settings.change_feed_url
        self._settings = settings
        self._root = settings.change_feed_url
        self._session = GuardedSession(settings)
        self._position = 0  # the last change that was read
        self._given: int | None = None  # the last cursor that was given out; None: what follows is not to be relied on
        self._pending: dict[str, int] = {}  # studies that are not stable yet, with the first change of their instances
        self._denied: set[str] = set()  # what Orthanc did not know in this look
        self._calm: set[str] = set()  # of these, those that nothing was added to when they were last asked for

    def changes(self, cursor: int) -> tuple[Sequence[StableStudy], int]:
        """See `ChangeFeed.changes`."""
        self._denied.clear()
        found = self._read(cursor)
        if self._denied:
            self._confirm_gone()
        return found

    def _read(self, cursor: int) -> tuple[Sequence[StableStudy], int]:
        last = _number(self._get("/changes?last"), "Last")
        if cursor != self._given or self._position > last:
            self._position, self._pending, self._calm = (cursor if cursor <= last else 0), {}, set()
        self._given = None
        stable: dict[str, int] = {}
        while self._position < last and not stable:
            stable = self._read_page()
        if self._position >= last:
            stable |= self._find_unannounced()
        named = ((self._study_instance_uid(identifier), seq) for identifier, seq in stable.items())
        studies = tuple(StableStudy(uid, seq) for uid, seq in named if uid)
        self._given = min([self._position, *(seq - 1 for seq in self._pending.values())])
        return studies, self._given

    def _read_page(self) -> dict[str, int]:
        """Read the next changes; Orthanc's identifiers of stable studies, in order, with their changes."""
        answer = self._get(f"/changes?since={self._position}&limit={_NUM_CHANGES}")
        stable: dict[str, int] = {}
        came: dict[str, int] = {}
        for change in _changes_of(answer):
            identifier, seq = str(change.get("ID")), _number(change, "Seq")
            if change.get("ChangeType") == "StableStudy":
                stable.pop(identifier, None)
                stable[identifier] = seq
                self._pending.pop(identifier, None)
            elif change.get("ChangeType") == "NewInstance":
                came[identifier] = seq
        for identifier, seqs in self._by_study(came).items():
            late = [seq for seq in seqs if seq > stable.get(identifier, 0)]
            if late:
                self._pending[identifier] = min(late[0], self._pending.get(identifier, late[0]))
                self._calm.discard(identifier)
        self._position = max(self._position + 1, _number(answer, "Last"))
        return stable

    def _by_study(self, came: dict[str, int]) -> dict[str, list[int]]:
        """The changes of instances by study, in order; one look-up a study."""
        left, found = dict(came), dict[str, list[int]]()
        for instance in came:
            if instance not in left:
                continue
            study = self._get_or_none(f"/instances/{_checked(instance)}/study")
            members = self._members(str(study.get("ID"))) if study else set[str]()
            seqs = sorted(left.pop(each) for each in {*members, instance} & set(left))
            if study:
                found[str(study.get("ID"))] = seqs
        return found

    def _members(self, identifier: str) -> set[str]:
        instances = self._ask(f"/studies/{_checked(identifier)}/instances")
        if not isinstance(instances, list):
            raise _bad_answer()
        return {str(each.get("ID")) for each in instances if isinstance(each, Mapping)}

    def _find_unannounced(self) -> dict[str, int]:
        """Studies that wait to be called stable and that nothing was added to at two looks one after the other."""
        found: dict[str, int] = {}
        for identifier, seq in tuple(self._pending.items()):
            study = self._get_or_none(f"/studies/{_checked(identifier)}")
            is_calm = study is None or study.get("IsStable") is True
            if is_calm and identifier in self._calm:
                found[identifier] = seq
            if is_calm and identifier not in found:
                self._calm.add(identifier)
            elif not is_calm:
                self._calm.discard(identifier)
        for identifier in found:
            del self._pending[identifier]
            self._calm.discard(identifier)
        return found

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()

    def _study_instance_uid(self, identifier: str) -> str:
        """UID of a study; empty where it is gone by now."""
        study = self._get_or_none(f"/studies/{_checked(identifier)}") or {}
        tags = study.get("MainDicomTags")
        return str(tags.get("StudyInstanceUID") or "") if isinstance(tags, Mapping) else ""

    def _get_or_none(self, path: str) -> Mapping[str, Any] | None:
        """An object; None where it is gone by now, which `_confirm_gone` has to find, too."""
        try:
            return self._get(path)
        except ArchiveRefusal as refusal:
            if refusal.code == "study-not-found":
                self._denied.add(path)
                return None
            raise

    def _confirm_gone(self) -> None:
        """Ask again for what Orthanc did not know: a proxy before an Orthanc that restarts says so of everything.

        Raises:
            ArchiveRefusal: ``archive-busy`` where that is not certain; whoever follows the feed looks again.
        """
        doubtful, given = sorted(self._denied), self._given
        self._given = None  # unless all is confirmed, the next look begins anew
        self._check_well()
        time.sleep(_CONFIRM_S)
        if any(self._get_or_none(path) is not None for path in doubtful):
            raise ArchiveRefusal("archive-busy", "Orthanc knows what it did not know a moment ago.")
        self._check_well()
        self._given = given

    def _check_well(self) -> None:
        try:
            self._get("/system")
        except ArchiveRefusal as refusal:
            if refusal.code == "study-not-found":
                raise ArchiveRefusal("archive-busy", "No Orthanc answers at its address.") from None
            raise

    def _get(self, path: str) -> Mapping[str, Any]:
        """An object that Orthanc gives as JSON."""
        answer = self._ask(path)
        if not isinstance(answer, Mapping):
            raise _bad_answer()
        return answer

    def _ask(self, path: str) -> Any:
        """What Orthanc gives as JSON."""

        def ask() -> Any:
            try:
                return self._session.get(f"{self._root}{path}").json()
            except (requests.exceptions.JSONDecodeError, RecursionError):
                raise _bad_answer() from None

        return call_with_retries(ask, self._settings.retries)


def _checked(identifier: str) -> str:
    """An identifier of Orthanc's that may stand in an address."""
    if not all(character in "0123456789abcdef-" for character in identifier):
        raise _bad_answer()
    return identifier


def _changes_of(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    changes = answer.get("Changes")
    if not isinstance(changes, list) or not all(isinstance(change, Mapping) for change in changes):
        raise _bad_answer()
    return changes


def _number(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int) or not 0 <= value <= _MAX_NUMBER:
        raise _bad_answer()
    return value


def _bad_answer() -> ArchiveRefusal:
    return ArchiveRefusal("archive-bad-answer", "The answer is not that of Orthanc's change feed.")
