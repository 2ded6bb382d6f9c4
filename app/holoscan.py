"""What must be done before `holoscan` is imported, so that the graph starts anywhere and the terminal stays clean."""

from __future__ import annotations

import logging
import os
import resource

from lung_nodules.surroundings import prepare_imports

STACK_BYTES = 32 * 1024 * 1024  # holoscan warns below


def prepare_holoscan() -> None:
    """See to what it needs, raise the stack limit, quiet holoscan's own log; call before the first import of it."""
    prepare_imports()
    _raise_stack_limit()
    debugging = logging.getLogger("lung_nodules").isEnabledFor(logging.DEBUG)
    # At ERROR it would write the text of an operator's exception, which may hold what was read from the input.
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "INFO" if debugging else "CRITICAL")
    os.environ.pop("HOLOSCAN_CONFIG_PATH", None)  # read already; holoscan ends the process where the file is missing


def _raise_stack_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = STACK_BYTES if hard == resource.RLIM_INFINITY else min(STACK_BYTES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
