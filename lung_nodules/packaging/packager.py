"""The first way: the packager of holoscan-cli 4.2.0, with a source manifest of our own.

Upstream ended MAP packaging with that release, and its default source manifests are being removed from the web.
"""

from __future__ import annotations

import re
from pathlib import Path

from lung_nodules import __version__
from lung_nodules.packaging.staging import StagedApplication
from lung_nodules.packaging.tools import PackagingRefusal, check_buildx, find_docker, find_packager, run_tool

PLATFORM = "x86_64"
SOURCE_MANIFEST = Path("map") / "artifacts.json"


def packager_arguments(staged: StagedApplication, tag: str) -> list[str]:
    """The arguments of `monai-deploy`.

    Args:
        staged: A clean copy of the application.
        tag: Name of the image, `name` or `name:tag`.
    """
    return [
        "package",
        str(staged.application),
        "--config",
        str(staged.application / "app.yaml"),
        "--models",
        str(staged.models),
        "--docs",
        str(staged.docs),
        "--platform",
        PLATFORM,
        "--source",
        str(staged.build_files / SOURCE_MANIFEST),
        "--tag",
        tag,
    ]


def package_with_monai_deploy(staged: StagedApplication, tag: str) -> str:
    """Build the image.

    Returns:
        Its name: the packager puts platform and configuration into it.

    Raises:
        PackagingRefusal: ``docker-missing``, ``docker-not-running``, ``buildx-missing``, ``packager-missing``,
            ``tag-unusable`` or ``packager-failed``.
    """
    check_tag(tag)
    check_packager()
    run_tool([find_packager(), *packager_arguments(staged, tag)], "packager-failed")
    name, _, version = tag.partition(":")
    return f"{name}-x64-workstation-dgpu-linux-amd64:{version or __version__}".replace("/", "-")


def check_packager() -> None:
    """Refuse before anything is copied where the packager could not build.

    Raises:
        PackagingRefusal: As `package_with_monai_deploy`.
    """
    check_buildx(find_docker())
    find_packager()


def check_tag(tag: str) -> None:
    """Refuse early a name that the packager does not take, or makes an impossible one of.

    It puts ``-`` in the place of each ``/``, and then a registry's port would begin the tag.

    Raises:
        PackagingRefusal: ``tag-unusable``.
    """
    if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*(:\w[\w.-]{0,126})?", tag, re.ASCII):
        raise PackagingRefusal(
            "tag-unusable",
            f"The packager cannot call an image {tag}: it takes NAME or NAME:TAG, without a registry's port.",
            "Give the image such a name and `docker tag` it when it is built, or give --base.",
        )
