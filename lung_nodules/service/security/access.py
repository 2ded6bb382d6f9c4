"""Roles, users, and the one dependency by which a route says who may call it.

A route declares `user: Annotated[User, Depends(require(Role.viewer))]`. The rule can be read from the router, so a test
proves that every route has one.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Security
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from lung_nodules.errors import Refusal

MAX_JSON_BYTES = 64 * 1024
_bearer = HTTPBearer(auto_error=False, description="A token of the issuer, or of the local key in development.")


class Role(StrEnum):
    """What a user may do; each role may do all that the ones before it may.

    A viewer reads; an operator also submits, cancels, retries and reviews; an admin also deletes, reads the audit log
    and sets the priority of others' jobs.
    """

    viewer = "viewer"
    operator = "operator"
    admin = "admin"

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True)
class User:
    """Who calls.

    Attributes:
        name: The token's subject, or the name of the static key; never a secret.
        role: The highest role that the token holds.
        auth_mode: ``none``, ``static`` or ``oidc``.
        person_name: What the person is called, as a Person Name of DICOM; empty: as `name` is.
    """

    name: str
    role: Role
    auth_mode: str
    person_name: str = ""


class AccessRefusal(Refusal):
    """The caller is not known (401), may not do this (403) or asks too often (429).

    Args:
        status: HTTP status.
        retry_after_s: When to come again, seconds.
    """

    def __init__(
        self, status: int, code: str, sentence: str, advice: str = "", retry_after_s: int | None = None
    ) -> None:
        super().__init__(code, sentence, advice)
        self.status = status
        self.retry_after_s = retry_after_s


class MediaTypeRefusal(Refusal):
    """The body is of a media type that a route does not take; HTTP 415."""

    status = 415

    def __init__(self, taken: str) -> None:
        super().__init__("media-type", f"This path takes {taken}.")


@dataclass(frozen=True)
class require:  # noqa: N801  # reads as a word of the signature: Depends(require(Role.viewer))
    """The dependency that gives the caller as a `User` where the role suffices.

    Attributes:
        role: The least role that may call the route.
        often: A page calls the route again and again (slices, states): a wider rate applies, and the audit log holds
            one entry a minute for a user and a job instead of one a call.

    Raises:
        AccessRefusal: 401 ``no-token`` and its kin, 403 ``role-too-low``, 429 ``too-many-requests``.
    """

    role: Role
    often: bool = False

    async def __call__(
        self, request: Request, _token: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None
    ) -> User:
        """Give the caller; the parameter lets the OpenAPI document say how to authenticate."""
        return await self.check(request)

    async def check(self, request: Request) -> User:
        """Identify the caller, once a request, and hold the role against the rule."""
        request.state.rule = self
        known: User | None = getattr(request.state, "user", None)
        user = known or await request.app.state.service.identifier.identify(request, often=self.often)
        request.state.user = user
        if not user.role.covers(self.role):
            sentence = f"The role {user.role} may not do this; it takes the role {self.role}."
            raise AccessRefusal(403, "role-too-low", sentence, "Ask whoever gives out the roles.")
        return user


def rule_of(dependant: Dependant) -> require | None:
    """The rule of a route, read from its dependencies."""
    for each in dependant.dependencies:
        rule = each.call if isinstance(each.call, require) else rule_of(each)
        if rule is not None:
            return rule
    return None


class GuardedRoute(APIRoute):
    """A route whose rule is held against the caller before a byte of the body is read.

    FastAPI reads and parses the body first and solves dependencies then, so that a stranger would learn from 422 what
    a route takes, and could make us read. Use it as `APIRouter(route_class=GuardedRoute)`.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the rule and the media type before FastAPI's handler."""
        handle = super().get_route_handler()
        rule, takes_json = rule_of(self.dependant), self.body_field is not None

        async def guarded(request: Request) -> Response:
            if rule is not None:
                await rule.check(request)
            if not takes_json:
                return await handle(request)
            if not _is_json(request.headers.get("content-type", "")):
                raise MediaTypeRefusal("application/json")
            return await handle(_bounded(request))

        return guarded


def _bounded(request: Request) -> Request:
    """The same request, whose body ends with 413 where it grows too large, whatever length it has declared.

    FastAPI's own limit answers in plain text where a length is declared.
    """
    num_bytes = 0

    async def receive() -> Message:
        nonlocal num_bytes
        message = await request.receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > MAX_JSON_BYTES:
            raise HTTPException(413)
        return message

    return Request(request.scope, receive)


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))
