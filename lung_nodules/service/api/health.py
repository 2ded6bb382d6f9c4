"""Whether the service can do its work: database, models, disk, a worker.

The models' weights are hashed once and again only when a file of theirs has changed, because a probe comes every few
seconds.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio.to_thread
from pydantic import BaseModel, Field

from lung_nodules.errors import ModelRefusal
from lung_nodules.service.api.workers import count_workers
from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.models_hash import LINE_ANALYSIS
from lung_nodules.service.settings import ServiceSettings

MIN_FREE_BYTES = 2 * 1024**3  # a study fetched, and its results

_Finding = tuple[bool, str]


class Check(BaseModel):
    """One thing that was looked at."""

    name: str = Field(examples=["database"])
    passed: bool
    sentence: str = Field(examples=["The database answers."])


class Health(BaseModel):
    """Whether work can be done, and each thing that this depends on."""

    ready: bool
    checks: tuple[Check, ...]


class Readiness:
    """Looks at everything that work depends on."""

    def __init__(self, settings: ServiceSettings, desk: JobDesk) -> None:
        self._settings = settings
        self._desk = desk
        self._checked_files: tuple[tuple[str, int, int], ...] = ()
        self._models: _Finding = (False, "")

    async def look(self) -> Health:
        """Give all checks; each runs, so that one look shows all that is amiss."""
        checks: dict[str, Callable[[], Awaitable[_Finding]]] = {
            "database": self._check_database,
            "models": lambda: anyio.to_thread.run_sync(self._check_models),
            "disk": lambda: anyio.to_thread.run_sync(self._check_disk),
            "worker": self._check_worker,
        }
        results = []
        for name, check in checks.items():
            passed, sentence = await check()
            results.append(Check(name=name, passed=passed, sentence=sentence))
        return Health(ready=all(each.passed for each in results), checks=tuple(results))

    async def _check_database(self) -> _Finding:
        answers = await self._desk.is_ready()
        return answers, "The database answers." if answers else "The database does not answer."

    async def _check_worker(self) -> _Finding:
        number = await count_workers(self._desk.pool, self._settings.workers)
        return number > 0, f"Workers alive: {number}."

    def _check_disk(self) -> _Finding:
        free = shutil.disk_usage(self._settings.data_folder).free
        return free >= MIN_FREE_BYTES, f"Free on the data folder's disk: {free / 1024**3:.1f} GiB."

    def _check_models(self) -> _Finding:
        if self._settings.workers.analysis != LINE_ANALYSIS:
            return True, "No models: another analysis stands in the line's place."
        files = _states_of_files(self._settings.models_folder)
        if files != self._checked_files:
            self._models, self._checked_files = _hash_models(self._settings.models_folder), files
        return self._models


def _hash_models(models_folder: Path) -> _Finding:
    from lung_nodules.networks.record import list_models

    try:
        faults = [model.fault for model in list_models(models_folder) if model.fault is not None]
    except ModelRefusal as refusal:
        faults = [refusal]
    return (False, faults[0].sentence) if faults else (True, "The models are the ones that their records name.")


def _states_of_files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    paths = sorted(path for path in folder.glob("*/*") if path.is_file()) if os.access(folder, os.R_OK) else []
    return tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths)
