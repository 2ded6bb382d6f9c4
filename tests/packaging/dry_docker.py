"""A docker command that builds nothing, and the versions that requirements.txt pins."""

from pathlib import Path

from programs import REPOSITORY

FAKE_DOCKER = Path(__file__).with_name("fake_docker")  # a folder to be put first on PATH
PINS = dict(
    line.split(";")[0].strip().split("==")
    for line in (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line and not line.startswith("#")
)
