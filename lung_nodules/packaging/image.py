"""The second way: `deploy/map.Dockerfile`, from any base image and with plain Docker.

It gives the layout, labels, manifests and entry commands of the packager's image. A build needs no buildx. What only
this machine's network asks for, a CA bundle and a folder of wheels, goes into the build context as `host/`, is used by
the stage that installs, and is in no layer of the image.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lung_nodules import __version__
from lung_nodules.packaging.staging import StagedApplication
from lung_nodules.packaging.tools import find_docker, run_tool

CPU_WHEELS = "https://download.pytorch.org/whl/cpu"
EVERYTHING = ""  # nothing is left out of a CUDA image: what a run on a GPU loads was not measured


@dataclass(frozen=True)
class ImageOrder:
    """What image to build."""

    tag: str  # name or name:tag
    base: str  # any image with Python 3.11 or 3.12, or with apt and one of them in its packages
    cuda: bool = False  # PyTorch's CUDA build instead of the CPU build
    user: str = "0:0"  # who the application runs as where the host names nobody
    network: str | None = None  # of the build; "host" where the engine has no bridge


@dataclass(frozen=True)
class HostFiles:
    """What pip needs on this machine's network and nowhere else."""

    ca_bundle: Path | None = None
    wheels: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> HostFiles:
        """As pip itself would take them: PIP_CERT and PIP_FIND_LINKS, where they name what is there."""
        ca_bundle = Path(environment.get("PIP_CERT") or os.devnull)
        wheels = Path(environment.get("PIP_FIND_LINKS") or os.devnull)
        return cls(ca_bundle if ca_bundle.is_file() else None, wheels if wheels.is_dir() else None)


def build_image(staged: StagedApplication, order: ImageOrder, host: HostFiles) -> str:
    """Build the image.

    Returns:
        Its name.

    Raises:
        PackagingRefusal: ``docker-missing``, ``docker-not-running`` or ``build-failed``.
    """
    docker = find_docker()
    add_host_files(staged, host)
    command: list[str | Path] = [docker, "build", "--file", staged.build_files / "map.Dockerfile", "--tag", order.tag]
    for name, value in build_arguments(staged, order, host).items():
        command += ["--build-arg", f"{name}={value}"]
    if order.network:
        command += ["--network", order.network]
    run_tool([*command, staged.folder], "build-failed")
    return order.tag


def build_arguments(staged: StagedApplication, order: ImageOrder, host: HostFiles) -> dict[str, str]:
    """What the Dockerfile is told; all of it has defaults there."""
    arguments = {
        "BASE": order.base,
        "TAG": order.tag,
        "VERSION": __version__,
        "REVISION": staged.commit,
        "RUN_AS": order.user,
    }
    if order.cuda:
        arguments["LEAVE_OUT"] = EVERYTHING
    elif host.wheels is None:
        arguments["EXTRA_INDEX"] = CPU_WHEELS
    return arguments


def add_host_files(staged: StagedApplication, host: HostFiles) -> None:
    """Put this machine's own files into the build context; the folder is there in any case, for COPY."""
    folder = staged.folder / "host"
    folder.mkdir(exist_ok=True)
    (folder / "README").write_text("Used while building, and in no layer of the image.\n", encoding="utf-8")
    if host.ca_bundle:
        shutil.copyfile(host.ca_bundle, folder / "ca.crt")
    if host.wheels:
        shutil.copytree(host.wheels, folder / "wheels", dirs_exist_ok=True)
