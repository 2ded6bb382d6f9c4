"""What shows only when a workflow runs: the registration takes it, and the task then fails or seems to succeed.

For a docker task the Workflow Manager checks no argument at registration; the Task Manager's plug-in does when it
starts the container (``Plug-ins/Docker/DockerPlugin.cs``). Other rules are about what a failed run looks like: the
plug-in does not look at the exit code, so that a missing mandatory output is the one sign of failure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from lung_nodules.gateway.problem import Problem
from lung_nodules.gateway.workflow import Artifact, Task, Workflow

DOCKER_REQUIRED = ("server_url", "entrypoint", "command", "container_image", "temp_storage_container_path")
WORK_FOLDER = "env_MONAI_WORKDIR"
FAILURE_OUTPUTS = ("env_LUNG_NODULES_FAILURE_PATH", "failure")  # in the workflows for docker and for Argo
INPUT_DICOM = "context.input.dicom"
MANAGER_TIMEOUT_MINUTES = 60  # the Workflow Manager's, where a task has no timeout_minutes
PLUGIN_TIMEOUT_MINUTES = 5  # the plug-in's, where there is no task_timeout_minutes
_VALUE = re.compile(r"\{\{ (?P<expression>\S+?)(?P<blank> *)\}\}(?:/\S*)?")  # a folder may follow the braces
_OUTPUT = re.compile(r"context\.executions\.(?P<task>[\w-]+)\.(?:artifacts\.(?P<artifact>[\w-]+)|output_dir)")
_HOST = r"[\w.-]+(?::\d+)?/"
_NAME = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_IMAGE = re.compile(rf"(?:{_HOST})?{_NAME}(?:/{_NAME})*(?::\w[\w.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?", re.ASCII)


def check_dispatch(workflow: Workflow) -> Iterator[Problem]:
    """Yield each reason for which a task would fail when it is started, or a failure would pass for a success."""
    tasks = {task.id: task for task in workflow.tasks}
    for task in workflow.tasks:
        for artifact in task.artifacts.input:
            yield from _check_value(artifact, task, tasks)
        for destination in task.task_destinations:
            if destination.name not in tasks:
                yield Problem("destination-unknown", f"There is no task {destination.name} to go on with.", task.id)
        for artifact in task.artifacts.output:
            if artifact.name in FAILURE_OUTPUTS and artifact.mandatory:
                sentence = f"The output {artifact.name} is mandatory, and a run that succeeds leaves it empty."
                yield Problem("failure-mandatory", sentence, task.id)
        if task.type.lower() == "docker":
            yield from _check_docker(task)


def _check_value(artifact: Artifact, task: Task, tasks: Mapping[str, Task]) -> Iterator[Problem]:
    """Check the expression that says where an input comes from."""
    value = artifact.value.strip()
    if not value:
        return  # said at registration
    parsed = _VALUE.fullmatch(value)
    expression = parsed["expression"] if parsed else ""
    if expression == INPUT_DICOM:
        return
    if parsed is None or not parsed["blank"]:
        yield Problem("value-not-parsed", f"Input {artifact.name}: write {{{{ context... }}}}, with blanks.", task.id)
        return
    found = _OUTPUT.fullmatch(expression)
    if found is None:
        yield Problem("value-unknown", f"Input {artifact.name}: nothing is known by {expression}.", task.id)
        return
    source = tasks.get(found["task"])
    outputs = {output.name: output for output in source.artifacts.output} if source else {}
    if source is None or source is task:
        yield Problem("value-of-no-task", f"Input {artifact.name}: there is no earlier task {found['task']}.", task.id)
    elif found["artifact"] and found["artifact"] not in outputs:
        sentence = f"Input {artifact.name}: the task {source.id} has no output {found['artifact']}."
        yield Problem("value-of-no-output", sentence, task.id)
    elif found["artifact"] and task.type.lower() == "export" and not outputs[found["artifact"]].mandatory:
        sentence = f"Input {artifact.name}: {found['artifact']} is optional; the export fails where it is not there."
        yield Problem("export-of-optional-output", sentence, task.id)


def _check_docker(task: Task) -> Iterator[Problem]:
    for name in DOCKER_REQUIRED:
        if not task.args.get(name, "").strip():
            yield Problem("docker-argument-missing", f"The argument {name} is missing.", task.id)
    yield from _check_start(task)
    yield from _check_timeouts(task)
    yield from _check_mounts(task)
    if not any(artifact.mandatory for artifact in task.artifacts.output):
        sentence = "No output is mandatory: a run that leaves nothing would pass for a success."
        yield Problem("docker-failure-unseen", sentence, task.id)


def _check_start(task: Task) -> Iterator[Problem]:
    """Check what starts the container; its parts are split at commas, which nothing can escape."""
    arguments = task.args
    url = urlsplit(arguments.get("server_url", ""))
    if arguments.get("server_url") and not (url.scheme and (url.netloc or url.path)):
        yield Problem("docker-url-invalid", "server_url is no absolute address.", task.id)
    entrypoint = arguments.get("entrypoint", "").split(",")
    command = arguments.get("command", "").split(",")
    runs_shell = entrypoint[-1].strip() == "-c"  # a shell reads its command itself, blanks at its ends included
    parts = entrypoint if runs_shell else [*entrypoint, *command]
    if any(part != part.strip() for part in parts):
        sentence = "entrypoint or command has a blank beside a comma or at an end: it would be part of the argument."
        yield Problem("docker-blank-at-comma", sentence, task.id)
    if runs_shell and len(command) > 1:
        sentence = "command has a comma: the shell would run its first part alone, and be given the rest as $0."
        yield Problem("docker-command-split", sentence, task.id)
    if "user" in arguments and not re.fullmatch(r"[\w.-]+(:[\w.-]+)?", arguments["user"]):
        yield Problem("docker-user-invalid", "user is a user, or user:group.", task.id)
    image = arguments.get("container_image", "")
    if image.strip() and not _IMAGE.fullmatch(image):
        yield Problem("docker-image-invalid", f"No image can be named {image!r}.", task.id)


def _check_timeouts(task: Task) -> Iterator[Problem]:
    """Check that the plug-in stops watching before the manager fails the task and kills the container."""
    watched = task.args.get("task_timeout_minutes", str(PLUGIN_TIMEOUT_MINUTES))
    if not re.fullmatch(r"[1-9]\d*", watched):
        sentence = f"task_timeout_minutes is a whole number from 1, else {PLUGIN_TIMEOUT_MINUTES} counts."
        yield Problem("docker-timeout-invalid", sentence, task.id)
        return
    allowed = task.timeout_minutes if task.timeout_minutes > 0 else MANAGER_TIMEOUT_MINUTES
    if allowed <= int(watched):
        sentence = f"timeout_minutes ({allowed:g}) is not longer than task_timeout_minutes ({watched})."
        yield Problem("docker-timeouts-crossed", sentence, task.id)


def _check_mounts(task: Task) -> Iterator[Problem]:
    """Check that each artifact is named as the argument that gives its folder within the container."""
    names = [artifact.name for artifact in (*task.artifacts.input, *task.artifacts.output) if artifact.name]
    if WORK_FOLDER in task.args:
        names.append(WORK_FOLDER)
    paths = {name: task.args[name] for name in names if name in task.args}
    for name in names:
        if name not in paths:
            yield Problem("docker-artifact-without-path", f"No argument is named as the artifact {name}.", task.id)
        elif not paths[name].startswith("/"):
            yield Problem("docker-path-relative", f"{name} is no absolute path within the container.", task.id)
    mounted = Counter(paths[name].rstrip("/") for name in names if name in paths)
    for path, count in mounted.items():
        if count > 1:
            yield Problem("docker-path-twice", f"{count} artifacts would be mounted at {path}.", task.id)
