"""What the service itself costs: `make bench` prints it beside the line's seconds.

200 studies wait, two workers read them, and the analysis is a fixed delay in the line's place. Throughput is held
against the ideal, which is the delay alone, shared by the workers; and while they are busy, the state of jobs is asked
for over HTTP, one request after another, and the 50th and 99th percentile of the answers' time are given.
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
        asker = Asker(settings.port, [str(job.id) for job in jobs])
        asker.start()
        while sum(count for state, count in (await desk.counts()).items() if state in ENDED) < num_jobs:
            await asyncio.sleep(0.5)
        asker.stop.set()
        await asyncio.to_thread(asker.join)
        ended: list[Job] = [job for job in [await desk.get(each.id) for each in jobs] if job is not None]
    return summarise(ended, asker.seconds, submitted_s, num_workers, delay_s)


class Asker(threading.Thread):
    """Asks for the state of one job after another, as a page does."""

    def __init__(self, port: int, job_ids: list[str]) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.seconds: list[float] = []
        self._port, self._ids = port, job_ids

    def run(self) -> None:
        """Until told to stop, on one connection."""
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self.stop.wait(PERIOD_S):
            begun = time.perf_counter()
            connection.request("GET", f"/v1/jobs/{random.choice(self._ids)}")  # noqa: S311
            connection.getresponse().read()
            self.seconds.append(time.perf_counter() - begun)


def summarise(
    jobs: list[Job], seconds: list[float], submitted_s: float, num_workers: int, delay_s: float
) -> dict[str, Any]:
    """Figures of one run; the clock runs from the first start to the last end, so that starting up is not in it."""
    starts = [job.started_at for job in jobs if job.started_at]
    ends = [job.finished_at for job in jobs if job.finished_at]
    took_s = (max(ends) - min(starts)).total_seconds()
    ideal_s = len(jobs) * delay_s / num_workers
    percentiles = statistics.quantiles(seconds, n=100)
    return {
        "done": sum(job.state is JobState.done for job in jobs),
        "submitted_per_s": len(jobs) / submitted_s,
        "took_s": took_s,
        "ideal_s": ideal_s,
        "share_of_ideal": ideal_s / took_s,
        "overhead_ms": (took_s - ideal_s) * num_workers / len(jobs) * 1000,
        "num_requests": len(seconds),
        "p50_ms": percentiles[49] * 1000,
        "p99_ms": percentiles[98] * 1000,
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
    write = sys.stdout.write
    write(f"| {given.jobs} jobs of {given.delay:g} s, {given.workers} workers, {os.cpu_count()} cores | |\n|---|---|\n")
    write(f"| done | {found['done']} |\n| submitted per second | {found['submitted_per_s']:.0f} |\n")
    write(f"| seconds, ideal | {found['took_s']:.0f}, {found['ideal_s']:.0f} |\n")
    write(f"| share of the ideal | {found['share_of_ideal']:.0%} |\n")
    write(f"| beside the analysis, per job | {found['overhead_ms']:.0f} ms |\n")
    write(f"| state of a job, p50, p99 | {found['p50_ms']:.1f} ms, {found['p99_ms']:.1f} ms of")
    write(f" {found['num_requests']} requests; goal p99 below 50 ms |\n")


if __name__ == "__main__":
    main()
