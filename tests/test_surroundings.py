"""Machines that are stricter than a developer's: without CUDA, without a home, for a user without a name."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from programs import REPOSITORY

# What the dynamic loader does where the system has no such library.
WITHOUT_THE_SYSTEMS_CUDA = """
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


def run_python(code: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, **options)


def test_networks_load_where_the_system_has_no_cuda() -> None:
    done = run_python(WITHOUT_THE_SYSTEMS_CUDA)
    assert done.returncode == 0, done.stderr
    assert "site-packages/nvidia" in done.stdout


def test_libraries_load_for_a_stranger_without_a_home(tmp_path: Path) -> None:
    code = f"""
import os, sys
os.getuid = lambda: 54321  # nobody's: neither a name nor a home follow from it
sys.path.insert(0, {str(REPOSITORY)!r})
import lung_nodules.networks.unet, openvino
"""
    done = run_python(code, env={"PATH": os.environ["PATH"]}, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_nothing_tells_openvinos_makers_of_a_run() -> None:
    code = "import lung_nodules.networks, openvino.tools.ovc.telemetry_utils as used; print(used.tm.__name__)"
    assert run_python(code).stdout.strip() == "openvino.tools.ovc.telemetry_stub"


def test_holoscan_says_nothing_of_the_stack_to_those_who_do_not_run_its_graph() -> None:
    program = "from lung_nodules.surroundings import prepare_imports; prepare_imports(); import holoscan.core"
    command = ["bash", "-c", f'ulimit -Ss 8192; exec "{sys.executable}" -c "{program}"']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "stack size" not in done.stderr
