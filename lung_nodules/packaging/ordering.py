"""What `lung-nodules package` and `deploy/package.sh` do: stage, then build by one of the two ways."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lung_nodules import __version__
from lung_nodules.packaging.image import HostFiles, ImageOrder, build_image
from lung_nodules.packaging.packager import check_packager, check_tag, package_with_monai_deploy
from lung_nodules.packaging.staging import REPOSITORY, stage_application
from lung_nodules.packaging.tools import PackagingRefusal, find_docker

DEFAULT_TAG = f"lung-nodules-map:{__version__}"


@dataclass(frozen=True)
class PackageOrder:
    """What is to be packaged, and how."""

    tag: str = DEFAULT_TAG
    base: str | None = None  # None: the packager of holoscan-cli; else deploy/map.Dockerfile from this image
    cuda: bool = False
    user: str = "0:0"
    network: str | None = None
    folder: Path = REPOSITORY / "build" / "map"
    stages_only: bool = False


BY_BASE_ALONE = ("cuda", "user", "network")  # the packager has no such options


def make_package(order: PackageOrder, say: Callable[[str], object]) -> None:
    """Make a MAP of what is committed.

    Args:
        order: By default, the packager's image of this version.
        say: Is told in a sentence what was made.

    Raises:
        PackagingRefusal: With a code for each thing that is missing, before anything is copied where that can be seen.
    """
    _check(order)
    staged = stage_application(REPOSITORY, order.folder)
    if not staged.is_clean:
        say("There are changes that are not committed: they are not in the package.")
    say(f"Commit {staged.commit[:12]} is staged in {staged.folder}")
    if order.stages_only:
        return
    if order.base is None:
        image = package_with_monai_deploy(staged, order.tag)
    else:
        wanted = ImageOrder(order.tag, order.base, order.cuda, order.user, order.network)
        image = build_image(staged, wanted, HostFiles.from_environment(os.environ))
    say(f"Image: {image}")


def _check(order: PackageOrder) -> None:
    """Refuse what would be ignored or could not be built."""
    if order.base is None:
        given = [f"--{name}" for name in BY_BASE_ALONE if getattr(order, name) != getattr(PackageOrder, name)]
        if given:
            sentence = f"{' and '.join(given)} would be ignored: without --base the packager builds."
            raise PackagingRefusal("option-without-base", sentence, "Give --base, or leave it out.")
    if order.stages_only:
        return
    if order.base is None:
        check_tag(order.tag)
        check_packager()
    else:
        find_docker()
