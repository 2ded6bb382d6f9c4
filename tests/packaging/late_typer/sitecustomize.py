"""Lets the application wait where it imports its first large library, where a test puts this folder on PYTHONPATH.

It makes the file `READY` in the folder that `LATE_TYPER` names, and goes on when there is a file `GO`.
"""

import importlib.abc
import os
import sys
import time
from pathlib import Path


class _Wait(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "typer":
            sys.meta_path.remove(self)
            folder = Path(os.environ["LATE_TYPER"])
            (folder / "READY").touch()
            while not (folder / "GO").exists():
                time.sleep(0.01)


sys.meta_path.insert(0, _Wait())
