"""The files in deploy/gateway agree with each other and with what the Informatics Gateway takes."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "gateway"
FILES = ("source.json", "destination.json", "ae.json", "workflow-docker.json")
POSTS = ("/config/source", "/config/destination", "/config/ae", "/workflows")
PAGE_SIZE = 10  # the manager's own


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


def test_the_inference_request_is_one_that_the_gateway_takes() -> None:
    """The rules are those of the gateway's ``InferenceRequest.Validate``."""
    request = read("inference-request.json")
    assert request["transactionID"].strip()
    assert 0 <= request["priority"] <= 255
    (algorithm,) = (part for part in request["inputResources"] if part["interface"] == "Algorithm")
    assert uuid.UUID(algorithm["connectionDetails"]["id"]), "the manager looks for a WorkflowId, never for a name"
    others = [part for part in request["inputResources"] if part["interface"] != "Algorithm"]
    assert others
    for part in others:
        assert part["interface"] == "DICOMweb"
        assert re.fullmatch(r"https?://\S+", part["connectionDetails"]["uri"])
        assert part["connectionDetails"].get("authType", "None") == "None" or part["connectionDetails"]["authID"]
    details = request["inputMetadata"]["details"]
    assert details["type"] == "DICOM_UID"
    assert all(study["StudyInstanceUID"].strip() for study in details["studies"])


class Services:
    """A gateway and a manager that answer as theirs do: what is there already is 409 to the one and 400 to the other.

    Attributes:
        posted: Path and body of each POST, in order.
        faults: What the manager finds wrong with any workflow.
    """

    def __init__(self) -> None:
        self.posted: list[tuple[str, Any]] = []
        self.faults: list[str] = []
        self.workflows: dict[str, str] = {f"other-{number}": str(uuid.uuid4()) for number in range(PAGE_SIZE)}
        self._told: set[str] = set()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        self.posted.append((path, body))
        if path == "/workflows":
            return self._register(body["name"])
        status = 409 if path in self._told else 201
        self._told.add(path)
        return status, body

    def _register(self, name: str) -> tuple[int, Any]:
        taken = [f"Workflow with name '{name}' already exists."] if name in self.workflows else []
        if faults := taken + self.faults:
            return 400, {"status": 400, "detail": f"Failed to validate workflow: {';'.join(faults)}"}
        self.workflows[name] = str(uuid.uuid4())
        return 201, {"workflow_id": self.workflows[name]}

    def page(self, number: int) -> Any:
        revisions = [{"workflow_id": guid, "workflow": {"name": name}} for name, guid in self.workflows.items()]
        start = (number - 1) * PAGE_SIZE
        return {"totalPages": -(-len(revisions) // PAGE_SIZE), "data": revisions[start : start + PAGE_SIZE]}


@contextmanager
def listening(services: Services) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self._answer(*services.post(self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def do_PUT(self) -> None:
            self.do_POST()

        def do_GET(self) -> None:
            self._answer(200, services.page(int(self.path.removeprefix("/workflows?pageNumber="))))

        def _answer(self, status: int, body: Any) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def configure(url: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([FOLDER / "configure.sh", url, url], capture_output=True, text=True, check=False, timeout=60)


def test_the_script_posts_each_file_to_its_place_and_prints_the_workflow_s_id() -> None:
    services = Services()
    with listening(services) as url:
        done = configure(url)
    assert done.returncode == 0, done.stderr
    assert services.posted == list(zip(POSTS, map(read, FILES), strict=True))
    assert done.stdout.splitlines()[-1].endswith(f"done, workflow_id {services.workflows['lung-nodules']}")


def test_a_second_run_of_the_script_changes_nothing_and_prints_the_same_id() -> None:
    services = Services()
    with listening(services) as url:
        first, second = configure(url), configure(url)
    assert second.returncode == 0, second.stderr
    lines = second.stdout.splitlines()
    assert all("there already" in line for line in lines)
    assert len(lines) == len(FILES)
    assert lines[-1].rpartition(" ")[2] == first.stdout.split()[-1] == services.workflows["lung-nodules"]


@pytest.mark.parametrize("is_registered", [True, False])
def test_a_workflow_that_the_manager_finds_faulty_is_no_success(is_registered: bool) -> None:
    services = Services()
    with listening(services) as url:
        if is_registered:
            configure(url)
        services.faults = ["Data origin ORTHANC does not exists."]
        done = configure(url)
    assert done.returncode == 1
    assert "refused with 400" in done.stderr
    assert services.faults[0] in done.stderr


@pytest.mark.parametrize(
    ("first_word", "path", "body"),
    [
        (
            "printf",
            "/workflows/WORKFLOW_ID",
            {"original_workflow_name": "lung-nodules", "workflow": read("workflow-docker.json")},
        ),
        ("curl -H", "/inference", read("inference-request.json")),
    ],
)
def test_the_guide_s_commands_send_what_the_services_take(first_word: str, path: str, body: Any) -> None:
    services = Services()
    with listening(services) as url:
        command = re.sub(r"http://localhost:500\d", url, guide_command(first_word))
        subprocess.run(["bash", "-c", command], cwd=FOLDER.parents[1], capture_output=True, check=True, timeout=60)
    assert services.posted == [(path, body)]


def guide_command(first_word: str) -> str:
    """The first command of the guide that begins so, with the lines that it goes on in."""
    guide = (FOLDER.parents[1] / "docs" / "deploy_gateway.md").read_text(encoding="utf-8")
    found = re.search(rf"^ *({first_word}(?:.*[|\\]\n)*.*)$", guide, re.MULTILINE)
    assert found
    return found[1]


def test_the_guide_needs_no_newer_curl_than_ubuntu_20_04_has() -> None:
    texts = [*FOLDER.glob("*.sh"), *(FOLDER.parents[1] / "docs").glob("*.md"), FOLDER / "README.md"]
    assert not [path.name for path in texts if "curl --json" in path.read_text(encoding="utf-8")]


def test_the_guide_names_managers_that_know_what_the_workflow_asks_for() -> None:
    """`user`, and an image that the host has, came with pull requests 895 and 905, before 0.2.0."""
    guide = (FOLDER.parents[1] / "docs" / "deploy_gateway.md").read_text(encoding="utf-8")
    tags = re.findall(r"^ *(?:WORKFLOW|TASK)_MANAGER_IMAGE=\S+:(\d+)\.(\d+)\.\S+$", guide, re.MULTILINE)
    assert len(tags) == 2
    assert all((int(major), int(minor)) >= (0, 2) for major, minor in tags)
