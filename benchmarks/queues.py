"""Two queues on PostgreSQL, held against the same misfortunes: what docs/decisions/queue.md was decided by.

The same 20 small jobs run on Procrastinate and on DBOS while worker processes and the database are killed, frozen or
never come back. Each job writes a line when it begins and one when it ends, so that lost and doubled ones are counted
from what was done and not from what a queue says. Both are used as their documentation advises: Procrastinate with
heartbeats and a periodic task that takes up stalled jobs, DBOS with its recovery at start.

DBOS is no dependency of ours: `pip install dbos==3.4.0` first.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lung_nodules.service.database.embedded import EmbeddedServer

NUM_JOBS = 20
JOB_S = 0.5
LEASE_S = 3.0
QUIET_S = 25.0  # nothing has happened for so long: what has not ended is lost


moments = random.Random()  # noqa: S311  # not for cryptography


# What a job does


def note(journal: Path, word: str, number: int) -> None:
    """Append a line in one write, which no kill can tear."""
    with journal.open("a") as file:
        file.write(f"{word} {number} {os.getpid()}\n")


# Procrastinate


def procrastinate_app(url: str, journal: Path):
    """The job, and the task that takes up what stalled workers held, as the documentation shows it."""
    import procrastinate

    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="job", queue="work")
    async def job(number: int, seconds: float) -> None:
        note(journal, "begin", number)
        await asyncio.sleep(seconds)
        note(journal, "end", number)

    @app.periodic(cron="* * * * * */2")
    @app.task(name="stalled", queue="care", queueing_lock="stalled", pass_context=True)
    async def stalled(context: procrastinate.JobContext, timestamp: int) -> None:
        for each in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=LEASE_S):
            await app.job_manager.retry_job(each)

    return app


async def procrastinate_worker(url: str, journal: Path) -> None:
    """One study at a time; the care of stalled jobs runs beside it."""
    app = procrastinate_app(url, journal)
    options = {"update_heartbeat_interval": 0.5, "stalled_worker_timeout": LEASE_S, "install_signal_handlers": False}
    options |= {"fetch_job_polling_interval": 1.0, "abort_job_polling_interval": 1.0}
    async with app.open_async():
        await asyncio.gather(
            app.run_worker_async(queues=["work"], concurrency=1, **options),
            app.run_worker_async(queues=["care"], concurrency=1, **options),
        )


class Procrastinate:
    """Submitting and cancelling."""

    name = "procrastinate"

    def __init__(self, url: str, journal: Path) -> None:
        self.app, self.ids = procrastinate_app(url, journal), {}

    def prepare(self) -> None:
        """Make the tables."""
        with self.app.open():
            self.app.schema_manager.apply_schema()

    def submit(self, number: int, seconds: float = JOB_S, priority: int = 0) -> None:
        """Queue a job."""
        with self.app.open():
            task = self.app.configure_task("job", queue="work", priority=priority)
            self.ids[number] = task.defer(number=number, seconds=seconds)

    def cancel(self, number: int) -> None:
        """Cancel a job, waiting or running."""
        with self.app.open():
            self.app.job_manager.cancel_job_by_id(self.ids[number], abort=True)


# DBOS


def dbos_worker(url: str, journal: Path, name: str) -> None:
    """One workflow at a time, of one step; the executor's name is that of the machine."""
    from dbos import DBOS

    DBOS(config={"name": "bench", "system_database_url": url, "executor_id": name, "application_version": "1"})

    @DBOS.step()
    def read(number: int, seconds: float) -> None:
        note(journal, "begin", number)
        time.sleep(seconds)
        note(journal, "end", number)

    @DBOS.workflow(name="job")
    def job(number: int, seconds: float) -> None:
        read(number, seconds)

    DBOS.launch()
    DBOS.register_queue("work", worker_concurrency=1, polling_interval_sec=0.2)
    while True:
        time.sleep(1)


class Dbos:
    """Submitting and cancelling; in DBOS a lower number goes first."""

    name = "dbos"

    def __init__(self, url: str, journal: Path) -> None:
        self.url, self.ids = url.replace("postgresql://", "postgresql+psycopg://"), {}

    def _client(self):
        from dbos import DBOSClient

        return DBOSClient(system_database_url=self.url, application_name="bench")

    def prepare(self) -> None:
        """A worker makes the tables."""

    def submit(self, number: int, seconds: float = JOB_S, priority: int = 0) -> None:
        """Queue a job."""
        options = {"workflow_name": "job", "queue_name": "work", "workflow_id": f"job-{number}", "app_version": "1"}
        self._client().enqueue({**options, "priority": 100 - priority}, number, seconds)

    def cancel(self, number: int) -> None:
        """Cancel a job, waiting or running."""
        self._client().cancel_workflow(f"job-{number}")


# Misfortunes


class Bench:
    """A database, a queue in it and some workers."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.journal = folder / "journal"
        self.journal.touch()
        self.server = EmbeddedServer(folder)
        self.server.start()
        self.kind, self.workers = kind, {}
        self.queue = {"procrastinate": Procrastinate, "dbos": Dbos}[kind](self.server.url, self.journal)
        self.queue.prepare()

    def start_worker(self, name: str) -> None:
        """Start a worker as the machine of that name."""
        order = [sys.executable, __file__, "--worker", self.kind, self.server.url, str(self.journal), name]
        log = (self.journal.parent / f"{name}.log").open("ab")
        self.workers[name] = subprocess.Popen(order, stdout=log, stderr=log)

    def kill_worker(self, name: str) -> None:
        """As `kill -9`."""
        self.workers[name].kill()
        self.workers[name].wait()

    def revive(self) -> int:
        """Start workers that ended by themselves; the number of those."""
        ended = [name for name, process in self.workers.items() if process.poll() is not None]
        for name in ended:
            self.start_worker(name)
        return len(ended)

    def counted(self, word: str) -> Counter[int]:
        """How often each job began or ended."""
        lines = (line.split() for line in self.journal.read_text().splitlines())
        return Counter(int(number) for said, number, _ in lines if said == word)

    def wait(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Wait until something holds, or for so long."""
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.05)

    def settle(self, numbers: range, *, revived: bool = True) -> None:
        """Wait until all jobs have ended, or nothing has happened for long."""
        quiet_since, size = time.monotonic(), 0
        while len(self.counted("end")) < len(numbers) and time.monotonic() - quiet_since < QUIET_S:
            if revived:
                self.revive()
            if self.journal.stat().st_size != size:
                quiet_since, size = time.monotonic(), self.journal.stat().st_size
            time.sleep(0.2)
        time.sleep(2 * LEASE_S)  # for a late second end

    def close(self) -> None:
        """End everything."""
        for name in self.workers:
            self.workers[name].send_signal(signal.SIGCONT)
            self.kill_worker(name)
        self.server.stop()

    def verdict(self) -> str:
        """What became of the jobs."""
        ends = self.counted("end")
        doubled = sum(1 for count in ends.values() if count > 1)
        return f"{NUM_JOBS - len(ends)} lost, {doubled} ended twice, {self.counted('begin').total()} beginnings"


@contextmanager
def bench(kind: str, num_workers: int) -> Iterator[Bench]:
    """A bench with workers for the length of a block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        made = Bench(kind, Path(folder))
        try:
            for number in range(num_workers):
                made.start_worker(f"machine-{number}")
            time.sleep(15 if kind == "dbos" else 3)  # DBOS makes its tables
            yield made
        finally:
            made.close()


def workers_killed(kind: str) -> str:
    """Ten kills at random moments; each worker is started again after half a second."""
    with bench(kind, 2) as made:
        for number in range(NUM_JOBS):
            made.queue.submit(number)
        for _ in range(10):
            time.sleep(moments.uniform(0.3, 1.2))
            made.kill_worker(moments.choice(list(made.workers)))
            time.sleep(0.5)
            made.revive()
        made.settle(range(NUM_JOBS))
        return made.verdict()


def machine_gone(kind: str) -> str:
    """One of two workers is killed at work, and its machine never comes back."""
    with bench(kind, 2) as made:
        for number in range(NUM_JOBS):
            made.queue.submit(number)
        made.wait(lambda: made.counted("begin").total() >= 4)
        time.sleep(0.2)
        gone = made.workers["machine-0"]
        gone.kill()
        gone.wait()
        del made.workers["machine-0"]
        made.settle(range(NUM_JOBS))
        return made.verdict()


def database_killed(kind: str) -> str:
    """Three kills of the database at random moments, each started again after a second."""
    with bench(kind, 2) as made:
        for number in range(NUM_JOBS):
            made.queue.submit(number)
        ended = 0
        for _ in range(3):
            time.sleep(moments.uniform(0.5, 1.5))
            made.server.process.kill()
            made.server.process.wait()
            time.sleep(1.0)
            made.server.start()
            time.sleep(1.0)
            ended += made.revive()
        made.settle(range(NUM_JOBS))
        return f"{made.verdict()}, {ended} workers ended by themselves"


def worker_frozen(kind: str) -> str:
    """One of two workers stands still for longer than its lease, then goes on."""
    with bench(kind, 2) as made:
        for number in range(NUM_JOBS):
            made.queue.submit(number, 2.0 if number < 4 else JOB_S)
        made.wait(lambda: made.counted("begin").total() >= 2)
        made.workers["machine-0"].send_signal(signal.SIGSTOP)
        time.sleep(LEASE_S * 3)
        made.workers["machine-0"].send_signal(signal.SIGCONT)
        made.settle(range(NUM_JOBS))
        return made.verdict()


def priorities(kind: str) -> str:
    """A stat job comes last and should be read next."""
    with bench(kind, 1) as made:
        for number in range(6):
            made.queue.submit(number, 1.0)
        made.wait(lambda: made.counted("begin").total() >= 1)
        made.queue.submit(99, 0.1, priority=20)
        made.wait(lambda: made.counted("end").total() >= 7)
        order = list(made.counted("begin"))
        return f"the stat job was number {order.index(99) + 1} of {len(order)}"


def cancelled(kind: str) -> str:
    """One job is cancelled while it waits, one while it runs."""
    with bench(kind, 1) as made:
        made.queue.submit(0, 6.0)
        made.queue.submit(1, 0.1)
        made.wait(lambda: made.counted("begin").total() >= 1)
        made.queue.cancel(1)
        made.queue.cancel(0)
        time.sleep(10)
        ran_on, began = made.counted("end")[0], made.counted("begin")[1]
        return f"running: {'ran to its end' if ran_on else 'stopped'}; waiting: {'ran' if began else 'never began'}"


SCENARIOS = (workers_killed, machine_gone, database_killed, worker_frozen, priorities, cancelled)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", nargs=4, metavar=("KIND", "URL", "JOURNAL", "NAME"), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[scenario.__name__ for scenario in SCENARIOS])
    arguments = parser.parse_args()
    if arguments.worker:
        kind, url, journal, name = arguments.worker
        if kind == "procrastinate":
            asyncio.run(procrastinate_worker(url, Path(journal)))
        else:
            dbos_worker(url.replace("postgresql://", "postgresql+psycopg://"), Path(journal), name)
        return
    for scenario in SCENARIOS:
        if scenario.__name__ in arguments.only:
            for kind in ("procrastinate", "dbos"):
                moments.seed(arguments.seed)
                sys.stdout.write(f"| {scenario.__doc__} | {kind} | {scenario(kind)} |\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
