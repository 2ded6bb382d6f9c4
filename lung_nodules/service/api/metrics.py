"""Prometheus metrics.

Labels are names of ours from short lists: routes, methods, states, codes; never a UID or a user.
"""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from lung_nodules.service.jobs.desk import JobDesk
from lung_nodules.service.jobs.notices import count_untold

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """Counts what the API answers, and asks the database for the rest when it is read."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "lung_nodules_http_requests", "Requests.", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "lung_nodules_http_request_seconds",
            "Seconds until an answer begins.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.problems = Counter("lung_nodules_http_problems", "Problems.", ("code",), registry=self.registry)
        self.upload_bytes = Counter("lung_nodules_upload_bytes", "Bytes of uploads taken.", registry=self.registry)
        self._jobs = Gauge("lung_nodules_jobs", "Jobs.", ("state",), registry=self.registry)
        self._waiting = Gauge("lung_nodules_queue_length", "Jobs that wait.", registry=self.registry)
        self._oldest = Gauge(
            "lung_nodules_queue_oldest_seconds", "How long the oldest queued job has waited.", registry=self.registry
        )
        self._workers = Gauge(
            "lung_nodules_workers_alive", "Workers with a recent sign of life.", registry=self.registry
        )
        self._untold = Gauge(
            "lung_nodules_notices_untold",
            "Ends of jobs that the webhook was not told, by whether it will be.",
            ("state",),
            registry=self.registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float, code: str) -> None:
        """Count an answer."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)
        if code:
            self.problems.labels(code).inc()

    async def render(self, desk: JobDesk, num_workers: int) -> bytes:
        """Give all of them in the text format, the database's as they are now."""
        for state, number in (await desk.counts()).items():
            self._jobs.labels(str(state)).set(number)
        self._waiting.set(await desk.queue_length())
        self._oldest.set(await desk.oldest_waiting_s())
        for word, number in (await count_untold(desk.pool)).items():
            self._untold.labels(word).set(number)
        self._workers.set(num_workers)
        return generate_latest(self.registry)
