"""A machine without CUDA: the library that holoscan wants comes from the wheel."""

import subprocess
import sys

# What the dynamic loader does where the system has no such library.
WITHOUT_THE_SYSTEMS = """
import ctypes
load = ctypes.CDLL
def load_by_path(name, *arguments, **options):
    if name == "libcudart.so.13":
        raise OSError("cannot open shared object file")
    return load(name, *arguments, **options)
ctypes.CDLL = load_by_path
import lung_nodules.networks.unet
print(next(line.split()[-1] for line in open("/proc/self/maps") if "libcudart" in line))
"""


def test_networks_load_where_the_system_has_no_cuda() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_THE_SYSTEMS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "site-packages/nvidia" in done.stdout
