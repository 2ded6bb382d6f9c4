"""What the service itself costs: `make bench` prints it beside the line's seconds.

200 studies wait, two workers read them, and the analysis is a fixed delay in the line's place. Throughput is held
against the ideal, which is the delay alone, shared by the workers. While they are busy, and again when all is done, the
state of jobs is asked for over HTTP, one request after another; the 50th and 99th percentile of the answers' time are
given side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests"), str(REPOSITORY / "tests" / "service" / "jobs")]

import fixed_analysis  # noqa: E402  # after the path
from service_fixtures import write_study  # noqa: E402  # after the path

from lung_nodules.service.jobs.desk import open_desk  # noqa: E402  # after the path
from lung_nodules.service.jobs.model import ENDED, Job, JobOrder, JobState, Source  # noqa: E402  # after the path
from lung_nodules.service.settings import ServiceSettings, read_service_settings  # noqa: E402  # after the path

PERIOD_S = 0.02  # between two requests
NUM_IDLE = 500  # requests when all is done


def measure(folder: Path, num_jobs: int, num_workers: int, delay_s: float, port: int) -> dict[str, Any]:
    """Run the service as a user does, with all its processes."""
    settings, process = start_service(folder, num_workers, delay_s, port)
    try:
        return asyncio.run(measure_running(settings, folder, num_jobs, num_workers, delay_s))
    finally:
        process.terminate()
        process.wait(60)


def start_service(
    folder: Path, num_workers: int, delay_s: float, port: int
) -> tuple[ServiceSettings, subprocess.Popen[bytes]]:
    """`lung-nodules serve`, with the analysis replaced."""
    values = {
        "data_folder": str(folder / "data"),
        "port": port,
        "log_level": "WARN",
        "workers": {"count": num_workers, "analysis": fixed_analysis.NAME},
        "rate_limit": {"per_minute": 1_000_000, "burst": 1_000_000},
    }
    config = folder / "service.yaml"
    config.write_text(json.dumps(values), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "tests"), "FIXED_ANALYSIS_DELAY_S": str(delay_s)}
    order = [sys.executable, "-m", "lung_nodules", "serve", "--config", str(config)]
    process = subprocess.Popen(order, env=environment, cwd=REPOSITORY)
    address = f"http://127.0.0.1:{port}/health/ready"
    for _ in range(600):
        try:
            urllib.request.urlopen(address, timeout=5).read()
            break
        except OSError:
            time.sleep(0.2)
    return read_service_settings(config), process


async def measure_running(
    settings: ServiceSettings, folder: Path, num_jobs: int, num_workers: int, delay_s: float
) -> dict[str, Any]:
    """Submit all, then ask while they are read."""
    async with open_desk(settings) as desk:
        studies = [write_study(folder / "studies" / str(number)) for number in range(num_jobs)]
        begun = time.perf_counter()
        jobs = [await desk.submit(JobOrder(source=Source(kind="folder", path=str(study)))) for study in studies]
        submitted_s = time.perf_counter() - begun
        busy = Asker(settings.port, [str(job.id) for job in jobs])
        busy.start()
        while sum(count for state, count in (await desk.counts()).items() if state in ENDED) < num_jobs:
            await asyncio.sleep(0.5)
        busy.stop.set()
        await asyncio.to_thread(busy.join)
        idle = Asker(settings.port, [str(job.id) for job in jobs], NUM_IDLE)
        idle.start()
        await asyncio.to_thread(idle.join)
        ended: list[Job] = [job for job in [await desk.get(each.id) for each in jobs] if job is not None]
    answers = {"busy": describe_answers(busy.seconds), "idle": describe_answers(idle.seconds)}
    return {**summarise(ended, submitted_s, num_workers, delay_s), **answers}


class Asker(threading.Thread):
    """Asks for the state of one job after another, as a page does; until told to stop, or so many times."""

    def __init__(self, port: int, job_ids: list[str], num_requests: int = 10**9) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.seconds: list[float] = []
        self._port, self._ids, self._num_requests = port, job_ids, num_requests

    def run(self) -> None:
        """On one connection."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while len(self.seconds) < self._num_requests and not self.stop.wait(PERIOD_S):
            begun = time.perf_counter()
            connection.request("GET", f"/v1/jobs/{random.choice(self._ids)}")  # noqa: S311
            connection.getresponse().read()
            self.seconds.append(time.perf_counter() - begun)


def describe_answers(seconds: list[float]) -> dict[str, float]:
    """How many answers there were, and how long they took, ms."""
    percentiles = statistics.quantiles(seconds, n=100)
    return {"n": len(seconds), "p50": percentiles[49] * 1000, "p99": percentiles[98] * 1000}


def summarise(jobs: list[Job], submitted_s: float, num_workers: int, delay_s: float) -> dict[str, Any]:
    """Figures of one run; the clock runs from the first start to the last end, so that starting up is not in it."""
    starts = [job.started_at for job in jobs if job.started_at]
    ends = [job.finished_at for job in jobs if job.finished_at]
    took_s = (max(ends) - min(starts)).total_seconds()
    ideal_s = len(jobs) * delay_s / num_workers
    return {
        "done": sum(job.state is JobState.done for job in jobs),
        "submitted_per_s": len(jobs) / submitted_s,
        "took_s": took_s,
        "ideal_s": ideal_s,
        "share_of_ideal": ideal_s / took_s,
        "overhead_ms": (took_s - ideal_s) * num_workers / len(jobs) * 1000,
    }


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--delay", type=float, default=1.0, help="seconds of the analysis that is not there")
    parser.add_argument("--port", type=int, default=18_080)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        found = measure(Path(folder), given.jobs, given.workers, given.delay, given.port)
    busy, idle = found["busy"], found["idle"]
    what = f"{given.jobs} jobs of {given.delay:g} s, {given.workers} workers, cores: {len(os.sched_getaffinity(0))}"
    rows = [
        f"{what} | measured | ideal | ratio",
        "--- | --- | --- | ---",
        f"jobs done | {found['done']} | {given.jobs} | {found['done'] / given.jobs:.2f}",
        f"seconds | {found['took_s']:.0f} | {found['ideal_s']:.0f} | {found['share_of_ideal']:.0%} of the ideal rate",
        f"beside the analysis, per job | {found['overhead_ms']:.0f} ms | 0 | ",
        f"submitted per second | {found['submitted_per_s']:.0f} | | ",
    ]
    more = [
        f"state of a job, over HTTP | workers busy (n={busy['n']}) | all done (n={idle['n']}) | ratio",
        "--- | --- | --- | ---",
        f"p50 | {busy['p50']:.1f} ms | {idle['p50']:.1f} ms | {busy['p50'] / idle['p50']:.1f}x",
        f"p99; goal below 50 ms | {busy['p99']:.1f} ms | {idle['p99']:.1f} ms | {busy['p99'] / idle['p99']:.1f}x",
    ]
    for table in (rows, more):
        sys.stdout.write("".join(f"| {row} |\n" for row in table) + "\n")


if __name__ == "__main__":
    main()
