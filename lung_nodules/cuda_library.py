"""The CUDA runtime library, which `holoscan.core` links against even where there is no GPU.

None of holoscan's dependencies brings it, and `import monai` imports holoscan where the MONAI Deploy SDK is installed:
so it is loaded before either, by whoever imports them.
"""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

LIBRARY = "libcudart.so.13"
WHEEL = "nvidia-cuda-runtime"


def load_cuda_runtime() -> bool:
    """Load the library for all that is loaded later: the system's where it has one, else that of the wheel.

    Returns:
        Whether it was found.
    """
    for path in (LIBRARY, *_paths_in_wheel()):
        try:
            ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return True
    return False


def _paths_in_wheel() -> list[Path]:
    try:
        return [Path(str(file.locate())) for file in files(WHEEL) or () if file.name == LIBRARY]
    except PackageNotFoundError:
        return []
