"""`python3 -m lung_nodules.packaging`: packaging where only Python and Docker are; called by `deploy/package.sh`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lung_nodules.errors import Refusal
from lung_nodules.packaging.ordering import DEFAULT_TAG, PackageOrder, make_package


def main(arguments: list[str]) -> int:
    """Run one of the commands; a refusal becomes one sentence and its exit code."""
    given = _parser().parse_args(arguments)
    try:
        given.run(given)
    except Refusal as refusal:
        _say(" ".join(filter(None, (refusal.sentence, refusal.advice))))
        return refusal.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy/package.sh", description="Make a MONAI Application Package.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    package = commands.add_parser("package", help="of what is committed, by the packager or by deploy/map.Dockerfile")
    package.add_argument("--tag", default=DEFAULT_TAG, help=f"default: {DEFAULT_TAG}")
    package.add_argument("--base", help="build deploy/map.Dockerfile from this image instead")
    package.add_argument("--cuda", action="store_true", help="with --base: PyTorch for NVIDIA GPUs")
    package.add_argument("--user", default="0:0", help="with --base: who the application runs as by default")
    package.add_argument("--network", help="with --base: of the build, e.g. host")
    package.add_argument("--folder", type=Path, default=PackageOrder.folder, help="for the clean copy")
    package.add_argument("--stage-only", action="store_true", help="make the clean copy and no image")
    package.set_defaults(run=_package)

    sizes = commands.add_parser("sizes", help="what an image weighs, part by part")
    sizes.add_argument("image")
    sizes.set_defaults(run=_sizes)

    manifests = commands.add_parser("manifests", help="write app.json and pkg.json (while an image is built)")
    for name in ("config_file", "models", "folder"):
        manifests.add_argument(name, type=Path)
    manifests.set_defaults(run=_manifests)

    licences = commands.add_parser("licences", help="collect third parties' licences (while an image is built)")
    for name in ("requirements", "folder"):
        licences.add_argument(name, type=Path)
    licences.set_defaults(run=_licences)
    return parser


def _package(given: argparse.Namespace) -> None:
    order = PackageOrder(
        tag=given.tag,
        base=given.base,
        cuda=given.cuda,
        user=given.user,
        network=given.network,
        folder=given.folder.absolute(),
        stages_only=given.stage_only,
    )
    make_package(order, _say)


def _sizes(given: argparse.Namespace) -> None:
    from lung_nodules.packaging.sizes import measure_image, sizes_table

    sys.stdout.write(sizes_table(measure_image(given.image)) + "\n")


def _manifests(given: argparse.Namespace) -> None:
    from lung_nodules.packaging.manifests import write_manifests

    write_manifests(given.config_file, given.models, given.folder)


def _licences(given: argparse.Namespace) -> None:
    from lung_nodules.packaging.licences import write_licences

    write_licences(given.requirements, given.folder)


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
