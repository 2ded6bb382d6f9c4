"""How many event streams a user has open; each holds a connection and follows the database's changes.

Each process counts for itself, as the rates do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from lung_nodules.service.security.access import AccessRefusal

RETRY_AFTER_S = 30


class Streams:
    """Counts open streams by user.

    Args:
        max_per_user: That may be open at a time.
    """

    def __init__(self, max_per_user: int) -> None:
        self._max_per_user = max_per_user
        self._open: Counter[str] = Counter()

    @contextmanager
    def one(self, user: str) -> Iterator[None]:
        """Hold a place for a stream of a user for the length of a block.

        Raises:
            AccessRefusal: 429 ``too-many-streams``.
        """
        if self._open[user] >= self._max_per_user:
            sentence = f"The user has {self._max_per_user} event streams open, as many as one may."
            raise AccessRefusal(429, "too-many-streams", sentence, "Close one, or poll /v1/jobs.", RETRY_AFTER_S)
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            self._open += Counter()  # forgets whom it counts none of
