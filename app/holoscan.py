"""What must be done before `holoscan` is imported, so that the graph starts anywhere and the terminal stays clean."""

from __future__ import annotations

import ctypes
import logging
import os
import resource
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

CUDA_LIBRARY = "libcudart.so.13"
CUDA_WHEEL = "nvidia-cuda-runtime"
STACK_BYTES = 32 * 1024 * 1024  # holoscan warns below


def prepare_holoscan() -> None:
    """Load the CUDA runtime, raise the stack limit, quiet holoscan's own log; call before the first import of it."""
    load_cuda_runtime()
    _raise_stack_limit()
    debugging = logging.getLogger("lung_nodules").isEnabledFor(logging.DEBUG)
    os.environ.setdefault("HOLOSCAN_LOG_LEVEL", "INFO" if debugging else "ERROR")
    os.environ.pop("HOLOSCAN_CONFIG_PATH", None)  # read already; holoscan ends the process where the file is missing


def load_cuda_runtime() -> bool:
    """Load the CUDA runtime library for all that is loaded later.

    `holoscan.core` links against it even where there is no GPU, and none of its dependencies brings it. Where the
    system has the library, that one is taken; else the one in the `nvidia-cuda-runtime` wheel.

    Returns:
        Whether it was found.
    """
    for path in (CUDA_LIBRARY, *_paths_in_wheel()):
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False


def _paths_in_wheel() -> list[Path]:
    try:
        return [Path(str(file.locate())) for file in files(CUDA_WHEEL) or () if file.name == CUDA_LIBRARY]
    except PackageNotFoundError:
        return []


def _raise_stack_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = STACK_BYTES if hard == resource.RLIM_INFINITY else min(STACK_BYTES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))
