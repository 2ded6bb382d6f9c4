"""A stop that comes while the application starts, where a host starts `python3 /opt/holoscan/app` itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import REPOSITORY

LATE_TYPER = Path(__file__).parent / "late_typer"
FIRST_PROCESS = ["unshare", "--pid", "--fork", "--kill-child"]


def can_be_first() -> bool:
    """Whether this machine lets a process be the first of its own namespace, as a container's is."""
    try:
        return subprocess.run([*FIRST_PROCESS, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("launcher", [[], FIRST_PROCESS], ids=["process", "first process"])
def test_a_stop_that_comes_while_libraries_are_imported_is_kept(launcher: list[str], tmp_path: Path) -> None:
    if launcher and not can_be_first():
        pytest.skip("this machine lets no process be the first of a namespace of its own")
    environment = {**os.environ, "PYTHONPATH": str(LATE_TYPER), "LATE_TYPER": str(tmp_path)}
    command = [*launcher, sys.executable, str(REPOSITORY), "-i", "in", "-o", "out"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "READY").exists() and process.poll() is None:
            time.sleep(0.01)
        application = process.pid
        if launcher:
            application = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())
        os.kill(application, signal.SIGTERM)
        (tmp_path / "GO").touch()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "Stopped by SIGTERM." in said
    assert not (tmp_path / "out").exists()
