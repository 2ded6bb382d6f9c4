"""Who calls: from the header Authorization to a `User`, within rates."""

from __future__ import annotations

import anyio.to_thread
from starlette.requests import Request

from lung_nodules.service.security.access import AccessRefusal, Role, User
from lung_nodules.service.security.rates import Rates
from lung_nodules.service.security.tokens import IssuerTokens, LocalTokens, Tokens
from lung_nodules.service.settings import ServiceSettings, check_address

NOBODY = User("local", Role.admin, "none")  # on a loopback address, where whoever calls owns the machine


class Identifier:
    """Identifies callers by the mode of the settings.

    Raises:
        UsageRefusal: ``insecure-address`` where others could reach a service that knows no issuer; ``bad-settings``,
            ``weak-key``.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        check_address(settings)
        self._rates = Rates(settings.rate_limit)
        self._tokens: Tokens | None = None
        if settings.auth.mode == "oidc":
            self._tokens = IssuerTokens(settings.auth)
        elif settings.auth.mode == "static":
            self._tokens = LocalTokens(settings.auth)

    async def identify(self, request: Request, often: bool = False) -> User:
        """Give the caller.

        Raises:
            AccessRefusal: 401, 403 ``no-role``, 429, 503; see `Tokens.read`.
        """
        user = NOBODY if self._tokens is None else await self._user_of(request, self._tokens)
        self._rates.count_call(user.name, often)
        return user

    async def _user_of(self, request: Request, tokens: Tokens) -> User:
        token = _bearer_token(request)  # where there is none, nobody has guessed: it counts for no rate
        try:
            return await anyio.to_thread.run_sync(tokens.read, token)
        except AccessRefusal as refusal:
            if refusal.status == 401:
                self._rates.count_failure(request.client.host if request.client else "-")
            raise


def _bearer_token(request: Request) -> str:
    """Give the one bearer token; never from the query or a cookie, which end in logs or come unasked."""
    values = request.headers.getlist("authorization")
    scheme, _, token = (values[0] if len(values) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        sentence = "This needs a token: Authorization: Bearer <token>."
        raise AccessRefusal(401, "no-token", sentence, "Get one from the identity provider.")
    return token.strip()
