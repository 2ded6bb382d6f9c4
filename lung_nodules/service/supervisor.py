"""The supervisor: starts the service's processes on one machine, starts again those that die, ends them together.

Every child is a process of its own, started by the same commands that one would use on other machines. Should the
supervisor itself be killed, its children end too: each holds the reading end of a pipe of which nobody else has the
writing end, and PostgreSQL is told by the kernel.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lung_nodules.errors import ExitCode, Refusal, UsageRefusal
from lung_nodules.service.database.address import is_embedded
from lung_nodules.service.database.embedded import EmbeddedServer
from lung_nodules.service.settings import CONFIG_VARIABLE, PREFIX, ServiceSettings
from lung_nodules.service.starting import check_data_folder, check_desk, check_parts, join_address

if TYPE_CHECKING:
    import uvicorn

logger = logging.getLogger(__name__)

LIFELINE_VARIABLE = "LUNG_NODULES_LIFELINE"  # number of the pipe's descriptor
_QUICK_S = 5.0  # a child that lived shorter is started again later and later
_LONGEST_PAUSE_S = 30.0
_FIRST_S = 60.0  # a first start that is refused within it is wrong by how the service is set up, not by what changed
_REFUSED = (ExitCode.BAD_USAGE, ExitCode.BAD_MODEL)
_LAST_S = 5.0


class PartRefused(Refusal):
    """A part of the service cannot run as it is set up; it has said why."""

    def __init__(self, name: str, exit_code: ExitCode) -> None:
        super().__init__("part-refused", f"The service ends, because its part {name} cannot start.")
        self.exit_code = exit_code


@dataclass
class Child:
    """One process that is kept running."""

    name: str
    arguments: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    next_start_at: float = 0.0
    num_starts: int = 0
    quick_deaths: int = field(default=0)


def supervise(settings: ServiceSettings, parts: frozenset[str], demo: Path | None = None) -> None:
    """Run the service until SIGTERM or SIGINT.

    Args:
        settings: Of the service.
        parts: What to start of database, api, workers, watch and listener; one that is not configured is passed over.
        demo: DICOM files of a study that an empty service begins with.

    Raises:
        UsageRefusal: ``data-folder-in-use``, ``data-folder-unusable``, ``address-unusable``, or what keeps the database
            from starting.
        ModelRefusal: A model is missing, altered or does not fit.
        PartRefused: A part ended with such a refusal when it was first started.
    """
    check_data_folder(settings.data_folder)
    if parts == {"api"}:
        check_parts(settings, parts)
        run_api(settings)
        return
    if parts == {"listener"}:
        from lung_nodules.service.jobs.listening import run_listener

        check_parts(settings, parts)
        run_listener(settings)
        return
    Supervisor(settings, parts, demo).run()


class Supervisor:
    """See `supervise`."""

    def __init__(self, settings: ServiceSettings, parts: frozenset[str], demo: Path | None = None) -> None:
        self._settings = settings
        self._demo = demo
        self._parts = parts
        self._name = "-".join(sorted(parts))
        self._stop = threading.Event()
        self._server = EmbeddedServer(settings.data_folder) if "database" in parts and is_embedded(settings) else None
        self._lifeline: tuple[int, int] = os.pipe()

    def run(self) -> None:
        """Look whether everything can start, start it, and keep it running."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        run_folder = self._settings.data_folder / "run"
        run_folder.mkdir(parents=True, exist_ok=True)
        children: list[Child] = []
        with _lock(run_folder / f"{self._name}.lock"):
            try:
                check_parts(self._settings, self._parts)
                if self._server is not None:
                    self._server.start()
                if self._parts != {"database"}:
                    check_desk(self._settings)
                config = self._write_settings(run_folder)
                children = self._children(config)
                self._announce()
                while not self._stop.wait(0.2):
                    self._keep_running(children)
            finally:
                self._end(children)

    def _children(self, config: Path) -> list[Child]:
        """What the settings and the parts ask for."""
        settings, children = self._settings, list[Child]()
        if "api" in self._parts:
            children.append(Child("api", ("serve", "--only", "api", "--config", str(config))))
        if "workers" in self._parts:
            names = [f"worker {number + 1}" for number in range(settings.workers.count)]
            children.extend(Child(name, ("worker", "--config", str(config))) for name in names)
        if "watch" in self._parts and settings.watch.archive is not None:
            children.append(Child("watch", ("watch", "--config", str(config))))
        if "listener" in self._parts and settings.listener is not None:
            children.append(Child("listener", ("serve", "--only", "listener", "--config", str(config))))
        return children

    def _write_settings(self, folder: Path) -> Path:
        """All settings as they were found, for the children; there is no secret in them."""
        path = folder / f"{self._name}.yaml"
        path.write_text(json.dumps(self._settings.model_dump(mode="json"), indent=1), encoding="utf-8")  # JSON is YAML
        return path

    def _announce(self) -> None:
        if "api" not in self._parts:
            return
        address = f"http://{join_address(self._settings.host, self._settings.port)}"
        sys.stderr.write(f"The service is at {address}\n")
        if self._demo is not None:
            from lung_nodules.service.demo import submit_demo

            sys.stderr.write(f"A study to look at: {address}/#/studies/{submit_demo(self._settings, self._demo).id}\n")

    def _keep_running(self, children: Sequence[Child]) -> None:
        if self._server is not None and not self._server.is_running():
            logger.error("the database ended; it is started again")
            with suppress(UsageRefusal):  # it is tried again at the next look
                self._server.start()
        for child in children:
            if child.process is not None and child.process.poll() is not None:
                self._bury(child)
            if child.process is None and time.monotonic() >= child.next_start_at:
                self._start(child)

    def _start(self, child: Child) -> None:
        order = [sys.executable, "-m", "lung_nodules", *child.arguments]
        descriptor = self._lifeline[0]
        child.process = subprocess.Popen(
            order, env=self._environment(), pass_fds=(descriptor,), stdin=subprocess.DEVNULL, start_new_session=True
        )
        child.started_at = time.monotonic()
        child.num_starts += 1

    def _environment(self) -> Mapping[str, str]:
        """Ours, but settings come from the file alone."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith((PREFIX, CONFIG_VARIABLE))}
        return {**kept, LIFELINE_VARIABLE: str(self._lifeline[0])}

    def _bury(self, child: Child) -> None:
        assert child.process is not None
        lived_s, code = time.monotonic() - child.started_at, child.process.returncode
        child.process = None
        if child.num_starts == 1 and lived_s < _FIRST_S and code in _REFUSED:
            raise PartRefused(child.name, ExitCode(code))
        child.quick_deaths = child.quick_deaths + 1 if lived_s < _QUICK_S else 0
        pause_s = min(0.5 * 2.0**child.quick_deaths, _LONGEST_PAUSE_S) if child.quick_deaths else 0.0
        child.next_start_at = time.monotonic() + pause_s
        logger.error("%s ended with code %s; it is started again", child.name, code)

    def _end(self, children: Sequence[Child]) -> None:
        """The children first, with the time that a study may need to be put back; the database last."""
        running = [child.process for child in children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + self._settings.workers.grace_s + 15.0
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._server is not None:
            self._server.stop()


def run_api(settings: ServiceSettings) -> None:
    """Serve the API and the page until SIGTERM or SIGINT.

    Raises:
        UsageRefusal: As of `create_app` and `open_desk`.
        ModelRefusal: A model is missing.
    """
    import uvicorn

    server = uvicorn.Server(server_config(settings))
    check_desk(settings)  # a refusal: within the server it would be a traceback
    server.run()


def server_config(settings: ServiceSettings) -> uvicorn.Config:
    """How the API is served."""
    import uvicorn

    from lung_nodules.service.api.app import create_app

    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_config=None,
        access_log=False,  # addresses may hold what a log must not
        proxy_headers=False,  # it would believe whom the environment names: see security/proxies.py
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def end_with_supervisor() -> None:
    """Let this process end when the supervisor that started it is gone; nothing where there is none."""
    descriptor = os.environ.get(LIFELINE_VARIABLE)
    if descriptor is None:
        return

    def wait() -> None:
        with suppress(OSError):
            os.read(int(descriptor), 1)  # nothing is ever written: it returns when the writing end is closed
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(
            _LAST_S
        )  # the database may be gone with the supervisor: then there is nobody to give a study back to
        os._exit(1)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


class _lock:  # noqa: N801  # read as a function
    """Keeps a second supervisor off the same data folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def __enter__(self) -> None:
        import fcntl

        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            sentence = f"Another service uses the data folder {self._path.parent.parent}."
            raise UsageRefusal(
                "data-folder-in-use", sentence, "Stop it, or give another folder with --data."
            ) from error

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
