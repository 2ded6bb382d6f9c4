"""What `make audit` says of what pip-audit has found: never an all-clear where nothing was looked up."""

import json
import subprocess
import sys

import pytest
from programs import REPOSITORY

CLEAN = {"name": "clean", "version": "1.0", "vulns": []}
SKIPPED = {"name": "local", "skip_reason": "Dependency not found on PyPI and could not be audited: local (1.0+cpu)"}
HOLED = {
    "name": "holed",
    "version": "2.0",
    "vulns": [
        {"id": "PYSEC-2026-1", "fix_versions": ["2.1"], "aliases": [], "description": "..."},
        {"id": "PYSEC-2026-2", "fix_versions": [], "aliases": [], "description": "..."},
    ],
}


def audit(text):
    program = [sys.executable, REPOSITORY / "deploy" / "audit.py"]
    done = subprocess.run(program, input=text, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def of(*packages):
    return json.dumps({"dependencies": packages, "fixes": []})


@pytest.mark.parametrize("packages", [(SKIPPED, {**SKIPPED, "name": "other"}), ()])
def test_where_nothing_was_looked_up_one_line_says_so(packages):
    said = f"Nothing could be audited: PyPI told nothing of {len(packages)} packages. That is no all-clear."
    assert audit(of(*packages)) == (2, [said])


@pytest.mark.parametrize("text", ["", "no JSON"])
def test_a_pip_audit_that_fails_is_no_all_clear(text):
    assert audit(text) == (2, ["Nothing could be audited: pip-audit failed, see build/audit.log."])


def test_what_was_left_out_is_named_beside_an_all_clear():
    assert audit(of(CLEAN, SKIPPED)) == (0, ["Could not be audited: local.", "Known holes in 1 packages: none."])


def test_each_known_hole_has_a_line():
    assert audit(of(CLEAN, HOLED)) == (
        1,
        [
            "holed 2.0: PYSEC-2026-1, fixed in 2.1.",
            "holed 2.0: PYSEC-2026-2, fixed in nothing yet.",
            "Known holes in 2 packages: 2.",
        ],
    )
