"""The files in deploy/gateway agree with each other and with what the Informatics Gateway takes."""

from __future__ import annotations

import json
import re
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "gateway"
POSTS = {"/config/source": 201, "/config/destination": 409, "/config/ae": 201, "/workflows": 201}


def read(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


@pytest.fixture(params=["workflow-docker.json", "workflow-argo.json"])
def workflow(request: pytest.FixtureRequest) -> Any:
    return read(request.param)


def test_the_entity_waits_for_a_whole_study() -> None:
    entity = read("ae.json")
    assert entity["grouping"] == "0020,000D", "Study Instance UID"
    assert entity["timeout"] >= 30, "a longer pause between two instances would make two payloads of one study"
    assert set(entity["allowedSopClasses"]) == {
        CTImageStorage,
        EnhancedCTImageStorage,
        LegacyConvertedEnhancedCTImageStorage,
    }


def test_workflow_and_gateway_name_the_same_entities(workflow: Any) -> None:
    gateway = workflow["informatics_gateway"]
    assert gateway["ae_title"] == read("ae.json")["aeTitle"]
    assert gateway["data_origins"] == [read("source.json")["name"]]
    assert gateway["export_destinations"] == [read("destination.json")["name"]]


def test_the_manager_waits_longer_than_the_plug_in() -> None:
    task = read("workflow-docker.json")["tasks"][0]
    assert task["timeout_minutes"] > int(task["args"]["task_timeout_minutes"])


def test_both_clients_of_the_gateway_are_told_the_same() -> None:
    told = (FOLDER / "configure-mig-cli.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    entity, source, destination = (read(f"{name}.json") for name in ("ae", "source", "destination"))
    assert f"src add --name {source['name']} --aetitle {source['aeTitle']} --host-ip {source['hostIp']}\n" in told
    assert (
        f"dst add --name {destination['name']} --aetitle {destination['aeTitle']} "
        f"--host-ip {destination['hostIp']} --port {destination['port']}\n" in told
    )
    added = " ".join(re.search(r"mig-cli aet add (.*)", told)[1].split())  # type: ignore[index]
    assert added == (
        f"--name {entity['name']} --aetitle {entity['aeTitle']} --grouping {entity['grouping']} "
        f"--timeout {entity['timeout']} --allowed-sop-classes {' '.join(entity['allowedSopClasses'])}"
    )


def test_the_template_has_the_artifacts_that_its_workflow_names() -> None:
    template = yaml.safe_load((FOLDER / "argo-template.yaml").read_text(encoding="utf-8"))
    task = read("workflow-argo.json")["tasks"][0]
    assert template["metadata"]["name"] == task["args"]["workflow_template_name"]
    entry, step = template["spec"]["templates"]
    assert entry["name"] == template["spec"]["entrypoint"]
    assert entry["steps"][0][0]["template"] == step["name"]
    for side, folder in (("inputs", "input"), ("outputs", "output")):
        names = [artifact["name"] for artifact in task["artifacts"][folder]]
        assert [artifact["name"] for artifact in step[side]["artifacts"]] == names
    paths = {
        artifact["name"]: artifact["path"] for side in ("inputs", "outputs") for artifact in step[side]["artifacts"]
    }
    told = {variable["name"]: variable["value"].rstrip("/") for variable in step["container"]["env"]}
    assert told == {
        "HOLOSCAN_INPUT_PATH": paths["input"],
        "HOLOSCAN_OUTPUT_PATH": paths["output"],
        "LUNG_NODULES_FAILURE_PATH": paths["failure"],
    }
    writable = {mount["mountPath"] for mount in step["container"]["volumeMounts"]}
    assert writable == {paths["output"], paths["failure"], "/tmp"}


def test_the_inference_request_is_one_that_the_gateway_takes(workflow: Any) -> None:
    """The rules are those of the gateway's ``InferenceRequest.Validate``."""
    request = read("inference-request.json")
    assert request["transactionID"].strip()
    assert 0 <= request["priority"] <= 255
    (algorithm,) = (part for part in request["inputResources"] if part["interface"] == "Algorithm")
    assert algorithm["connectionDetails"]["id"] == read("workflow-docker.json")["name"]
    others = [part for part in request["inputResources"] if part["interface"] != "Algorithm"]
    assert others
    for part in others:
        assert part["interface"] == "DICOMweb"
        assert re.fullmatch(r"https?://\S+", part["connectionDetails"]["uri"])
        assert part["connectionDetails"].get("authType", "None") == "None" or part["connectionDetails"]["authID"]
    details = request["inputMetadata"]["details"]
    assert details["type"] == "DICOM_UID"
    assert all(study["StudyInstanceUID"].strip() for study in details["studies"])


def test_the_script_posts_each_file_to_its_place() -> None:
    posted: list[tuple[str, Any]] = []

    class Services(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(POSTS[self.path])
            self.end_headers()

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Services) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        done = subprocess.run(
            [FOLDER / "configure.sh", url, url], capture_output=True, text=True, check=False, timeout=60
        )
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert "destination.json: there already" in done.stdout
    files = ("source.json", "destination.json", "ae.json", "workflow-docker.json")
    assert posted == list(zip(POSTS, map(read, files), strict=True))
