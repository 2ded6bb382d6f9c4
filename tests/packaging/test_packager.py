"""The real packager, with a docker command that builds nothing: what it would build, trap by trap.

The traps are those of the packager of holoscan-cli 4.2.0; each has cost somebody a build or a silent failure.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dry_docker import FAKE_DOCKER, PINS

from lung_nodules import __version__
from lung_nodules.packaging import tools
from lung_nodules.packaging.ordering import PackageOrder, make_package
from lung_nodules.packaging.packager import package_with_monai_deploy
from lung_nodules.packaging.staging import StagedApplication
from lung_nodules.packaging.tools import PackagingRefusal


@pytest.fixture(scope="module")
def dockerfile(context: Path) -> str:
    return (context / "Dockerfile").read_text()


def document(context: Path) -> Any:
    """The app.yaml that was packaged."""
    return yaml.safe_load((context / "app.config").read_text())


def manifest(context: Path, name: str) -> Any:
    return json.loads((context / "map" / name).read_text())


def test_the_source_manifest_is_ours_and_names_the_base(dockerfile: str) -> None:
    assert "FROM nvcr.io/nvidia/cuda:13.0.0-runtime-ubuntu24.04 AS base" in dockerfile


def test_labels_carry_title_and_version(context: Path, dockerfile: str) -> None:
    application = document(context)["application"]
    for label, value in {
        "org.opencontainers.image.title": application["title"],
        "org.opencontainers.image.version": application["version"],
        "org.nvidia.holoscan": PINS["holoscan-cu13"],
        "org.monai.deploy.app-sdk": PINS["monai-deploy-app-sdk"],
        "tag": "lung-nodules-map:1.2.3",
    }.items():
        assert f'LABEL {label}="{value}"' in dockerfile


def test_formats_and_command_reach_the_application_manifest(context: Path) -> None:
    application = document(context)["application"]
    app = manifest(context, "app.json")
    assert app["input"] == {"path": "input/", "formats": application["input-formats"]}
    assert app["output"] == {"path": "output/", "formats": application["output-formats"]}
    assert json.loads(app["command"]) == ["python3", "/opt/holoscan/app"], "text with a JSON array in it: trap 4"
    assert app["version"] == __version__
    assert isinstance(app["version"], str), "a number where app.yaml has it without quotes"
    assert (app["sdk"], app["sdkVersion"]) == ("monai-deploy", PINS["monai-deploy-app-sdk"])


def test_resources_and_models_reach_the_package_manifest(context: Path) -> None:
    package = manifest(context, "pkg.json")
    assert package["resources"] == document(context)["resources"]
    models = ("classification", "detection", "segmentation")
    assert package["models"] == {name: f"/opt/holoscan/models/{name}" for name in models}
    assert package["platformConfig"] == "dgpu"


def test_requirements_are_whole_lines(context: Path) -> None:
    """Trap 7: packages of `pip-packages`, and a file without a final line break, are glued together."""
    assert (context / "pip" / "requirements.txt").read_text() == (context / "app" / "requirements.txt").read_text()


def test_holoscan_is_installed_with_our_pins_before_the_sdk_asks_for_any(dockerfile: str) -> None:
    """Trap 8."""
    ours = dockerfile.index("-r /tmp/requirements.txt")
    assert ours < dockerfile.index(f"pip install monai-deploy-app-sdk=={PINS['monai-deploy-app-sdk']}")
    assert PINS["holoscan-cu13"] == PINS["holoscan-cli"] == "4.2.0"


def test_the_ignore_file_drops_nothing_of_ours(context: Path) -> None:
    """Trap 9: it takes out wheels/, env/, *.log, *.spec, ... at every depth, models included."""
    lines = (context / ".dockerignore").read_text().splitlines()
    patterns = [line.strip().removeprefix("**/").rstrip("/") for line in lines if line.strip() and line[0] != "#"]
    assert "*.log" in patterns
    for part in ("app", "models", "docs", "map", "pip"):
        for path in (context / part).rglob("*"):
            dropped = [p for name in path.relative_to(context).parts for p in patterns if fnmatch.fnmatch(name, p)]
            assert not dropped or "__pycache__" in path.parts, f"{path.relative_to(context)}: {dropped}"


def test_the_user_is_the_one_that_the_dockerfile_knows(context: Path, dockerfile: str) -> None:
    """Trap 5: the Dockerfile gives folders to `holoscan`, whatever --username says."""
    calls = context.with_name("context.calls").read_text()
    assert "UNAME=holoscan" in calls
    assert "chown -R holoscan" in dockerfile


def test_no_nightly_torch(dockerfile: str) -> None:
    """Trap 12: `--includes torch` would install one."""
    assert "--force-reinstall torch" not in dockerfile


def test_the_application_is_copied_once_and_starts_as_the_command_says(context: Path) -> None:
    assert (context / "app" / "__main__.py").exists()
    assert {path.name for path in (context / "app").iterdir()} == {
        "__main__.py",
        "app",
        "app.yaml",
        "lung_nodules",
        "operators",
        "requirements.txt",
    }
    assert {path.name for path in (context / "models" / "detection").iterdir()} == {
        "record.json",
        "weights.safetensors",
    }
    assert {"README.md", "LICENSE", "CHANGELOG.md", "third-party"} <= {p.name for p in (context / "docs").iterdir()}
    assert (context / "app.config").read_bytes() == (context / "app" / "app.yaml").read_bytes()


def test_the_entry_script_has_the_defects_that_the_docs_warn_of(context: Path) -> None:
    """Traps 1 to 3: why hosts must start `python3 /opt/holoscan/app` themselves in this image."""
    script = (context / "tools").read_text()
    assert re.search(r"eval \$\{command\} \"\$@\"\s+exit_code=\$\?", script)
    assert "exit $exit_code" not in script
    assert "trap" not in script


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ("exit 1", "docker-not-running"),
        ('[ "$1" = version ]', "buildx-missing"),
        (None, "docker-missing"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str | None, code: str
) -> None:
    if answers:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{answers}\n")
        (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/lib/nowhere" if answers is None else f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(PackagingRefusal) as caught:
        make_package(PackageOrder(folder=tmp_path / "map"), lambda sentence: None)
    assert caught.value.code == code
    assert caught.value.advice
    assert not (tmp_path / "map").exists()


def test_a_missing_packager_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackagingRefusal, match="not found") as caught:
        tools.find_packager()
    assert caught.value.code == "packager-missing"
    assert "--base" in caught.value.advice


def test_a_packager_that_fails_is_a_refusal(
    staged: StagedApplication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{FAKE_DOCKER}:{os.environ['PATH']}")
    monkeypatch.setenv("DRY_CONTEXT", str(tmp_path / "missing" / "context"))
    with pytest.raises(PackagingRefusal, match="monai-deploy ended with") as caught:
        package_with_monai_deploy(staged, "lung-nodules-map:1.2.3")
    assert caught.value.code == "packager-failed"
