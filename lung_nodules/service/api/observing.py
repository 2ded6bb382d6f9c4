"""Each request gets a number, a line in the access log, and a place in the metrics; a defect of ours gets no words.

The line names the route as it is declared, never the path or the query that was sent: either may hold a patient's
name. An exception that nobody expected is logged as its type and the places in our code that it passed, without its
text, which may quote what was read from a study.
"""

from __future__ import annotations

import logging
import time
import traceback
from uuid import UUID, uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lung_nodules.service.api.metrics import Metrics
from lung_nodules.service.api.problems import problem

access_log = logging.getLogger("lung_nodules.service.access")
logger = logging.getLogger(__name__)

REQUEST_ID = "X-Request-ID"
DEFECT = "internal-error"


class Observing:
    """Watches every request from the outside."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note what became of it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = str(uuid4())
        answer = _Answer(scope, send)
        try:
            await self.app(scope, receive, answer.send)
        except ClientDisconnect:
            answer.status = answer.status or 499
        except Exception as error:  # the last place where it can become a problem document
            await self._answer_defect(scope, receive, answer, error)
        finally:
            self._note(scope, answer)

    async def _answer_defect(self, scope: Scope, receive: Receive, answer: _Answer, error: Exception) -> None:
        request_id = scope["state"]["request_id"]
        scope["state"]["problem_code"] = DEFECT
        logger.error("Request %s: %s at %s.", request_id, type(error).__name__, places_of(error))
        if answer.status:
            return  # too late for another answer: the connection ends short
        sentence = f"Internal error ({type(error).__name__})."
        response = problem(500, DEFECT, sentence, "Tell us the number.", request_id=request_id)
        await response(scope, receive, answer.send)

    def _note(self, scope: Scope, answer: _Answer) -> None:
        route, state = route_of(scope), scope["state"]
        method = scope["method"] if scope["method"] in _METHODS else "other"
        status, seconds = answer.status or 500, answer.seconds
        self._metrics.count(method, route, status, seconds, state.get("problem_code", ""))
        user = state.get("user")
        access_log.info(
            "%s %s %d %.0f ms user=%s job=%s request=%s",
            *(method, route, status, 1000 * seconds, user.name if user else "-"),
            *(job_of(scope) or "-", state["request_id"]),
        )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class _Answer:
    """Notes status and time when an answer begins, and adds the request's number to it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._began = time.perf_counter()
        self._seconds: float | None = None
        self.status = 0

    @property
    def seconds(self) -> float:
        """Until the answer began, or until now."""
        return self._seconds if self._seconds is not None else time.perf_counter() - self._began

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._seconds = message["status"], self.seconds
            MutableHeaders(scope=message)[REQUEST_ID] = self._scope["state"]["request_id"]
        await self._send(message)


def route_of(scope: Scope) -> str:
    """The path of the route that answered, as it is declared; `-` where none did."""
    return getattr(scope.get("route"), "path", None) or "-"


def job_of(scope: Scope) -> str | None:
    """The job that a request is about: of its path, or the one that it has made."""
    made = scope["state"].get("job_id")
    named = scope.get("path_params", {}).get("job_id")
    return str(made) if made else _as_uuid(named)


def _as_uuid(text: object) -> str | None:
    try:
        return str(UUID(str(text)))
    except ValueError:
        return None


def places_of(error: BaseException) -> str:
    """Where an exception passed: files and lines, without any value."""
    frames = traceback.extract_tb(error.__traceback__)[-6:]
    return " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames) or "nowhere"
