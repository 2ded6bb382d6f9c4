"""Asking again what can heal, with exponential back-off and full jitter.

Our own because one policy has to cover connections, statuses, answers that break off in the middle and counts that come
short, over HTTP and DIMSE alike; dicomweb-client's own tries see statuses alone.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from lung_nodules.archive.refusals import ArchiveRefusal
from lung_nodules.archive.settings import RetrySettings

Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def call_with_retries(call: Callable[[], Result], settings: RetrySettings) -> Result:
    """Call until it succeeds, fails for good, or was tried often enough.

    Raises:
        ArchiveRefusal: The last one.
    """
    for attempt in range(1, settings.max_tries + 1):
        try:
            return call()
        except ArchiveRefusal as refusal:
            if not refusal.heals or attempt == settings.max_tries:
                raise
            wait_s = _wait_s(attempt, refusal.retry_after_s, settings)
            logger.info("Asking again in %.1f s, try %d: %s", wait_s, attempt + 1, refusal.code)
        time.sleep(wait_s)
    raise AssertionError("unreachable")


def _wait_s(attempt: int, retry_after_s: float | None, settings: RetrySettings) -> float:
    """A random wait up to a bound that doubles; at least what the archive asked for, within the longest wait."""
    bound_s = min(settings.max_wait_s, settings.first_wait_s * 2.0 ** (attempt - 1))
    jittered_s = bound_s * random.uniform(0.5, 1.0)  # noqa: S311  # no secret
    return min(settings.max_wait_s, max(jittered_s, retry_after_s or 0.0))
