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
INPUT_DICOM = "context.input.dicom"
_OUTPUT = re.compile(r"context\.executions\.(?P<task>[\w-]+)\.(?:artifacts\.(?P<artifact>[\w-]+)|output_dir)")


def check_dispatch(workflow: Workflow) -> Iterator[Problem]:
    """Yield each reason for which a task would fail when it is started, or a failure would pass for a success."""
    tasks = {task.id: task for task in workflow.tasks}
    for task in workflow.tasks:
        for artifact in task.artifacts.input:
            yield from _check_value(artifact, task, tasks)
        for destination in task.task_destinations:
            if destination.name not in tasks:
                yield Problem("destination-unknown", f"There is no task {destination.name} to go on with.", task.id)
        if task.type.lower() == "docker":
            yield from _check_docker(task)


def _check_value(artifact: Artifact, task: Task, tasks: Mapping[str, Task]) -> Iterator[Problem]:
    """Check the expression that says where an input comes from."""
    value = artifact.value.strip()
    if not value:
        return  # said at registration
    if not re.fullmatch(r"\{\{ \S.*\}\}", value):
        yield Problem("value-not-parsed", f"Input {artifact.name}: write {{{{ context... }}}}, with a blank.", task.id)
        return
    expression = value[2:-2].strip()
    found = _OUTPUT.fullmatch(expression)
    if expression == INPUT_DICOM:
        return
    if found is None:
        yield Problem("value-unknown", f"Input {artifact.name}: nothing is known by {expression}.", task.id)
        return
    source = tasks.get(found["task"])
    names = [output.name for output in source.artifacts.output] if source else []
    if source is None or source is task:
        yield Problem("value-of-no-task", f"Input {artifact.name}: there is no earlier task {found['task']}.", task.id)
    elif found["artifact"] and found["artifact"] not in names:
        sentence = f"Input {artifact.name}: the task {source.id} has no output {found['artifact']}."
        yield Problem("value-of-no-output", sentence, task.id)


def _check_docker(task: Task) -> Iterator[Problem]:
    for name in DOCKER_REQUIRED:
        if not task.args.get(name, "").strip():
            yield Problem("docker-argument-missing", f"The argument {name} is missing.", task.id)
    yield from _check_start(task)
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
    entrypoint = [part.strip() for part in arguments.get("entrypoint", "").split(",")]
    if entrypoint[-1] == "-c" and "," in arguments.get("command", ""):
        sentence = "command has a comma: the shell would run its first part alone, and be given the rest as $0."
        yield Problem("docker-command-split", sentence, task.id)
    if "user" in arguments and not re.fullmatch(r"[\w.-]+(:[\w.-]+)?", arguments["user"]):
        yield Problem("docker-user-invalid", "user is a user, or user:group.", task.id)
    if not re.fullmatch(r"[1-9]\d*", arguments.get("task_timeout_minutes", "5")):
        yield Problem(
            "docker-timeout-invalid", "task_timeout_minutes is a whole number from 1, else 5 counts.", task.id
        )


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
