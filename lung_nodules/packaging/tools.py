"""The programs that packaging calls, and one sentence for each of them that is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lung_nodules.errors import ExitCode, Refusal

NO_DOCKER = "Install Docker: https://docs.docker.com/engine/install, or `apt install docker.io` on Debian."


class PackagingRefusal(Refusal):
    """What is needed to make a package is not there, or a program that makes it failed."""

    exit_code = ExitCode.BAD_USAGE


def find_docker() -> str:
    """The docker command, after a look whether its engine answers.

    Raises:
        PackagingRefusal: ``docker-missing`` or ``docker-not-running``.
    """
    docker = shutil.which("docker")
    if docker is None:
        raise PackagingRefusal("docker-missing", "The docker command was not found.", NO_DOCKER)
    if not _succeeds([docker, "version", "--format", "{{.Server.Version}}"]):
        raise PackagingRefusal("docker-not-running", "No Docker engine answers.", "Start it, or set DOCKER_HOST.")
    return docker


def check_buildx(docker: str) -> None:
    """Refuse early where the packager's builder is not there.

    Raises:
        PackagingRefusal: ``buildx-missing``.
    """
    if not _succeeds([docker, "buildx", "version"]):
        raise PackagingRefusal(
            "buildx-missing",
            "The packager builds with `docker buildx`, which this Docker does not have.",
            "Install the docker-buildx plugin, or give --base, which needs no buildx.",
        )


def find_packager() -> str:
    """The `monai-deploy` command beside this Python, else on the path.

    Raises:
        PackagingRefusal: ``packager-missing``.
    """
    beside = Path(sys.executable).with_name("monai-deploy")
    found = str(beside) if beside.exists() else shutil.which("monai-deploy")
    if found is None:
        raise PackagingRefusal(
            "packager-missing",
            "The monai-deploy command was not found.",
            "Install requirements.txt (later releases of holoscan-cli have no packager), or give --base.",
        )
    return found


def run_tool(command: Sequence[str | Path], code: str) -> None:
    """Run a program in the sight of the user.

    Args:
        command: Program and arguments.
        code: Of the refusal.

    Raises:
        PackagingRefusal: With `code`, where the program ends with anything but 0.
    """
    done = subprocess.run(list(command), check=False)
    if done.returncode:
        raise PackagingRefusal(code, f"{Path(command[0]).name} ended with {done.returncode}; what it said is above.")


def read_tool(command: Sequence[str | Path], code: str) -> str:
    """What a program prints on standard output.

    Raises:
        PackagingRefusal: With `code`, where the program ends with anything but 0; its last line says why.
    """
    done = subprocess.run(list(command), check=False, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise PackagingRefusal(code, f"{Path(command[0]).name} ended with {done.returncode}: {said}")
    return done.stdout


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
