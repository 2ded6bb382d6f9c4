"""A Python that cannot import the packages named in WITHOUT, and says at its end where it had the library from."""

import atexit
import os
import sys
from importlib.abc import MetaPathFinder


class Without(MetaPathFinder):
    names = frozenset(os.environ["WITHOUT"].split(","))

    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def say_where() -> None:
    sys.stdout.write(f"library: {sys.modules['lung_nodules'].__file__}\n")


sys.meta_path.insert(0, Without())
atexit.register(say_where)
