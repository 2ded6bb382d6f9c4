"""The keys of an issuer, by PyJWT: kept for five minutes, and asked for so that nobody can make us ask all the time."""

from __future__ import annotations

import threading
import time
from typing import Any

import jwt
from jwt import PyJWKClient

from lung_nodules.archive.addresses import ForbiddenAddress
from lung_nodules.archive.connecting import GuardedContext

LIFESPAN_S = 300.0
COOLDOWN_S = 30.0  # an unknown kid makes us ask again no oftener
TIMEOUT_S = 5.0
_LONGEST_PAUSE_S = 10.0


class IssuerKeys(PyJWKClient):
    """Asks one at a time; who waits meanwhile gets the same answer, and after a failure nobody asks for a while.

    Else each token of a stranger would hold a thread for as long as an issuer that is away lets us wait.

    Args:
        url: Of the JWKS; redirects are not followed.
        cooldown_s: After an answer, before an unknown key makes us ask again; after a failure 10 s at most.
    """

    def __init__(self, url: str, cooldown_s: float = COOLDOWN_S) -> None:
        super().__init__(
            url, lifespan=LIFESPAN_S, timeout=TIMEOUT_S, cooldown_duration=cooldown_s, ssl_context=GuardedContext()
        )
        self._one_at_a_time = threading.Lock()
        self._pause_s = min(cooldown_s, _LONGEST_PAUSE_S)
        self._answer: Any = None
        self._answered_at = self._failed_at = float("-inf")

    def fetch_data(self) -> Any:
        """Ask the issuer.

        Raises:
            jwt.PyJWTError: It cannot be reached, or could not be a moment ago, or lists no keys.
            ValueError: Its answer is no JSON.
        """
        asked_at = time.monotonic()
        with self._one_at_a_time:
            if self._answered_at > asked_at:
                return self._answer
            if time.monotonic() < self._failed_at + self._pause_s:
                raise jwt.PyJWKClientConnectionError("the issuer could not be reached a moment ago")
            try:
                self._answer = super().fetch_data()
            except (jwt.PyJWTError, ValueError, OSError):
                self._failed_at = time.monotonic()
                raise
            except ForbiddenAddress as error:
                self._failed_at = time.monotonic()
                raise jwt.PyJWKClientConnectionError("the issuer's name leads to a forbidden address") from error
            self._answered_at = time.monotonic()
            return self._answer
