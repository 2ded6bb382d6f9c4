"""What an image weighs, part by part, counted by itself."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lung_nodules.packaging.tools import find_docker, read_tool

_MB = 1e6
_SMALL_BYTES = 30 * _MB

# Runs in the image: bytes of regular files, hard links once, by the first part that a file belongs to.
_COUNT = r"""
import json, os, site
packages = site.getsitepackages()[0] + "/"
parts, seen = {}, set()
for root, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if not os.path.ismount(os.path.join(root, name))]
    for name in names:
        path = os.path.join(root, name)
        status = os.lstat(path)
        if status.st_ino in seen:
            continue
        seen.add(status.st_ino)
        if path.startswith(packages):
            part = "package " + path[len(packages):].split("/")[0].split("-")[0].removesuffix(".libs")
        elif path.startswith("/opt/holoscan/"):
            part = "/opt/holoscan/" + path.split("/")[3]
        elif path.startswith("/usr/lib/python3"):
            part = "python"
        else:
            part = "system"
        parts[part] = parts.get(part, 0) + status.st_size
print(json.dumps(parts))
"""


@dataclass(frozen=True)
class Part:
    """One part of an image."""

    name: str
    num_bytes: int


@dataclass(frozen=True)
class ImageSizes:
    """An image and its parts, the largest first."""

    image: str
    total_bytes: int  # uncompressed, as the engine counts its layers
    parts: tuple[Part, ...]


def measure_image(image: str) -> ImageSizes:
    """Ask the engine for the whole and the image's own Python for the parts.

    Raises:
        PackagingRefusal: ``docker-missing``, ``docker-not-running``, ``no-such-image`` or ``image-not-counted``.
    """
    docker = find_docker()
    total = int(read_tool([docker, "image", "inspect", "--format", "{{.Size}}", image], "no-such-image"))
    run = [docker, "run", "--rm", "--network", "none", "--user", "0", "--entrypoint", "python3", image]
    counted = json.loads(read_tool([*run, "-c", _COUNT], "image-not-counted"))
    parts = sorted((Part(name, size) for name, size in counted.items()), key=lambda part: -part.num_bytes)
    return ImageSizes(image, total, tuple(parts))


def sizes_table(sizes: ImageSizes) -> str:
    """The parts as lines of text, MB (10^6 bytes), which sum to the first line's; small packages on one line.

    The engine counts what a later layer replaces as well, and folders; so the last line is what it has more or less.
    """
    large = [part for part in sizes.parts if part.num_bytes >= _SMALL_BYTES or not part.name.startswith("package ")]
    small = [part for part in sizes.parts if part not in large]
    rest = Part(f"{len(small)} smaller packages", sum(part.num_bytes for part in small))
    counted = sum(part.num_bytes for part in sizes.parts)
    layers = Part("by the engine's count of layers, not of files", sizes.total_bytes - counted)
    lines = [f"{part.num_bytes / _MB:8.1f} MB  {part.name}" for part in (*large, rest, layers)]
    return "\n".join([f"{sizes.total_bytes / _MB:8.1f} MB  {sizes.image}, of these", *lines])
