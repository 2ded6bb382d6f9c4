"""What our own image says of itself: by the specification, and as the Dockerfile and the packager have it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dry_docker import PINS
from programs import REPOSITORY

from lung_nodules.packaging.manifests import ENVIRONMENT, Software, render_manifests, write_manifests

CPU = Software(sdk="4.0.0", torch="2.13.0+cpu")
CUDA = Software(sdk="4.0.0", torch="2.13.0")
DOCKERFILE = (REPOSITORY / "deploy" / "map.Dockerfile").read_text()
SEMANTIC = r"\d+\.\d+\.\d+"
DOCUMENT = yaml.safe_load((REPOSITORY / "app.yaml").read_text(encoding="utf-8"))


def render(software: Software = CPU, config: Path = REPOSITORY / "app.yaml") -> tuple[dict[str, Any], dict[str, Any]]:
    rendered = render_manifests(config, REPOSITORY / "models", software)
    return rendered["app.json"], rendered["pkg.json"]


def test_the_application_manifest_has_what_the_specification_asks_for() -> None:
    app, _ = render()
    assert app["type"] in ("service", "application")
    assert json.loads(app["command"]) == ["python3", "/opt/holoscan/app"]
    assert all(re.fullmatch(SEMANTIC, app[key]) for key in ("apiVersion", "sdkVersion", "version"))
    assert app["workingDirectory"] == "/var/holoscan/"
    assert (app["input"]["path"], app["output"]["path"]) == ("input/", "output/")
    assert app["input"]["formats"] == ["dicom"]
    assert "dicom" in app["output"]["formats"]
    assert app["output"]["format"] == {"type": "file"}
    assert app["timeout"] == 0


def test_the_environment_of_the_specification_is_there() -> None:
    app, _ = render()
    assert {name: path.rstrip("/") for name, path in app["environment"].items()}.items() >= {
        "HOLOSCAN_INPUT_PATH": "/var/holoscan/input",
        "HOLOSCAN_OUTPUT_PATH": "/var/holoscan/output",
        "HOLOSCAN_WORKDIR": "/var/holoscan",
        "HOLOSCAN_MODEL_PATH": "/opt/holoscan/models",
        "HOLOSCAN_CONFIG_PATH": "/var/holoscan/app.yaml",
        "HOLOSCAN_APP_MANIFEST_PATH": "/etc/holoscan/app.json",
        "HOLOSCAN_PKG_MANIFEST_PATH": "/etc/holoscan/pkg.json",
        "HOLOSCAN_DOCS": "/opt/holoscan/docs",
        "HOLOSCAN_LOGS": "/var/holoscan/logs",
    }.items()


def test_the_package_manifest_has_what_the_specification_asks_for() -> None:
    _, package = render(CUDA)
    assert (package["applicationRoot"], package["modelRoot"]) == ("/opt/holoscan/app", "/opt/holoscan/models/")
    assert [model["name"] for model in package["models"]] == ["classification", "detection", "segmentation"]
    for model in package["models"]:
        assert not re.search(r"\s", model["name"])
        assert len(model["name"].encode()) <= 128
        assert (REPOSITORY / "models" / model["path"]).is_dir()
    resources = package["resources"]
    assert resources == DOCUMENT["resources"]
    assert resources["gpu"] == 1
    assert all(isinstance(resources[name], int | float) for name in ("cpu", "gpu"))
    assert all(re.fullmatch(r"\d+(\.\d)?[MG]i", resources[name]) for name in ("memory", "gpuMemory", "sharedMemory"))


def test_an_image_that_cannot_use_a_gpu_asks_for_none() -> None:
    _, package = render(CPU)
    assert (package["resources"]["gpu"], package["platformConfig"]) == (0, "cpu")
    assert package["resources"]["memory"] == DOCUMENT["resources"]["memory"]


def test_manifests_are_written_as_json_in_utf8(tmp_path: Path) -> None:
    write_manifests(REPOSITORY / "app.yaml", REPOSITORY / "models", tmp_path / "etc")
    for name in ("app.json", "pkg.json"):
        assert isinstance(json.loads((tmp_path / "etc" / name).read_bytes().decode("utf-8")), dict)


def test_the_packagers_manifests_say_the_same(context: Path) -> None:
    """But for what the specification has otherwise: `type`, `format`, absolute paths of folders, models as a list."""
    app, package = render(CUDA, context / "app.config")
    theirs = json.loads((context / "map" / "app.json").read_text())
    assert set(app) == {*theirs, "type"}
    assert {key for key in theirs if theirs[key] != app[key]} == {"environment", "output", "workingDirectory"}
    assert set(theirs["environment"]) <= set(app["environment"])
    theirs = json.loads((context / "map" / "pkg.json").read_text())
    assert set(package) == set(theirs)
    assert {key for key in theirs if theirs[key] != package[key]} == {"models", "modelRoot"}


def test_the_dockerfile_sets_what_the_manifest_promises() -> None:
    set_there = dict(re.findall(r"(HOLOSCAN_\w+)=(\S+)", DOCKERFILE))
    assert set_there.items() >= ENVIRONMENT.items()
    assert set_there["HOLOSCAN_VERSION"] == PINS["holoscan-cu13"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r'ARG TITLE="(.+)"', DOCUMENT["application"]["title"]),
        (r"ARG VERSION=(.+)", DOCUMENT["application"]["version"]),
        (r"ARG TAG=.+:(.+)", DOCUMENT["application"]["version"]),
        (r'org\.nvidia\.holoscan="(.+)"', PINS["holoscan-cu13"]),
        (r'org\.monai\.deploy\.app-sdk="(.+)"', PINS["monai-deploy-app-sdk"]),
    ],
)
def test_labels_of_the_dockerfile_follow_the_application(pattern: str, expected: str) -> None:
    assert re.findall(pattern, DOCKERFILE) == [expected]


def test_the_dockerfile_is_for_the_builder_without_buildkit() -> None:
    assert "--mount" not in DOCKERFILE
    assert "<<" not in DOCKERFILE
    assert not re.search(r"(COPY|ADD).*--(chmod|link|exclude|parents)", DOCKERFILE)
