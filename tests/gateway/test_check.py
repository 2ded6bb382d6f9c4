"""Each rule of the Workflow Manager and of its docker plug-in, broken once in the workflows that are shipped."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lung_nodules.errors import InputRefusal, UsageRefusal
from lung_nodules.gateway.check import check_workflow
from lung_nodules.gateway.workflow import parse_workflow, read_workflow

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "gateway"
DOCKER = json.loads((FOLDER / "workflow-docker.json").read_text(encoding="utf-8"))
ARGO = json.loads((FOLDER / "workflow-argo.json").read_text(encoding="utf-8"))
EXECUTION, FAILURE = "context.executions.lung-nodules", "env_LUNG_NODULES_FAILURE_PATH"
Change = Callable[[dict[str, Any]], object]


def check(document: dict[str, Any], origins: list[str] | None = None) -> list[str]:
    return [problem.code for problem in check_workflow(parse_workflow(json.dumps(document)), origins)]


def put(*path: str | int, to: Any) -> Change:
    """A change of one value of a workflow, named by the way to it."""

    def change(document: dict[str, Any]) -> None:
        part: Any = document
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = to

    return change


def drop(*path: str | int) -> Change:
    """A change that leaves one field of a workflow out."""

    def change(document: dict[str, Any]) -> None:
        part: Any = document
        for step in path[:-1]:
            part = part[step]
        del part[path[-1]]

    return change


def add_task(task_id: str, destination_of: int | None = None, **fields: Any) -> Change:
    """A change that adds a task, and a destination that leads to it."""

    def change(document: dict[str, Any]) -> None:
        document["tasks"].append({"id": task_id, "type": "router", **fields})
        if destination_of is not None:
            document["tasks"][destination_of].setdefault("task_destinations", []).append({"name": task_id})

    return change


REGISTRATION: list[tuple[str, Change]] = [
    ("name-missing", put("name", to=" ")),
    ("version-missing", drop("version")),
    ("gateway-missing", drop("informatics_gateway")),
    ("ae-title-invalid", put("informatics_gateway", "ae_title", to="")),
    ("ae-title-invalid", put("informatics_gateway", "ae_title", to="SIXTEEN-LETTERS-")),
    ("origin-unknown", put("informatics_gateway", "data_origins", to=["ORTHANC", "ELSEWHERE"])),
    ("no-tasks", put("tasks", to=[])),
    ("task-id-invalid", put("tasks", 0, "id", to="lung nodules")),
    ("task-id-twice", put("tasks", 1, "id", to="lung-nodules")),
    ("argument-not-text", put("tasks", 0, "args", "task_timeout_minutes", to=15)),
    ("argument-not-text", put("tasks", 0, "args", "always_pull", to=True)),
    ("type-unknown", put("tasks", 0, "type", to="podman")),
    ("inputs-missing", put("tasks", 1, "artifacts", "input", to=[])),
    ("input-unnamed", put("tasks", 1, "artifacts", "input", 0, "name", to="")),
    ("input-without-value", put("tasks", 1, "artifacts", "input", 0, "value", to=" ")),
    ("output-twice", put("tasks", 0, "artifacts", "output", 1, "name", to="env_HOLOSCAN_OUTPUT_PATH")),
    ("destination-converging", put("tasks", 0, "task_destinations", to=[{"name": "export"}, {"name": "export"}])),
    ("destination-root", put("tasks", 1, "task_destinations", to=[{"name": "lung-nodules"}])),
    ("task-unreferenced", add_task("alone")),
    ("export-destination-missing", put("tasks", 1, "export_destinations", to=[])),
    ("export-destination-twice", put("tasks", 1, "export_destinations", to=[{"name": "ORTHANC"}] * 2)),
    ("export-destination-unlisted", put("informatics_gateway", "export_destinations", to=["ELSEWHERE"])),
]
REGISTRATION_ARGO: list[tuple[str, Change]] = [
    ("argo-template-missing", drop("tasks", 0, "args", "workflow_template_name")),
    ("argo-argument-unknown", put("tasks", 0, "args", "server_url", to="http://argo:2746")),
    ("argo-cpu-invalid", put("tasks", 0, "args", "cpu", to="1.5")),
    ("argo-gpu-invalid", put("tasks", 0, "args", "gpu_required", to="yes")),
    ("argo-priority-invalid", put("tasks", 0, "args", "priority", to="now")),
]
DISPATCH: list[tuple[str, Change]] = [
    *(
        ("docker-argument-missing", drop("tasks", 0, "args", name))
        for name in ("server_url", "entrypoint", "command", "container_image", "temp_storage_container_path")
    ),
    ("docker-url-invalid", put("tasks", 0, "args", "server_url", to="docker")),
    ("docker-command-split", put("tasks", 0, "args", "entrypoint", to="/bin/bash,-c")),
    ("docker-blank-at-comma", put("tasks", 0, "args", "entrypoint", to="/bin/bash, -c")),
    ("docker-blank-at-comma", put("tasks", 0, "args", "command", to="-u, /opt/holoscan/app")),
    ("docker-image-invalid", put("tasks", 0, "args", "container_image", to="lung-nodules map:0.1.0")),
    ("docker-image-invalid", put("tasks", 0, "args", "container_image", to="lung-nodules-map:0.1.0 ")),
    ("docker-user-invalid", put("tasks", 0, "args", "user", to="1000 1000")),
    ("docker-timeout-invalid", put("tasks", 0, "args", "task_timeout_minutes", to="15 min")),
    ("docker-timeouts-crossed", put("tasks", 0, "timeout_minutes", to=10)),
    ("docker-timeouts-crossed", put("tasks", 0, "args", "task_timeout_minutes", to="60")),
    ("docker-artifact-without-path", drop("tasks", 0, "args", "env_LUNG_NODULES_FAILURE_PATH")),
    ("docker-path-relative", put("tasks", 0, "args", "env_HOLOSCAN_INPUT_PATH", to="input/")),
    ("docker-path-twice", put("tasks", 0, "args", "env_LUNG_NODULES_FAILURE_PATH", to="/var/holoscan/output")),
    ("docker-path-twice", put("tasks", 0, "args", "env_MONAI_WORKDIR", to="/var/holoscan/input/")),
    ("docker-failure-unseen", put("tasks", 0, "artifacts", "output", 0, "mandatory", to=False)),
    ("failure-mandatory", put("tasks", 0, "artifacts", "output", 1, "mandatory", to=True)),
    ("failure-mandatory", drop("tasks", 0, "artifacts", "output", 1, "mandatory")),
    (
        "export-of-optional-output",
        put("tasks", 1, "artifacts", "input", 0, "value", to=f"{{{{ {EXECUTION}.artifacts.{FAILURE} }}}}"),
    ),
    ("destination-unknown", put("tasks", 0, "task_destinations", to=[{"name": "export"}, {"name": "nowhere"}])),
    ("value-not-parsed", put("tasks", 0, "artifacts", "input", 0, "value", to="{{context.input.dicom}}")),
    (
        "value-not-parsed",
        put("tasks", 1, "artifacts", "input", 0, "value", to=f"{{{{ {EXECUTION}.output_dir}}}}"),
    ),
    ("value-unknown", put("tasks", 0, "artifacts", "input", 0, "value", to="{{ context.input.fhir }}")),
    (
        "value-of-no-task",
        put("tasks", 1, "artifacts", "input", 0, "value", to="{{ context.executions.lungs.output_dir }}"),
    ),
    (
        "value-of-no-output",
        put("tasks", 1, "artifacts", "input", 0, "value", to="{{ context.executions.lung-nodules.artifacts.x }}"),
    ),
]


@pytest.mark.parametrize("document", [DOCKER, ARGO], ids=["docker", "argo"])
def test_the_shipped_workflows_have_no_problem(document: dict[str, Any]) -> None:
    assert check(document, ["ORTHANC"]) == []


@pytest.mark.parametrize(
    ("document", "code", "change"),
    [
        *((DOCKER, *case) for case in REGISTRATION),
        *((ARGO, *case) for case in REGISTRATION_ARGO),
        *((DOCKER, *case) for case in DISPATCH),
    ],
)
def test_each_rule_is_held(document: dict[str, Any], code: str, change: Change) -> None:
    broken = copy.deepcopy(document)
    change(broken)
    if code == "docker-command-split":
        broken["tasks"][0]["args"]["command"] = "python3,/opt/holoscan/app"
    assert code in check(broken, ["ORTHANC"])


def test_every_problem_that_can_be_found_has_a_broken_workflow() -> None:
    package = FOLDER.parents[1] / "lung_nodules" / "gateway"
    text = "".join((package / name).read_text(encoding="utf-8") for name in ("registration.py", "dispatch.py"))
    known = set(re.findall(r'Problem\(\s*"([a-z-]+)"', text))
    assert known == {code for code, _ in (*REGISTRATION, *REGISTRATION_ARGO, *DISPATCH)}


def test_a_shell_takes_a_command_with_blanks() -> None:
    changed = copy.deepcopy(DOCKER)
    changed["tasks"][0]["args"] |= {"entrypoint": "/bin/bash,-c", "command": "python3 /opt/holoscan/app"}
    assert check(changed) == []


@pytest.mark.parametrize(
    ("task", "value"),
    [
        (0, "{{ context.input.dicom }}/1.2.3"),
        (0, "{{ context.input.dicom}}"),
        (1, f"{{{{ {EXECUTION}.output_dir }}}}/env_HOLOSCAN_OUTPUT_PATH"),
    ],
)
def test_a_folder_may_follow_the_braces(task: int, value: str) -> None:
    changed = copy.deepcopy(DOCKER)
    changed["tasks"][task]["artifacts"]["input"][0]["value"] = value
    assert check(changed) == []


@pytest.mark.parametrize(
    "image",
    [
        "debian",
        "registry:5000/lung_nodules/map:0.1.0",
        "ghcr.io/a/b--c@sha256:" + "0" * 64,
        "127.0.0.1:5000/lung-nodules-map",
    ],
)
def test_images_have_many_names(image: str) -> None:
    changed = copy.deepcopy(DOCKER)
    changed["tasks"][0]["args"]["container_image"] = image
    assert check(changed) == []


def test_an_argument_without_quotation_marks_is_read_as_its_text() -> None:
    changed = copy.deepcopy(DOCKER)
    changed["tasks"][0]["args"]["task_timeout_minutes"] = 0
    assert check(changed) == ["argument-not-text", "docker-timeout-invalid"]


def test_without_a_timeout_the_manager_s_own_counts() -> None:
    changed = copy.deepcopy(DOCKER)
    del changed["tasks"][0]["timeout_minutes"]
    assert check(changed) == []


def test_names_of_fields_are_read_in_any_case_as_the_manager_does() -> None:
    changed = copy.deepcopy(DOCKER)
    changed["tasks"][1]["export_destinations"] = [{"Name": "ORTHANC"}]
    changed["Tasks"] = changed.pop("tasks")
    changed["description"] = None
    assert check(changed) == []


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{", "workflow-not-json", "not JSON"),
        ("[]", "workflow-malformed", "the whole"),
        ('{"tasks": [{"args": {"cpu": {}}}]}', "workflow-malformed", r"tasks\.0\.args\.cpu"),
    ],
)
def test_what_is_no_workflow_is_refused(text: str, code: str, words: str) -> None:
    with pytest.raises(InputRefusal, match=words) as refused:
        parse_workflow(text)
    assert refused.value.code == code


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageRefusal, match="cannot be opened"):
        read_workflow(tmp_path / "none.json")


def test_a_problem_names_its_task() -> None:
    changed = copy.deepcopy(DOCKER)
    del changed["tasks"][0]["args"]["command"]
    (problem,) = check_workflow(parse_workflow(json.dumps(changed)))
    assert str(problem) == "task lung-nodules: The argument command is missing. [docker-argument-missing]"
