"""`make audit`: reads the JSON of pip-audit from standard input and says what it comes to.

pip-audit itself says that no holes are known also where it could look up no package at all, as in a network that
mirrors packages without PyPI's own interface. So its own words go into a file, build/audit.log.
"""

from __future__ import annotations

import json
import sys
from typing import Any

HOLES, NOTHING_AUDITED = 1, 2  # exit codes


def main() -> int:
    """Say a line for each known hole, one for what was left out, and one for the whole; returns the exit code."""
    try:
        packages: list[dict[str, Any]] = json.load(sys.stdin)["dependencies"]
    except ValueError:
        say("Nothing could be audited: pip-audit failed, see build/audit.log.")
        return NOTHING_AUDITED
    audited = [package for package in packages if "skip_reason" not in package]
    if not audited:
        say(f"Nothing could be audited: PyPI told nothing of {len(packages)} packages. That is no all-clear.")
        return NOTHING_AUDITED
    left_out = sorted(package["name"] for package in packages if "skip_reason" in package)
    if left_out:
        say(f"Could not be audited: {', '.join(left_out)}.")
    holes = [(package, hole) for package in audited for hole in package["vulns"]]
    for package, hole in holes:
        fixed = ", ".join(hole["fix_versions"]) or "nothing yet"
        say(f"{package['name']} {package['version']}: {hole['id']}, fixed in {fixed}.")
    say(f"Known holes in {len(audited)} packages: {len(holes) or 'none'}.")
    return HOLES if holes else 0


def say(line: str) -> None:
    """Write a line for whoever ran the target."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
