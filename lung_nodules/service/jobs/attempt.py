"""One attempt at a job, from the claim to an end, a retry or a lost lease."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from lung_nodules.errors import ExitCode, Refusal
from lung_nodules.service.database.pool import Pool
from lung_nodules.service.jobs import duplicates, ledger
from lung_nodules.service.jobs.child_link import ChildCrashed, ChildLink, StepRefused
from lung_nodules.service.jobs.lease import Attempt, LeaseLost
from lung_nodules.service.jobs.model import JobState, JobSummary, Reason, Step
from lung_nodules.service.jobs.models_hash import hash_models
from lung_nodules.service.jobs.patience import patiently
from lung_nodules.service.jobs.places import remove_attempt, staging_folder, work_folder
from lung_nodules.service.jobs.remains import give_up_upload
from lung_nodules.service.jobs.results import ResultFolder
from lung_nodules.service.jobs.step_progress import make_teller
from lung_nodules.service.settings import ServiceSettings

logger = logging.getLogger(__name__)

_NOT_DONE = {Step.fetch: "The study was not fetched", Step.store: "The results were not stored"}


class _CancelRequested(Exception):  # noqa: N818  # a wish
    """Somebody wants the job to end."""


class WorkerUnfit(Refusal):
    """No study can be read here, because of this worker's own models or settings; another one may be well."""

    def __init__(self, reason: Reason, exit_code: ExitCode) -> None:
        super().__init__(reason.code, reason.sentence, reason.advice)
        self.exit_code = exit_code


def _out_of_time(at: Step, limit_s: float) -> Exception:
    """Only the analysis is the study's fault: an archive that is slow may be faster another time."""
    if at is Step.analyse:
        return ChildCrashed(f"was not done within {limit_s:g} s", "time-limit")
    sentence = f"{_NOT_DONE[at]} within {limit_s:g} s."
    reason = Reason(code="time-limit", sentence=sentence, advice="See whether the archive, or the disk, is slow.")
    return StepRefused(reason, heals=True, is_input=False)


class Reader:
    """Makes attempts, one at a time.

    Args:
        settings: Of the service.
        pool: Open.
    """

    def __init__(self, settings: ServiceSettings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._link = ChildLink(settings)
        self._begin(Step.fetch)

    async def close(self) -> None:
        """End the child."""
        await self._link.kill()

    async def read(self, job_id: UUID, ticket: int | None) -> None:
        """Make an attempt at a job, if the ticket is the job's.

        Raises:
            WorkerUnfit: The job waits for another attempt, and this worker must not make one.
        """
        attempt = await patiently(lambda: ledger.claim(self._pool, job_id, ticket))
        if attempt is None:
            return
        logger.info("job %s: attempt %d", job_id, attempt.job.attempts)
        self._begin(Step.fetch)
        try:
            await self._watched(attempt)
        except LeaseLost:
            logger.warning("job %s: the attempt no longer counts", job_id)
            await self._link.kill()
        except asyncio.CancelledError:  # by the queue: somebody cancels the job, or the worker is to stop
            await self._link.kill()
            with suppress(LeaseLost):
                await patiently(lambda: self._leave(attempt))
        except BaseException:  # whatever it was, the child may still be at this study
            await self._link.kill()
            raise
        finally:
            await asyncio.to_thread(remove_attempt, self._settings.data_folder, attempt.lease)

    async def _watched(self, attempt: Attempt) -> None:
        """The steps, with signs of life beside them, each within the time limit; and what follows from how they end."""
        work = asyncio.create_task(self._steps(attempt), name="steps")
        beats = asyncio.create_task(self._beats(attempt), name="signs of life")
        try:
            await self._first_of(work, beats)
        except (StepRefused, ChildCrashed, _CancelRequested) as error:
            await self._stop(work)
            if not isinstance(error, StepRefused):  # else the child waits for its next order
                await self._link.kill()
            await self._end_without_result(attempt, error)
            if isinstance(error, StepRefused) and error.exit_code is not None:
                raise WorkerUnfit(error.reason, error.exit_code) from error
        finally:
            await self._stop(work)
            await self._stop(beats)
        await self._link.renew()

    async def _first_of(self, work: asyncio.Task[None], beats: asyncio.Task[None]) -> None:
        limit_s = self._settings.workers.time_limit_s
        while (left_s := self._begun_at + limit_s - time.monotonic()) > 0:
            done, _ = await asyncio.wait((work, beats), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if done:
                await (work if work in done else beats)
                return
        at = self._at
        await self._stop(work)
        await self._link.kill()
        raise _out_of_time(at, limit_s)

    def _begin(self, step: Step) -> None:
        """Let the time of a step begin; `analyse` is only what the child does, and so all that may be its fault."""
        self._at = step
        self._begun_at = time.monotonic()

    async def _steps(self, attempt: Attempt) -> None:
        """All steps that are not done yet."""
        job = attempt.job
        origin = ResultFolder(self._settings.data_folder, job.id).origin()
        is_read = origin is not None and (origin.content_hash, origin.models_hash) == (
            job.content_hash or "",
            job.models_hash,
        )
        if job.step is not Step.store or not is_read:
            begun = await self._with_own_models(attempt)
            found = await self._fetch(begun) if begun else None
            if begun is None or found is None:
                return
            await self._analyse(begun, found)
        await self._store(attempt)
        await patiently(lambda: ledger.finish(self._pool, attempt, JobState.done))
        await self._give_up_upload(attempt)

    async def _with_own_models(self, attempt: Attempt) -> Attempt | None:
        """Name the models that are here now, whatever was there when the job was submitted; None for a duplicate."""
        try:
            models_hash = await asyncio.to_thread(hash_models, self._settings)
        except Refusal as refusal:
            reason = Reason(code=refusal.code, sentence=refusal.sentence, advice=refusal.advice)
            raise StepRefused(reason, heals=True, is_input=False, exit_code=refusal.exit_code) from refusal
        if await self._is_duplicate(attempt, partial(duplicates.learn_models, self._pool, attempt, models_hash)):
            return None
        return replace(attempt, job=attempt.job.model_copy(update={"models_hash": models_hash}))

    async def _is_duplicate(self, attempt: Attempt, learn: Callable[[], Awaitable[UUID | None]]) -> bool:
        other = await patiently(learn)
        if other is None:
            return False
        logger.info("job %s: a duplicate of %s", attempt.job.id, other)
        await self._give_up_upload(attempt)
        return True

    async def _fetch(self, attempt: Attempt) -> Mapping[str, Any] | None:
        """Have the study; None where the job has turned out to be a duplicate, and has ended."""
        await patiently(lambda: ledger.enter_step(self._pool, attempt, Step.fetch))
        into = str(work_folder(self._settings.data_folder, attempt.lease))
        tell = make_teller(self._pool, attempt, Step.fetch, self._settings.workers.progress_s)
        for step in ("survey", "fetch"):  # a duplicate is best known before anything is fetched
            found = await self._link.ask(step, attempt.job, tell, into=into)
            uid, content = found["study_instance_uid"], found["content_hash"]
            if not content:
                continue
            if await self._is_duplicate(attempt, partial(duplicates.learn_content, self._pool, attempt, uid, content)):
                return None
        return found

    async def _analyse(self, attempt: Attempt, found: Mapping[str, Any]) -> None:
        await patiently(lambda: ledger.enter_step(self._pool, attempt, Step.analyse))
        staging = staging_folder(self._settings.data_folder, attempt.lease)
        to = self._settings.destinations
        earlier = await patiently(lambda: ledger.settle_earlier_document(self._pool, attempt, to))
        more = {"folder": found["folder"], "content_hash": found["content_hash"], "into": str(staging)}
        tell = make_teller(self._pool, attempt, Step.analyse, self._settings.workers.progress_s)
        self._begin(Step.analyse)
        result = await self._link.ask("analyse", attempt.job, tell, earlier=earlier, **more)
        self._begin(Step.store)
        summary = JobSummary.model_validate(result)
        put_in_place = partial(ResultFolder(self._settings.data_folder, attempt.job.id).take, staging)
        await patiently(lambda: ledger.accept_results(self._pool, attempt, summary, put_in_place))

    async def _store(self, attempt: Attempt) -> None:
        self._begin(Step.store)
        await patiently(lambda: ledger.enter_step(self._pool, attempt, Step.store))
        destinations = self._settings.destinations
        if destinations:
            tell = make_teller(self._pool, attempt, Step.store, self._settings.workers.progress_s)
            stored = await self._link.ask("store", attempt.job, tell)
            noted = (stored["num_stored"], stored["document"], destinations)
            await patiently(lambda: ledger.note_stored(self._pool, attempt, *noted))

    async def _beats(self, attempt: Attempt) -> None:
        """Signs of life until the lease is lost or somebody wants the job to end."""
        while True:
            if await patiently(lambda: ledger.beat(self._pool, attempt)):
                raise _CancelRequested
            await asyncio.sleep(self._settings.workers.heartbeat_s)

    async def _end_without_result(self, attempt: Attempt, error: Exception) -> None:
        if isinstance(error, _CancelRequested):
            await self._finish(attempt, JobState.cancelled, None)
        elif isinstance(error, ChildCrashed):
            await self._after_crash(attempt, error)
        elif isinstance(error, StepRefused):
            await self._after_refusal(attempt, error)

    async def _after_crash(self, attempt: Attempt, error: ChildCrashed) -> None:
        workers = self._settings.workers
        sentence = f"The analysis of this study {error.how}."
        if attempt.job.crashes + 1 < workers.max_crashes:
            reason = Reason(code=error.code, sentence=sentence, advice="It is tried again.")
            await self._put_back(attempt, workers.first_retry_s, reason, "crashes")
            return
        advice = "The study is set aside. Look at the worker's log and memory; then try the job again."
        reason = Reason(code=error.code, sentence=sentence, advice=advice)
        await self._finish(attempt, JobState.set_aside, reason, counts_as="crashes")

    async def _after_refusal(self, attempt: Attempt, error: StepRefused) -> None:
        failures, failing_for_s = await patiently(lambda: ledger.read_failures(self._pool, attempt))
        delay_s = self._settings.workers.retry_after_s(failures, failing_for_s) if error.heals else None
        if delay_s is not None:
            await self._put_back(attempt, delay_s, error.reason, "failures")
        else:
            state = JobState.refused if error.is_input else JobState.failed
            await self._finish(attempt, state, error.reason)

    async def _put_back(self, attempt: Attempt, delay_s: float, reason: Reason, counts_as: str) -> None:
        logger.info("job %s: again in %.0f s (%s)", attempt.job.id, delay_s, reason.code)
        delay = timedelta(seconds=delay_s)
        await patiently(lambda: ledger.put_back(self._pool, attempt, delay, reason, counts_as=counts_as))

    async def _finish(
        self, attempt: Attempt, state: JobState, reason: Reason | None, counts_as: str | None = None
    ) -> None:
        """End without a result."""
        logger.info("job %s: %s %s", attempt.job.id, state.value, reason.code if reason else "")
        await patiently(lambda: ledger.finish(self._pool, attempt, state, reason, counts_as=counts_as))

    async def _leave(self, attempt: Attempt) -> None:
        """Give the job back because the worker stops, or because somebody wants it to end."""
        await ledger.put_back(self._pool, attempt, timedelta(), None, counts_as=None)

    async def _stop(self, task: asyncio.Task[None]) -> None:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task

    async def _give_up_upload(self, attempt: Attempt) -> None:
        """Remove what was sent, now that there is a result."""
        source = attempt.job.source
        if source.kind == "upload" and (path := source.path):
            await patiently(lambda: give_up_upload(self._pool, self._settings, path))
