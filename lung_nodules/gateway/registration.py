"""What the Workflow Manager checks when a workflow is registered, before anything runs.

The rules are those of its ``WorkflowValidator`` (Project-MONAI/monai-deploy-workflow-manager at 9e10e95). Not looked at
are the arguments of task types that this application does not use: e-mail, clinical review, remote execution.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator

from lung_nodules.gateway.problem import Problem
from lung_nodules.gateway.workflow import Gateway, Task, Workflow

TASK_TYPES = (
    "argo",
    "docker",
    "router",
    "export",
    "export_hl7",
    "email",
    "aide_clinical_review",
    "remote_app_execution",
)
LONGEST_AE_TITLE = 15  # characters: one less than DICOM allows
ARGO_TEMPLATE = "workflow_template_name"
ARGO_ARGUMENTS = (ARGO_TEMPLATE, "priority", "cpu", "memory", "gpu_required")
ARGO_PRIORITIES = ("high", "standard", "low")


def check_registration(workflow: Workflow, known_origins: Collection[str] | None = None) -> Iterator[Problem]:
    """Yield each reason for which the Workflow Manager would not take a workflow.

    Args:
        workflow: As it would be posted.
        known_origins: Names of the sources that the Informatics Gateway knows; None: not known, and not checked.
    """
    yield from _check_head(workflow, known_origins)
    if not workflow.tasks:
        yield Problem("no-tasks", "The workflow has no task.")
    for task in workflow.tasks:
        yield from _check_task(task, workflow.informatics_gateway or Gateway())
    yield from _check_links(workflow.tasks)


def _check_head(workflow: Workflow, known_origins: Collection[str] | None) -> Iterator[Problem]:
    if not workflow.name.strip():
        yield Problem("name-missing", "The workflow has no name.")
    if not workflow.version.strip():
        yield Problem("version-missing", "The workflow has no version.")
    gateway = workflow.informatics_gateway
    if gateway is None:
        yield Problem("gateway-missing", "The workflow has no informatics_gateway.")
        return
    if not gateway.ae_title.strip() or len(gateway.ae_title) > LONGEST_AE_TITLE:
        yield Problem("ae-title-invalid", f"The AE title must have 1 to {LONGEST_AE_TITLE} characters.")
    if known_origins is not None:
        for origin in gateway.data_origins:
            if origin not in known_origins:
                yield Problem("origin-unknown", f"The gateway knows no source named {origin}.")


def _check_task(task: Task, gateway: Gateway) -> Iterator[Problem]:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", task.id):
        yield Problem("task-id-invalid", "A task's id consists of letters, digits, - and _.", task.id)
    for name in task.unquoted_args:
        yield Problem("argument-not-text", f"The argument {name} is no text: put it into quotation marks.", task.id)
    outputs = [artifact.name for artifact in task.artifacts.output]
    if len(set(outputs)) < len(outputs):
        yield Problem("output-twice", "Two outputs have the same name.", task.id)
    if task.type.lower() not in TASK_TYPES:
        yield Problem(
            "type-unknown", f"There is no task type {task.type!r}; there are {', '.join(TASK_TYPES)}.", task.id
        )
        return
    if task.type.lower() != "router":
        yield from _check_inputs(task)
    if task.type.lower() == "argo":
        yield from _check_argo(task)
    yield from _check_export(task, gateway)


def _check_inputs(task: Task) -> Iterator[Problem]:
    inputs = task.artifacts.input
    if not inputs:
        yield Problem("inputs-missing", "The task has no input.", task.id)
    if not all(artifact.name.strip() for artifact in inputs):
        yield Problem("input-unnamed", "An input has no name.", task.id)
    if not all(artifact.value.strip() for artifact in inputs):
        yield Problem("input-without-value", "An input has no value.", task.id)


def _check_argo(task: Task) -> Iterator[Problem]:
    arguments = task.args
    if ARGO_TEMPLATE not in arguments:
        yield Problem("argo-template-missing", f"The argument {ARGO_TEMPLATE} is missing.", task.id)
    unknown = sorted(set(arguments) - set(ARGO_ARGUMENTS))
    if unknown:
        sentence = f"Not among the arguments {', '.join(ARGO_ARGUMENTS)}: {', '.join(unknown)}."
        yield Problem("argo-argument-unknown", sentence, task.id)
    if arguments.get("priority", "low").lower() not in ARGO_PRIORITIES:
        yield Problem("argo-priority-invalid", f"priority is one of {', '.join(ARGO_PRIORITIES)}.", task.id)
    if not re.fullmatch(r"[1-9]\d*", arguments.get("cpu", "1")):
        yield Problem("argo-cpu-invalid", "cpu is a whole number from 1.", task.id)
    if arguments.get("gpu_required", "false").lower() not in ("true", "false"):
        yield Problem("argo-gpu-invalid", "gpu_required is true or false.", task.id)


def _check_export(task: Task, gateway: Gateway) -> Iterator[Problem]:
    names = [destination.name for destination in task.export_destinations]
    if task.type.lower() in ("export", "remote_app_execution") and not names:
        yield Problem("export-destination-missing", "The task exports to no destination.", task.id)
    if len(set(names)) < len(names):
        yield Problem("export-destination-twice", "A destination is named twice.", task.id)
    for name in dict.fromkeys(names):
        if name not in gateway.export_destinations:
            sentence = f"The destination {name} is not among the export_destinations of informatics_gateway."
            yield Problem("export-destination-unlisted", sentence, task.id)


def _check_links(tasks: tuple[Task, ...]) -> Iterator[Problem]:
    for task_id, count in Counter(task.id for task in tasks).items():
        if count > 1:
            yield Problem("task-id-twice", "Two tasks have the same id.", task_id)
    reached = Counter(destination.name for task in tasks for destination in task.task_destinations)
    for name, count in reached.items():
        if count > 1:
            yield Problem("destination-converging", f"{count} destinations lead to the task {name}: there may be one.")
        if tasks and name == tasks[0].id:
            yield Problem("destination-root", f"A destination leads back to the first task, {name}.")
    for task in tasks[1:]:
        if task.id not in reached:
            yield Problem("task-unreferenced", "No destination leads to the task.", task.id)
