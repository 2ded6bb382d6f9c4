"""The parts of the Kubernetes manifests for DIMSE: an archive that is asked, and a listener that is sent to."""

from __future__ import annotations

import ipaddress
import shutil
from pathlib import Path

import pytest
import yaml
from kustomized import KUBERNETES, Manifest, Named, by_name, compose, selected

from lung_nodules.archive.settings import DimseSettings
from lung_nodules.service.settings import ServiceSettings, read_service_settings

PRIVATE = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"}


@pytest.fixture(scope="module")
def dimse() -> Named:
    return by_name(compose(KUBERNETES / "overlays" / "dimse"))


@pytest.fixture(scope="module")
def settings(dimse: Named, tmp_path_factory: pytest.TempPathFactory) -> ServiceSettings:
    """What the pods read, by the service's own reader."""
    (config,) = [each for (kind, _), each in dimse.items() if kind == "ConfigMap"]
    path = tmp_path_factory.mktemp("settings") / "service.yaml"
    path.write_text(config["data"]["service.yaml"], encoding="utf-8")
    return read_service_settings(path)


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    """A copy of the overlay that a test may change."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    return tmp_path / "kubernetes" / "overlays" / "dimse"


def add_component(overlay: Path, name: str) -> Named:
    """What an overlay comes to with one component more."""
    path = overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(path.read_text(encoding="utf-8"))
    kustomization.setdefault("components", []).append(f"../../components/{name}")
    path.write_text(yaml.safe_dump(kustomization), encoding="utf-8")
    return by_name(compose(overlay))


def ports_to(rules: list[Manifest], address: str) -> set[int]:
    """The TCP ports that rules of a policy open to, or for, an address."""
    wanted = ipaddress.ip_address(address)
    return {
        port["port"]
        for rule in rules
        for peer in rule.get("to") or rule["from"]
        if wanted in ipaddress.ip_network(peer["ipBlock"]["cidr"])
        for port in rule["ports"]
    }


def policies_of(manifests: Named, deployment: str, direction: str) -> list[Manifest]:
    """The rules for a deployment's pods whose peers are addresses."""
    return [
        rule
        for (kind, _), each in manifests.items()
        if kind == "NetworkPolicy" and deployment in selected(each["spec"]["podSelector"], manifests)
        for rule in each["spec"].get(direction, ())
        if all("ipBlock" in peer for peer in rule.get("to", rule.get("from", ())))
    ]


def test_api_and_workers_reach_the_archive_and_nobody_beyond(dimse: Named, settings: ServiceSettings) -> None:
    archive = settings.archives["pacs"]
    assert isinstance(archive, DimseSettings)
    for deployment in ("api", "worker"):
        egress = policies_of(dimse, deployment, "egress")
        assert archive.port in ports_to(egress, "10.1.2.3")
        assert archive.port not in ports_to(egress, "8.8.8.8")
    base = by_name(compose(KUBERNETES / "base"))
    assert archive.port not in ports_to(policies_of(base, "worker", "egress"), "10.1.2.3")


def test_the_listener_is_where_its_settings_say(dimse: Named, settings: ServiceSettings) -> None:
    """Container, probes, service and policy name the port that it opens, and workers read from its spool."""
    deployment = dimse["Deployment", "listener"]["spec"]
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["args"] == ["serve", "--only", "listener"]
    assert settings.listener is not None
    assert settings.listener.host == "0.0.0.0"  # the pod's address, as the deployment needs it
    assert container["ports"] == [{"name": "dicom", "containerPort": settings.listener.port}]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["tcpSocket"] == {"port": "dicom"}
    service = dimse["Service", "listener"]["spec"]
    assert selected({"matchLabels": service["selector"]}, dimse) == {"listener"}
    assert [port["targetPort"] for port in service["ports"]] == ["dicom"]
    assert ports_to(policies_of(dimse, "listener", "ingress"), "10.1.2.3") == {settings.listener.port}
    (worker,) = dimse["Deployment", "worker"]["spec"]["template"]["spec"]["containers"]
    assert container["volumeMounts"] == worker["volumeMounts"]


def test_there_is_one_listener_at_a_time(dimse: Named) -> None:
    spec = dimse["Deployment", "listener"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_listener_reaches_the_database_and_is_sent_to_from_private_addresses_alone(
    dimse: Named, settings: ServiceSettings
) -> None:
    assert 5432 in ports_to(policies_of(dimse, "listener", "egress"), "10.1.2.3")
    assert ports_to(policies_of(dimse, "listener", "ingress"), "8.8.8.8") == set()
    assert settings.listener is not None
    assert settings.listener.allowed_ae_titles
    assert settings.listener.allowed_hosts


def test_no_load_balancer_is_public(overlay: Path) -> None:
    composed = add_component(overlay, "c-move")
    services = [each for (kind, _), each in composed.items() if kind == "Service"]
    balanced = [service for service in services if service["spec"].get("type") == "LoadBalancer"]
    assert {service["metadata"]["name"] for service in balanced} == {"listener", "c-move"}
    for service in balanced:
        assert set(service["spec"]["loadBalancerSourceRanges"]) == PRIVATE
        assert service["spec"]["externalTrafficPolicy"] == "Local"  # else senders have a node's address
        notes = service["metadata"]["annotations"]
        assert notes["networking.gke.io/load-balancer-type"] == "Internal"
        assert notes["service.beta.kubernetes.io/aws-load-balancer-scheme"] == "internal"
        assert notes["service.beta.kubernetes.io/azure-load-balancer-internal"] == "true"


def test_nothing_is_watched_where_there_is_no_change_feed(dimse: Named, settings: ServiceSettings) -> None:
    assert settings.watch.archive is None
    assert ("Deployment", "watcher") not in dimse
    assert {name for kind, name in dimse if kind == "Deployment"} == {"api", "worker", "listener"}


def test_c_move_comes_back_to_the_one_worker_there_is(overlay: Path) -> None:
    composed = add_component(overlay, "c-move")
    assert composed["ScaledObject", "worker"]["spec"]["maxReplicaCount"] == 1
    worker = composed["Deployment", "worker"]["spec"]
    assert worker["strategy"] == {"type": "Recreate"}  # never two, not even while one replaces the other
    port = DimseSettings(kind="dimse", host="pacs.example", ae_title="PACS").store_port
    assert worker["template"]["spec"]["containers"][0]["ports"] == [{"name": "c-move", "containerPort": port}]
    service = composed["Service", "c-move"]["spec"]
    assert selected({"matchLabels": service["selector"]}, composed) == {"worker"}
    assert service["ports"] == [{"name": "c-move", "port": port, "targetPort": "c-move"}]
    assert ports_to(policies_of(composed, "worker", "ingress"), "10.1.2.3") == {port}


def test_on_gke_the_listener_has_the_database_s_proxy_and_the_image_of_all(overlay: Path) -> None:
    composed = add_component(overlay.parent / "gke", "listener")
    pod = composed["Deployment", "listener"]["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["initContainers"]] == ["cloud-sql-proxy"]
    images = {
        each["spec"]["template"]["spec"]["containers"][0]["image"]
        for (kind, _), each in composed.items()
        if kind == "Deployment"
    }
    assert len(images) == 1
