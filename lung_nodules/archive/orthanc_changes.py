"""Orthanc's change feed: ``GET /changes?since=N`` gives what happened after change N, in order.

The cursor is the number of a change. It survives restarts of both sides as Orthanc keeps its changes; where an Orthanc
was set up anew, its numbers begin again, and so does the reading: who follows the feed tells by the content of a study
whether it is new. Orthanc calls a study stable when nothing came for `StableAge` seconds, and again when something came
later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import requests

from lung_nodules.archive.http_session import GuardedSession
from lung_nodules.archive.protocol import StableStudy
from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.retrying import call_with_retries
from lung_nodules.archive.settings import DicomwebSettings

_NUM_CHANGES = 500  # asked for at a time


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

    def changes(self, cursor: int) -> tuple[Sequence[StableStudy], int]:
        """See `ChangeFeed.changes`."""
        last = _number(self._get("/changes?last"), "Last")
        if last < cursor:
            cursor = 0
        if last == cursor:
            return (), cursor
        answer = self._get(f"/changes?since={cursor}&limit={_NUM_CHANGES}")
        latest: dict[str, int] = {}
        for change in _changes_of(answer):
            if change.get("ChangeType") == "StableStudy":
                identifier = str(change.get("ID"))
                latest.pop(identifier, None)
                latest[identifier] = _number(change, "Seq")
        named = ((self._study_instance_uid(identifier), seq) for identifier, seq in latest.items())
        studies = [StableStudy(uid, seq) for uid, seq in named if uid]
        return studies, max(cursor, _number(answer, "Last"))

    def close(self) -> None:
        """Let go of connections."""
        self._session.close()

    def _study_instance_uid(self, identifier: str) -> str:
        """UID of a study; empty where it is gone by now."""
        if not all(character in "0123456789abcdef-" for character in identifier):
            raise _bad_answer()
        try:
            study = self._get(f"/studies/{identifier}")
        except ArchiveRefusal as refusal:
            if refusal.code == "study-not-found":
                return ""
            raise
        tags = study.get("MainDicomTags")
        return str(tags.get("StudyInstanceUID") or "") if isinstance(tags, Mapping) else ""

    def _get(self, path: str) -> Mapping[str, Any]:
        """An object that Orthanc gives as JSON."""

        def ask() -> Mapping[str, Any]:
            try:
                answer = self._session.get(f"{self._root}{path}").json()
            except requests.exceptions.JSONDecodeError:
                answer = None
            if not isinstance(answer, Mapping):
                raise _bad_answer()
            return answer

        return call_with_retries(ask, self._settings.retries)


def _changes_of(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    changes = answer.get("Changes")
    if not isinstance(changes, list) or not all(isinstance(change, Mapping) for change in changes):
        raise _bad_answer()
    return changes


def _number(answer: Mapping[str, Any], name: str) -> int:
    value = answer.get(name)
    if not isinstance(value, int):
        raise _bad_answer()
    return value


def _bad_answer() -> ArchiveRefusal:
    return ArchiveRefusal("archive-bad-answer", "The answer is not that of Orthanc's change feed.")
