"""Puts an entry into the audit log before an answer leaves; see `lung_nodules.service.security.audit`.

What no route and no handler has answered is entered here, too, as failed, before the outermost layer answers it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lung_nodules.service.api.observing import DEFECT, job_of, places_of
from lung_nodules.service.api.problems import problem
from lung_nodules.service.database.pool import TRANSIENT
from lung_nodules.service.security.audit import NOBODY, AuditedObject, AuditEntry, AuditLog

logger = logging.getLogger(__name__)


class Auditing:
    """Audits every call of a route with a rule; without an entry there is no answer but 503."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and hold its answer until its entry is written."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = is_withheld = False

        async def send_when_recorded(message: Message) -> None:
            nonlocal has_begun, is_withheld
            if message["type"] == "http.response.start":
                has_begun = True
                is_withheld = not await self._record(scope, message["status"])
                if is_withheld:
                    await self._refuse(scope, receive, send)
            if not is_withheld:
                await send(message)

        try:
            await self.app(scope, receive, send_when_recorded)
        except ClientDisconnect:
            raise
        except Exception:
            if not has_begun:
                scope["state"]["problem_code"] = DEFECT
                if not await self._record(scope, 500):
                    await self._refuse(scope, receive, send)
            raise

    async def _record(self, scope: Scope, status: int) -> bool:
        """Write the entry of a call of a route with a rule; False where it cannot be written."""
        if scope["state"].get("rule") is None:
            return True
        log: AuditLog = scope["app"].state.service.audit
        try:
            entries = _entries_of(scope, status)
            is_often = scope["state"]["rule"].often or entries[0].actor == NOBODY  # else strangers could fill the disk
            await log.record(entries, once_a_minute=is_often)
        except (*TRANSIENT, psycopg.Error, OSError) as error:
            logger.error("No audit entry for request %s: %s.", scope["state"]["request_id"], places_of(error))  # noqa: TRY400
            return False
        return True

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["problem_code"] = "audit-unavailable"
        sentence = "The audit log cannot be written, and nothing is shown without it."
        request_id = scope["state"]["request_id"]
        response = problem(503, "audit-unavailable", sentence, request_id=request_id, headers={"Retry-After": "10"})
        await response(scope, receive, send)


def _entries_of(scope: Scope, status: int) -> list[AuditEntry]:
    """One, or one for each of the objects that a call was about, which a route names in `request.state.audited`."""
    entry = _entry_of(scope, status)
    objects: Sequence[AuditedObject] = scope["state"].get("audited", ()) if status < 400 else ()
    return [entry.model_copy(update=vars(each)) for each in objects] or [entry]


def _entry_of(scope: Scope, status: int) -> AuditEntry:
    state = scope["state"]
    user, job_id = state.get("user"), job_of(scope)
    return AuditEntry(
        at=datetime.now(UTC),
        actor=user.name if user else NOBODY,
        role=str(user.role) if user else "-",
        auth_mode=user.auth_mode if user else "-",
        action=getattr(scope.get("route"), "name", "-"),
        outcome=_outcome_of(status),
        status=status,
        code=state.get("problem_code", ""),
        job_id=UUID(job_id) if job_id else None,
        object=_object_of(scope) if status < 400 else "",
        address=scope["client"][0] if scope.get("client") else "-",
        request_id=state["request_id"],
    )


def _outcome_of(status: int) -> Literal["done", "refused", "failed"]:
    if status < 400:
        return "done"
    return "refused" if status < 500 else "failed"


def _object_of(scope: Scope) -> str:
    """What was asked for beside the job, now that it is known to exist: a file, a slice, a finding, an archive."""
    params: dict[str, Any] = scope.get("path_params", {})
    return "/".join(str(value) for name, value in params.items() if name != "job_id")[:200]
