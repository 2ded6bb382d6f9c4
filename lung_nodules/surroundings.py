"""What must be so before MONAI, holoscan and OpenVINO are imported, on any machine and for any user.

Each of the three fails, or does what nobody asked for, where a container host is stricter than a developer's machine.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
import warnings
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

LIBRARY = "libcudart.so.13"
WHEEL = "nvidia-cuda-runtime"


def prepare_imports() -> None:
    """Make the imports of MONAI, holoscan and OpenVINO succeed; call before the first of them."""
    load_cuda_runtime()
    _name_the_user()
    _switch_off_telemetry()
    warnings.filterwarnings("ignore", "Current stack size", RuntimeWarning)  # the graph, which needs it, raises it


def load_cuda_runtime() -> bool:
    """Load the CUDA runtime library for all that is loaded later: the system's, else that of the wheel.

    `holoscan.core` links against it even where there is no GPU, and none of its dependencies brings it. `import monai`
    imports holoscan where the MONAI Deploy SDK is installed.

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


def _name_the_user() -> None:
    """MONAI asks for the user's name, which a user id without an entry does not have."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("LOGNAME", "unknown")


def _switch_off_telemetry() -> None:
    """OpenVINO reports its use to its makers, and fails where there is no home folder to note that in."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # what cannot be imported
