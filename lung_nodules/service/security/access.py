"""Roles, users, and the one dependency by which a route says who may call it.

A route declares `user: Annotated[User, Depends(require(Role.viewer))]`. The rule can be read from the router, so a test
proves that every route has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request

from lung_nodules.errors import Refusal


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
    """

    name: str
    role: Role
    auth_mode: str


class AccessRefusal(Refusal):
    """The caller is not known (401) or may not do this (403).

    Args:
        status: HTTP status.
    """

    def __init__(self, status: int, code: str, sentence: str, advice: str = "") -> None:
        super().__init__(code, sentence, advice)
        self.status = status


@dataclass(frozen=True)
class require:  # noqa: N801  # reads as a word of the signature: Depends(require(Role.viewer))
    """The dependency that gives the caller as a `User` where the role suffices.

    Attributes:
        role: The least role that may call the route.

    Raises:
        AccessRefusal: 401 ``no-token`` and its kin, 403 ``role-too-low``.
    """

    role: Role

    async def __call__(self, request: Request) -> User:
        """Identify the caller and hold the role against the rule."""
        user: User = await request.app.state.service.identify(request)
        request.state.user = user
        if not user.role.covers(self.role):
            sentence = f"The role {user.role} may not do this; it takes the role {self.role}."
            raise AccessRefusal(403, "role-too-low", sentence, "Ask an administrator of your identity provider.")
        return user
