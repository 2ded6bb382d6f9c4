"""How often one may ask, by the library `limits`.

Three kinds of bucket: failed tokens by address, ordinary calls by user, and calls that a page makes by the hundred
(slices, states) by user. Each process counts for itself: with N copies of the API behind a balancer the bounds are
N times as wide.
"""

from __future__ import annotations

import math
import time

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from lung_nodules.service.security.access import AccessRefusal
from lung_nodules.service.settings import RateLimitSettings

OFTEN_FACTOR = 20  # a study of 600 slices is scrolled through in some seconds
FAILURES_SHARE = 20  # bad tokens are taken from an address a twentieth as often as calls are from a user


class Rates:
    """Counts calls and refuses those that are too many."""

    def __init__(self, settings: RateLimitSettings) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._failures: tuple[RateLimitItem, ...] = (
            RateLimitItemPerMinute(max(1, settings.per_minute // FAILURES_SHARE)),
        )
        self._calls = {
            often: (
                RateLimitItemPerMinute(settings.per_minute * factor),
                RateLimitItemPerSecond(settings.burst * factor),
            )
            for often, factor in ((False, 1), (True, OFTEN_FACTOR))
        }

    def count_call(self, user: str, often: bool) -> None:
        """Count a call of a user whose token is good.

        Raises:
            AccessRefusal: 429 ``too-many-requests``.
        """
        for item in self._calls[often]:
            if not self._limiter.hit(item, "call", str(often), user):
                raise self._refusal(item, "call", str(often), user)

    def count_failure(self, address: str) -> None:
        """Count a bad token of an address; good ones from there, behind the same proxy, are taken all the same.

        Raises:
            AccessRefusal: 429 ``too-many-requests``.
        """
        for item in self._failures:
            if not self._limiter.hit(item, "failure", address):
                raise self._refusal(item, "failure", address)

    def _refusal(self, item: RateLimitItem, *names: str) -> AccessRefusal:
        reset = self._limiter.get_window_stats(item, *names).reset_time
        wait_s = min(max(1, math.ceil(reset - time.time())), item.get_expiry())
        return AccessRefusal(429, "too-many-requests", "These are too many requests.", "Slow down.", wait_s)
