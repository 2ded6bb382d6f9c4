"""The Kubernetes manifests, as kustomize composes them: valid, closed, and at one with the service that they run."""

from __future__ import annotations

import pytest
import yaml
from kustomized import KUBERNETES, Manifest, Named, by_name, compose, containers, pods, selected
from programs import REPOSITORY

from lung_nodules.archive.settings import DicomwebSettings
from lung_nodules.service.settings import read_service_settings

COMPOSITIONS = ("base", "overlays/gpu", "overlays/gke", "overlays/dimse", "batch")
VERSIONS = ("1.30.0", "1.37.0")
CORE = {
    "v1",
    "apps/v1",
    "batch/v1",
    "policy/v1",
    "networking.k8s.io/v1",
}


@pytest.fixture(scope="module", params=COMPOSITIONS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return compose(KUBERNETES / request.param)


@pytest.fixture(scope="module")
def base() -> Named:
    return by_name(compose(KUBERNETES / "base"))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(manifests: list[Manifest], version: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate")
    for manifest in manifests:
        if manifest["apiVersion"] in CORE:
            kubernetes_validate.validate(manifest, version, strict=True)
        else:
            assert manifest["apiVersion"] == "keda.sh/v1alpha1"


def test_every_pod_is_restricted(manifests: list[Manifest]) -> None:
    """What pod security asks for at its level `restricted`, and a file system that cannot be written to."""
    for name, pod in pods(manifests):
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True, name
        assert context["runAsUser"] > 0
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        assert all("hostPath" not in volume for volume in pod["volumes"])
        for container in containers(pod):
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}
            assert {"cpu", "memory"} <= set(container["resources"]["limits"])
            assert all("secret" not in str(variable).lower() for variable in container.get("env", ()))


def test_images_are_named_with_a_version(manifests: list[Manifest]) -> None:
    for _, pod in pods(manifests):
        for container in containers(pod):
            _, _, tag = container["image"].rpartition(":")
            assert tag[0].isdecimal()


def test_what_is_mounted_is_there(manifests: list[Manifest]) -> None:
    for _, pod in pods(manifests):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in containers(pod):
            assert {mount["name"] for mount in container.get("volumeMounts", ())} <= volumes


def test_the_namespace_holds_pods_to_it(base: Named) -> None:
    labels = base["Namespace", "lung-nodules"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert base["ServiceAccount", "lung-nodules"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", ["base", "overlays/gke", "overlays/dimse"])
def test_nobody_speaks_with_anybody_by_default(name: str) -> None:
    composed = by_name(compose(KUBERNETES / name))
    closed = composed["NetworkPolicy", "default-deny"]["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policies = [
        each["spec"] for (kind, name), each in composed.items() if kind == "NetworkPolicy" and name != "default-deny"
    ]
    rules = [rule for policy in policies for rule in [*policy.get("ingress", ()), *policy.get("egress", ())]]
    for rule in rules:
        assert rule["ports"], "a rule without ports opens all of them"
        assert rule.get("from") or rule.get("to"), "a rule without peers opens to everybody"


@pytest.mark.parametrize("name", ["base", "overlays/dimse"])
def test_policies_and_budgets_select_pods_that_exist(name: str) -> None:
    composed = by_name(compose(KUBERNETES / name))
    selectors = [each["spec"]["podSelector"] for (kind, _), each in composed.items() if kind == "NetworkPolicy"]
    selectors += [each["spec"]["selector"] for (kind, _), each in composed.items() if kind == "PodDisruptionBudget"]
    for selector in selectors:
        assert selected(selector, composed), selector


def test_the_api_is_probed_and_reached(base: Named) -> None:
    (container,) = base["Deployment", "api"]["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health/live", "port": "http"}
    service = base["Service", "api"]["spec"]
    assert service["selector"].items() <= base["Deployment", "api"]["spec"]["template"]["metadata"]["labels"].items()
    assert service["ports"][0]["targetPort"] == container["ports"][0]["name"]


def test_workers_follow_the_queue(base: Named) -> None:
    scaled = base["ScaledObject", "worker"]["spec"]
    assert scaled["scaleTargetRef"] == {"name": "worker"}
    assert "replicas" not in base["Deployment", "worker"]["spec"]
    source = (REPOSITORY / "lung_nodules" / "service" / "api" / "metrics.py").read_text(encoding="utf-8")
    names = {trigger["name"] for trigger in scaled["triggers"]}
    assert set(scaled["advanced"]["scalingModifiers"]["formula"].split(" + ")) == names
    for trigger in scaled["triggers"]:
        metric, _, _ = trigger["metadata"]["valueLocation"].partition("{")
        assert f'"{metric}"' in source


def test_a_pod_is_given_the_time_that_its_worker_takes_to_stop(base: Named) -> None:
    settings = read_service_settings(KUBERNETES / "base" / "service.yaml")
    pod = base["Deployment", "worker"]["spec"]["template"]["spec"]
    assert settings.workers.grace_s + 15 <= pod["terminationGracePeriodSeconds"]


def test_the_settings_are_those_of_the_service(base: Named) -> None:
    """They are valid, ask everybody who they are, and name secrets where the pods mount them."""
    settings = read_service_settings(KUBERNETES / "base" / "service.yaml")
    assert settings.auth.mode == "oidc"
    archive = settings.archives["archive"]
    assert isinstance(archive, DicomwebSettings)
    (container,) = base["Deployment", "api"]["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(settings.database.url_file).startswith(mounts["secrets"])
    assert str(archive.password_file).startswith(mounts["secrets"])
    assert {"name": "LUNG_NODULES_SERVICE_CONFIG", "value": f"{mounts['settings']}/service.yaml"} in container["env"]
    generated = [each for (kind, _), each in base.items() if kind == "ConfigMap"]
    assert yaml.safe_load(generated[0]["data"]["service.yaml"])["host"] == settings.host


def test_a_gpu_is_asked_for_in_its_overlay_alone() -> None:
    for name, wanted in (("base", None), ("overlays/gpu", "1"), ("overlays/gke", "1")):
        limits = {pod: spec["containers"][0]["resources"]["limits"] for pod, spec in pods(compose(KUBERNETES / name))}
        assert limits["worker"].get("nvidia.com/gpu") == wanted
        assert "nvidia.com/gpu" not in limits["api"]


def test_the_batch_has_as_many_parts_as_pods() -> None:
    (job,) = yaml.safe_load_all((KUBERNETES / "batch" / "job.yaml").read_text(encoding="utf-8"))
    spec = job["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert spec["completionMode"] == "Indexed"
    assert container["env"] == [{"name": "PARTS", "value": str(spec["completions"])}]
    assert container["args"][:2] == ["batch", "/cohort"]
    assert container["args"][container["args"].index("--shard") + 1] == "$(PARTS)"
