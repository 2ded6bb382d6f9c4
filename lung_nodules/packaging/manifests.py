"""app.json and pkg.json: what an image says of itself, by the MAP specification 1.0.0.

Of the two places where the packager of holoscan-cli differs from the specification, `type` and `models`, this follows
the specification; in all else the two agree, so that whoever reads the packager's manifests can read these.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from lung_nodules.packaging.staging import NOT_IN_THE_LINE

API_VERSION = "1.0.0"
COMMAND = ["python3", "/opt/holoscan/app"]
INPUT = "input/"  # relative to the working directory
OUTPUT = "output/"
ENVIRONMENT = {
    "HOLOSCAN_APPLICATION": "/opt/holoscan/app",
    "HOLOSCAN_INPUT_PATH": "/var/holoscan/input/",
    "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output/",
    "HOLOSCAN_WORKDIR": "/var/holoscan/",
    "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models/",
    "HOLOSCAN_CONFIG_PATH": "/var/holoscan/app.yaml",
    "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
    "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
    "HOLOSCAN_DOCS": "/opt/holoscan/docs",  # the specification's name; the packager's has _PATH
    "HOLOSCAN_DOCS_PATH": "/opt/holoscan/docs",
    "HOLOSCAN_LOGS": "/var/holoscan/logs",
    "HOLOSCAN_LOGS_PATH": "/var/holoscan/logs",
}


@dataclass(frozen=True)
class Software:
    """The versions of what runs the application, which decide on what the manifests say."""

    sdk: str  # of monai-deploy-app-sdk
    torch: str  # ends with +cpu where it cannot use a GPU

    @classmethod
    def installed(cls) -> Software:
        """What is installed beside this Python."""
        return cls(version("monai-deploy-app-sdk"), version("torch"))

    @property
    def uses_gpu(self) -> bool:
        """Whether PyTorch's build has CUDA."""
        return not self.torch.endswith("+cpu")


def render_manifests(config_file: Path, models: Path, software: Software) -> dict[str, dict[str, Any]]:
    """The manifests by file name.

    Args:
        config_file: app.yaml.
        models: The folder with one folder a model.
        software: Of the image.

    Returns:
        The content of app.json and of pkg.json.
    """
    document = yaml.safe_load(config_file.read_text(encoding="utf-8"))
    application = document["application"]
    names = sorted(path.name for path in models.iterdir() if path.is_dir() and path.name not in NOT_IN_THE_LINE)
    return {
        "app.json": _app_manifest(application, software),
        "pkg.json": _pkg_manifest(application["version"], document["resources"], names, software),
    }


def write_manifests(config_file: Path, models: Path, folder: Path) -> None:
    """Write the manifests of an image into a folder, for the software beside this Python."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in render_manifests(config_file, models, Software.installed()).items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _app_manifest(application: dict[str, Any], software: Software) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "type": "application",
        "command": json.dumps(COMMAND),  # text, as the packager's entry script and `monai-deploy run` read it
        "environment": ENVIRONMENT,
        "input": {"path": INPUT, "formats": application["input-formats"]},
        "output": {"path": OUTPUT, "format": {"type": "file"}, "formats": application["output-formats"]},
        "readiness": None,
        "liveness": None,
        "sdk": "monai-deploy",
        "sdkVersion": software.sdk,
        "timeout": 0,
        "version": application["version"],
        "workingDirectory": ENVIRONMENT["HOLOSCAN_WORKDIR"],
    }


def _pkg_manifest(version: str, resources: dict[str, Any], models: list[str], software: Software) -> dict[str, Any]:
    wanted = resources if software.uses_gpu else resources | {"gpu": 0, "gpuMemory": "0Mi"}
    return {
        "apiVersion": API_VERSION,
        "applicationRoot": ENVIRONMENT["HOLOSCAN_APPLICATION"],
        "modelRoot": ENVIRONMENT["HOLOSCAN_MODEL_PATH"],
        "models": [{"name": name, "path": name} for name in models],
        "resources": wanted,
        "version": version,
        "platformConfig": "dgpu" if software.uses_gpu else "cpu",
    }
