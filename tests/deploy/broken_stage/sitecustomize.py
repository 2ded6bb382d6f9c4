"""Makes one stage of the application raise, or never end, where a test puts this folder on PYTHONPATH.

`REPLAY_BREAKS` or `REPLAY_HANGS` names the stage. The error's text holds a patient's name, which must get nowhere.
"""

import importlib.abc
import importlib.util
import os
import sys
import time
from contextlib import contextmanager


class _Saboteur(importlib.abc.MetaPathFinder):
    """Changes `lung_nodules.timings` when it is imported: all stages are entered by its stopwatch."""

    def find_spec(self, name, path, target=None):
        if name != "lung_nodules.timings":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            _break(module.Stopwatch, os.environ.get("REPLAY_BREAKS"), os.environ.get("REPLAY_HANGS"))

        spec.loader.exec_module = exec_module
        return spec


def _break(stopwatch, broken, endless):
    enter = stopwatch.stage

    @contextmanager
    def stage(self, name, total=None):
        with enter(self, name, total) as advance:
            if name == broken:
                raise ValueError("ZEPPELIN^GRAF")
            while name == endless:
                time.sleep(1)
            yield advance

    stopwatch.stage = stage


sys.meta_path.insert(0, _Saboteur())
