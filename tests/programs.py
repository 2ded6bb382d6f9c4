"""How the tests start the programs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
IDENTITY = {"PatientName": "ZEPPELIN^GRAF", "PatientID": "LZ-127", "PatientBirthDate": "19280918"}

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def command_line(program: str) -> list[str]:
    """How to start `python .` ("graph") or `lung-nodules exec` ("pipeline")."""
    if program == "graph":
        return [sys.executable, str(REPOSITORY)]
    return [sys.executable, "-m", "lung_nodules", "exec"]
