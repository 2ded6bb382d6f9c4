"""The worker's end of the line to its child."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from lung_nodules.errors import ExitCode
from lung_nodules.service.jobs.model import Job, Reason
from lung_nodules.service.settings import ServiceSettings

Tell = Callable[[float, str], Awaitable[None]]
_LONGEST_LINE = 2**20


class ChildCrashed(Exception):  # noqa: N818  # what happened to it
    """The child ended, or had to be ended, in the middle of a step; `how` says by what, in words."""

    def __init__(self, how: str, code: str = "analysis-crashed") -> None:
        super().__init__(how)
        self.how = how
        self.code = code


class StepRefused(Exception):  # noqa: N818  # a refusal of the child's, carried over
    """A step could not be done.

    Args:
        reason: For the user.
        heals: Whether the same may succeed later.
        is_input: Whether the study is at fault.
        exit_code: Of the worker, where its own models or settings are at fault: it has to end.
    """

    def __init__(self, reason: Reason, *, heals: bool, is_input: bool, exit_code: ExitCode | None = None) -> None:
        super().__init__(reason.code)
        self.reason = reason
        self.heals = heals
        self.is_input = is_input
        self.exit_code = exit_code


class ChildLink:
    """One child at a time, started when it is needed, kept from study to study.

    Args:
        settings: Of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._num_studies = 0
        self._num_orders = 0

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return self._process.pid if self._process and self._process.returncode is None else None

    async def ask(self, step: str, job: Job, tell: Tell, **more: Any) -> Mapping[str, Any]:
        """Have a step done.

        Args:
            step: survey, fetch, analyse or store.
            job: Of which job.
            tell: Called with the share of the step that is done and the stage of the line.
            **more: Further arguments of the step, as JSON has them.

        Raises:
            StepRefused: It could not be done.
            ChildCrashed: The child is gone.
        """
        process = await self._running()
        self._num_orders += 1
        order = {"step": step, "job": job.model_dump(mode="json"), "number": self._num_orders, **more}
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            await process.stdin.drain()
            while line := await process.stdout.readline():
                answer = json.loads(line)
                if answer["number"] != order["number"]:  # of an order that nobody waits for any more
                    continue
                if "share" in answer:
                    await tell(answer["share"], answer["stage"])
                elif "refused" in answer:
                    raise _read_refusal(answer)
                else:
                    return dict(answer["result"])
        except (ConnectionError, ValueError):  # it died while we wrote, or in the middle of a line
            await self.kill()
        raise ChildCrashed(await self._how_it_ended())

    async def renew(self) -> None:
        """Note that a study is done with; after so many the child is replaced, whatever it may have hoarded."""
        self._num_studies += 1
        if self._num_studies >= self._settings.workers.studies_per_child:
            await self.kill()

    async def kill(self) -> None:
        """End the child at once."""
        process, self._process = self._process, None
        self._num_studies = 0
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        order = [sys.executable, "-m", "lung_nodules.service.jobs.child"]
        self._process = await asyncio.create_subprocess_exec(
            *order, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LONGEST_LINE
        )
        self._num_studies = 0
        assert self._process.stdin is not None
        self._process.stdin.write(self._settings.model_dump_json().encode() + b"\n")
        return self._process

    async def _how_it_ended(self) -> str:
        process, self._process = self._process, None
        if process is None:
            return "was lost"
        try:
            code = await asyncio.wait_for(process.wait(), timeout=5.0)
        except TimeoutError:  # its output is closed: nothing more can come from it
            process.kill()
            code = await process.wait()
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def _read_refusal(answer: Mapping[str, Any]) -> StepRefused:
    reason, code = Reason.model_validate(answer["refused"]), answer["exit_code"]
    exit_code = None if code is None else ExitCode(code)
    return StepRefused(reason, heals=answer["heals"], is_input=answer["input"], exit_code=exit_code)
