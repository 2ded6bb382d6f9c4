"""The Task Manager's part of a replay: the container that its docker plug-in creates, and what counts as success.

The parameters are those of ``DockerPlugin.BuildContainerSpecification``, read from the workflow that is shipped, with
one exception: the runtime ``nvidia``, which a machine without a GPU does not have. What is not there: a message broker,
MinIO. An artifact is the host folder that would be uploaded.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from programs import REPOSITORY

from lung_nodules.gateway.workflow import Task

PREFIX = "env_"
IMAGE_WORK_FOLDER = "/var/holoscan"
KILLED = 128 + signal.SIGKILL
LIMIT_S = 300


@dataclass(frozen=True)
class Container:
    """What the plug-in asks the engine for.

    Attributes:
        entrypoint, command: Split at commas.
        environment: From the arguments ``env_X``, as X, and nothing else.
        mounts: Host folder and whether it is read-only, by the path within the container.
        user: None: not given, so that the image's own counts.
    """

    name: str
    image: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    mounts: Mapping[str, tuple[Path, bool]]
    outputs: Mapping[str, Path]
    user: str | None = None
    host_config: Mapping[str, Any] = field(default_factory=dict)  # beyond the plug-in: what a stricter site sets


@dataclass(frozen=True)
class Ended:
    """How a container ended.

    Attributes:
        timed_out: The limit was over: the Workflow Manager failed the task, and the plug-in killed the container.
    """

    exit_code: int
    said: str
    timed_out: bool = False


class Runner(Protocol):
    """Runs what the plug-in asks for."""

    def run(self, container: Container, kill_at: str | None = None, limit_s: float = LIMIT_S) -> Ended:
        """Run to the end, or kill when `kill_at` is in what the application says.

        Args:
            container: What to run.
            kill_at: Words of the application; the host, or whoever kills it, is no manager.
            limit_s: In the place of `timeout_minutes`, which a test cannot wait for.
        """
        ...


def plan_container(task: Task, input_folder: Path, storage: Path, image: str | None = None) -> Container:
    """Make the folders of an execution, and the parameters of its container.

    Args:
        task: Of type docker.
        input_folder: The payload's files; where it holds none, nothing is mounted.
        storage: Folder of this execution; a second call with the same one finds what the first has left.
        image: Instead of the task's own.
    """
    mounts: dict[str, tuple[Path, bool]] = {}
    for artifact in task.artifacts.input:
        if any(path.is_file() for path in input_folder.rglob("*")):
            mounts[task.args[artifact.name]] = (input_folder, True)
    outputs = {artifact.name: storage / "outputs" / artifact.name for artifact in task.artifacts.output}
    for name, folder in outputs.items():
        folder.mkdir(parents=True, exist_ok=True)
        mounts[task.args[name]] = (folder, False)
    if "user" in task.args and os.geteuid() == 0:
        subprocess.run(["chown", "-R", task.args["user"], *outputs.values()], check=True)
    return Container(
        name=f"replay-{os.getpid()}-{time.monotonic_ns()}",
        image=image or task.args["container_image"],
        entrypoint=tuple(task.args["entrypoint"].split(",")),
        command=tuple(task.args["command"].split(",")),
        environment={name.replace(PREFIX, ""): value for name, value in task.args.items() if name.startswith(PREFIX)},
        mounts=mounts,
        outputs=outputs,
        user=task.args.get("user"),
    )


def judge_docker(task: Task, container: Container, ended: Ended) -> str:
    """What the docker plug-in and the Workflow Manager make of a container that has ended, whatever its exit code.

    A task whose time was over has failed before its container ends: what that one left is not looked at.
    """
    if ended.timed_out:
        return "failed"
    missing = [
        artifact.name
        for artifact in task.artifacts.output
        if artifact.mandatory and not any(path.is_file() for path in container.outputs[artifact.name].rglob("*"))
    ]
    return "failed" if missing else "succeeded"


def judge_argo(task: Task, container: Container, ended: Ended) -> str:
    """What Argo makes of it: its phase is Failed with any exit code but 0."""
    return "failed" if ended.exit_code else judge_docker(task, container, ended)


def files_to_export(folder: Path) -> list[Path]:
    """What an export task sends: every object below an artifact whose name ends in ``.dcm``, in any case."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name.lower().endswith(".dcm"))


@dataclass(frozen=True)
class ProcessRunner:
    """Runs the application as a process of this machine, with the container's variables and the image's.

    Paths within the container become those that are mounted there. There is no other user, no read-only file system and
    no network of its own; the docker runner has these.

    Args:
        image_environment: What the image's ENV would give.
        work_folder: For the image's ``/var/holoscan``, where nothing is mounted.
    """

    image_environment: Mapping[str, str]
    work_folder: Path

    def run(self, container: Container, kill_at: str | None = None, limit_s: float = LIMIT_S) -> Ended:
        """See `Runner.run`."""
        environment = {**self.image_environment, **container.environment}
        places = {path: folder for path, (folder, _) in container.mounts.items()} | {
            IMAGE_WORK_FOLDER: self.work_folder
        }
        environment = {name: _path_outside(value, places) for name, value in environment.items()}
        environment["PATH"] = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        program = [
            part.replace("/opt/holoscan/app", str(REPOSITORY)) for part in container.entrypoint + container.command
        ]
        with subprocess.Popen(
            [shutil.which(program[0], path=environment["PATH"]) or program[0], *program[1:]],
            cwd=self.work_folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            timed_out = threading.Event()
            watchdog = threading.Timer(limit_s, lambda: (timed_out.set(), process.kill()))
            watchdog.start()
            said = ""
            assert process.stderr is not None
            for line in process.stderr:
                said += line
                if kill_at and kill_at in line:
                    process.kill()
            watchdog.cancel()
        code = process.wait()
        return Ended(128 - code if code < 0 else code, said, timed_out.is_set())


def _path_outside(value: str, places: Mapping[str, Path]) -> str:
    """A path within the container as that of this machine which is there for it; anything else as it is."""
    for path, folder in places.items():
        if f"{value}/".startswith(f"{path.rstrip('/')}/"):
            return str(folder / value[len(path.rstrip("/")) :].lstrip("/"))
    return value


class DockerRunner:
    """Runs the container by the engine's own interface, as the plug-in does.

    Args:
        server_url: As in the workflow: ``unix:///path``.
    """

    def __init__(self, server_url: str) -> None:
        self._socket = server_url.removeprefix("unix://")

    def has_image(self, image: str) -> bool:
        """Whether the engine answers and has an image; the plug-in would pull it."""
        try:
            return self._ask("GET", f"/images/{quote(image, safe='')}/json")[0] == 200
        except OSError:
            return False

    def run(self, container: Container, kill_at: str | None = None, limit_s: float = LIMIT_S) -> Ended:
        """See `Runner.run`."""
        body: dict[str, Any] = {
            "Image": container.image,
            "Entrypoint": list(container.entrypoint),
            "Cmd": list(container.command),
            "Env": [f"{name}={value}" for name, value in container.environment.items()],
            "HostConfig": {
                "Mounts": [
                    {"Type": "bind", "Source": str(folder), "Target": path, "ReadOnly": read_only}
                    for path, (folder, read_only) in container.mounts.items()
                ],
                **container.host_config,
            },
        }
        if container.user is not None:
            body["User"] = container.user
        status, answer = self._ask("POST", f"/containers/create?name={container.name}", body)
        if status != 201:
            raise RuntimeError(f"the engine creates no container: {answer.decode()}")
        try:
            status, answer = self._ask("POST", f"/containers/{container.name}/start")
            if status != 204:
                raise RuntimeError(f"the engine starts no container: {answer.decode()}")
            return self._wait(container.name, kill_at, limit_s)
        finally:
            self._ask("DELETE", f"/containers/{container.name}?force=1")

    def _wait(self, name: str, kill_at: str | None, limit_s: float) -> Ended:
        """Poll as the plug-in's monitor does, though more often."""
        until, timed_out = time.monotonic() + limit_s, False
        while True:
            state = json.loads(self._ask("GET", f"/containers/{name}/json")[1])["State"]
            said = self._said(name)
            if state["Status"] in ("exited", "dead"):
                return Ended(state["ExitCode"], said, timed_out)
            timed_out = time.monotonic() > until
            if timed_out or (kill_at and kill_at in said):
                self._ask("POST", f"/containers/{name}/kill")
            time.sleep(0.2)

    def _said(self, name: str) -> str:
        """Both streams; each part of them has a head of eight bytes, with its length in the last four."""
        raw = self._ask("GET", f"/containers/{name}/logs?stdout=1&stderr=1")[1]
        said = b""
        while raw:
            length = int.from_bytes(raw[4:8], "big")
            said, raw = said + raw[8 : 8 + length], raw[8 + length :]
        return said.decode()

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("localhost", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.sock.connect(self._socket)
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, f"/v1.41{path}", json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
