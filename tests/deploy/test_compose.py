"""The compose files: valid by the specification, closed by default, and at one with the service that they start."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from programs import REPOSITORY

from lung_nodules.errors import UsageRefusal
from lung_nodules.service.settings import check_address, read_service_settings

DEPLOY = REPOSITORY / "deploy"
FILES = ("compose.yaml", "compose.debian.yaml", "compose.gpu.yaml")
OURS = ("api", "worker", "watcher")


def interpolated(name: str) -> dict[str, Any]:
    """A compose file with the defaults of its variables."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return document


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = interpolated("compose.yaml")["services"]
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_the_compose_specification_allows(name: str) -> None:
    compose_spec = pytest.importorskip("compose_spec")
    document = interpolated(name)
    for service in document["services"].values():  # this reader knows a tag or a digest, the specification both
        service["image"] = service.get("image", "none").partition("@")[0]
    read = compose_spec.PyCompose.from_json(json.dumps(document))
    assert set(read.service_names()) == set(document["services"])


@pytest.mark.parametrize("more", [(), ("compose.debian.yaml",), ("compose.gpu.yaml",)])
def test_the_files_go_together(more: tuple[str, ...], tmp_path: Path) -> None:
    command = next((found for found in (_plugin(), shutil.which("docker-compose")) if found), None)
    if command is None:
        pytest.skip("there is neither `docker compose` nor docker-compose")
    words = command.split()
    if "compose.gpu.yaml" in more and words[0] != "docker":
        pytest.skip("devices of `deploy` are for Compose 2")
    files = [word for name in ("compose.yaml", *more) for word in ("-f", str(DEPLOY / name))]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([*words, *files, "config", "--quiet"], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()


def _plugin() -> str | None:
    if shutil.which("docker") is None:
        return None
    done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    return None if done.returncode else "docker compose"


def test_a_linter_for_security_finds_nothing_serious() -> None:
    pytest.importorskip("compose_lint")
    command = [str(Path(sys.executable).with_name("compose-lint")), "check", "--fail-on", "high", "--format", "json"]
    done = subprocess.run([*command, DEPLOY / "compose.yaml"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    found = {(each["service"], each["rule_id"]) for each in _findings(json.loads(done.stdout))}
    # an image of ours and one whose digest no public source names; the one-shot service that gives a volume away
    allowed = {(name, "CL-0019") for name in (*OURS, "archive-volume", "viewer")} | {("archive-volume", "CL-0018")}
    assert found <= allowed


def _findings(said: Any) -> list[dict[str, Any]]:
    return said if isinstance(said, list) else said.get("findings", [])


def test_nothing_is_published_beyond_this_machine(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert interpolated("compose.yaml")["networks"]["inside"] == {"internal": True}


def test_the_service_knows_where_its_page_is_published_and_would_refuse_a_public_place(
    services: dict[str, dict[str, Any]],
) -> None:
    published = services["api"]["environment"]["LUNG_NODULES_SERVICE__PUBLISHED"]
    assert f"{published}:8080" in services["viewer"]["ports"]
    settings = read_service_settings(DEPLOY / "compose" / "service.yaml", {"published": published})
    assert settings.auth.mode == "none"
    with pytest.raises(UsageRefusal, match="insecure-address"):
        check_address(settings.model_copy(update={"published": "0.0.0.0:8080"}))


def test_every_service_is_hardened(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
        assert not {"privileged", "pid", "ipc", "devices"} & set(service)
        if name != "archive-volume":
            assert not service["user"].startswith("0")
            assert "cap_add" not in service
    once = services["archive-volume"]
    assert (once["cap_add"], once["network_mode"], once["restart"]) == (["CHOWN"], "none", "no")


def test_only_the_door_and_the_archive_have_a_way_out(services: dict[str, dict[str, Any]]) -> None:
    outside = {name for name, service in services.items() if "outside" in service.get("networks", ())}
    assert outside == {"viewer", "archive"}


def test_no_secret_is_in_a_file_that_is_committed(services: dict[str, dict[str, Any]]) -> None:
    secrets = interpolated("compose.yaml")["secrets"]
    assert all(secret["file"].startswith("./compose/secrets/") for secret in secrets.values())
    ignored = (DEPLOY / "compose" / ".gitignore").read_text(encoding="utf-8").split()
    assert "secrets/" in ignored
    for name, service in services.items():
        for variable, value in service.get("environment", {}).items():
            assert "PASSWORD" not in variable or variable.endswith("_FILE"), (name, variable, value)


def test_servers_say_whether_they_are_well(services: dict[str, dict[str, Any]]) -> None:
    assert all("healthcheck" in services[name] for name in ("database", "archive", "viewer", "api"))


def test_the_archive_is_one_without_known_holes(services: dict[str, dict[str, Any]]) -> None:
    """Orthanc before 1.12.11 carries CVE-2026-5437 to -5445."""
    version = re.search(r":(\d+)\.(\d+)\.(\d+)", services["archive"]["image"])
    assert version is not None
    assert tuple(map(int, version.groups())) >= (1, 12, 11)
    assert "@sha256:" in services["archive"]["image"]
    assert "@sha256:" in services["database"]["image"]


def test_the_settings_are_the_services_own(services: dict[str, dict[str, Any]]) -> None:
    settings = read_service_settings(DEPLOY / "compose" / "service.yaml")
    assert settings.host == "127.0.0.1"
    mounted = {f"/run/secrets/{name}" for name in services["api"]["secrets"]}
    archive = settings.archives[settings.destinations[0]]
    assert {str(settings.database.url_file), str(getattr(archive, "password_file", ""))} == mounted
    assert settings.watch.archive == "archive"
    assert [str(network) for network in settings.trusted_proxies] == ["127.0.0.1/32"]  # `viewer`'s nginx


def test_the_debian_variant_changes_images_alone(services: dict[str, dict[str, Any]]) -> None:
    debian = interpolated("compose.debian.yaml")["services"]
    assert set(debian) == set(services) - set(OURS)
    assert {key for service in debian.values() for key in service} == {"image", "build"}
    for service in debian.values():
        assert (REPOSITORY / service["build"]["dockerfile"]).is_file()


def test_our_image_is_built_once_and_before_it_is_needed(services: dict[str, dict[str, Any]]) -> None:
    assert [name for name, service in services.items() if "build" in service] == ["archive-volume"]
    assert {services[name]["image"] for name in (*OURS, "archive-volume")} == {"lung-nodules-service:0.1.0"}
    assert "archive-volume" in services["archive"]["depends_on"]
    assert all("archive" in services[name]["depends_on"] for name in ("viewer", "worker", "watcher"))


def test_prepare_makes_secrets_once_and_for_nobody_else(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "compose" / "prepare.sh", tmp_path)
    for _ in range(2):
        subprocess.run([tmp_path / "prepare.sh"], check=True, capture_output=True)
        written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "secrets").iterdir()}
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    names = {Path(secret["file"]).name for secret in interpolated("compose.yaml")["secrets"].values()}
    assert set(written) == names
    assert len(written["database_password"]) == 48
    assert written["database_password"] in written["database_url"]
    users = json.loads(written["archive_users.json"])["RegisteredUsers"]
    assert users == {"lung-nodules": written["archive_password"], "viewer": users["viewer"]}
    assert len(set(users.values())) == 2
    (encoded,) = re.findall(r'"Basic (\S+)"', written["viewer_authorization.conf"])
    assert base64.b64decode(encoded).decode() == f"viewer:{users['viewer']}"


def test_prepare_makes_the_accounts_of_the_archive_anew_and_leaves_the_database_alone(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "compose" / "prepare.sh", tmp_path)
    subprocess.run([tmp_path / "prepare.sh"], check=True, capture_output=True)
    secrets = tmp_path / "secrets"
    before = {path.name: path.read_text(encoding="utf-8") for path in secrets.iterdir()}
    (secrets / "archive_users.json").unlink()
    subprocess.run([tmp_path / "prepare.sh"], check=True, capture_output=True)
    changed = {path.name for path in secrets.iterdir() if path.read_text(encoding="utf-8") != before[path.name]}
    assert changed == {"archive_password", "archive_users.json", "viewer_authorization.conf"}


def test_orthanc_is_closed_but_for_what_is_needed() -> None:
    orthanc = json.loads((DEPLOY / "compose" / "orthanc.json").read_text(encoding="utf-8"))
    assert orthanc["AuthenticationEnabled"] is True
    assert orthanc["ExecuteLuaEnabled"] is False
    assert orthanc["OverwriteInstances"] is False
    assert "RegisteredUsers" not in orthanc


def test_the_archive_is_given_the_script_that_its_configuration_names(services: dict[str, dict[str, Any]]) -> None:
    orthanc = json.loads((DEPLOY / "compose" / "orthanc.json").read_text(encoding="utf-8"))
    mounted = dict(volume.split(":")[:2][::-1] for volume in services["archive"]["volumes"])
    for script in orthanc["LuaScripts"]:
        assert (DEPLOY / mounted[script]).is_file()


def test_the_viewer_answers_to_names_of_this_machine_alone() -> None:
    """Else a page of the web reads the archive by a name of its own that leads here (DNS rebinding)."""
    text = (DEPLOY / "compose" / "nginx.conf").read_text(encoding="utf-8")
    _, page, strangers, viewer = re.split(r"^    server \{$", text, flags=re.MULTILINE)
    assert "listen 8080;" in page
    assert re.findall(r"^ {8}(\S.*);$", strangers.partition("}")[0], re.MULTILINE) == [
        "listen 8081 default_server",
        "return 421",
    ]
    assert "listen 8081;" in viewer
    assert re.findall(r"server_name (.*?);", viewer) == ["localhost 127.0.0.1 [::1]"]


def test_the_door_gives_no_metrics() -> None:
    text = (DEPLOY / "compose" / "nginx.conf").read_text(encoding="utf-8")
    _, page, *_ = re.split(r"^    server \{$", text, flags=re.MULTILINE)
    assert re.search(r"location = /metrics \{\s*return 404;\s*\}", page)


def test_the_build_context_is_what_is_named() -> None:
    """An allow-list: a virtual environment, data or a secret never reaches the engine."""
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert not any("secret" in rule or rule in ("!.", "!deploy", "!**") for rule in rules)
    dockerfile = (DEPLOY / "service.Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["1000:1000"]
