"""Studies shared out among the machines of a Ray cluster, or of one that is started here for the purpose.

Every machine sees the input, the models and the output folder under the same paths, and has this package installed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lung_nodules.batch.plan import BatchStudy, Plan
from lung_nodules.batch.reading import BatchRefusal, Outcome, note_failure, read_study
from lung_nodules.errors import UsageRefusal


@dataclass(frozen=True)
class RayOrder:
    """How Ray is used."""

    address: str | None = None  # None: a cluster is started on this machine, and ended with the batch
    num_workers: int = 1  # studies at a time
    cpus_per_study: float = 1.0
    gpus_per_study: float = 0.0


def read_on_ray(
    studies: Iterable[BatchStudy], plan: Plan, order: RayOrder, on_outcome: Callable[[Outcome], None]
) -> None:
    """Read studies, `order.num_workers` at a time, and tell how each ended as it ends.

    Raises:
        UsageRefusal: ``ray-missing``, or ``ray-unreachable`` where no cluster answers at the address.
    """
    ray = _start(order)
    # a study is not tried twice by Ray: its row says why it failed, and the next start of the batch tries it again
    task = ray.remote(max_retries=0, num_cpus=order.cpus_per_study, num_gpus=order.gpus_per_study)(read_study)
    waiting = deque(studies)
    under_way: dict[Any, tuple[BatchStudy, float]] = {}
    try:
        while waiting or under_way:
            while waiting and len(under_way) < order.num_workers:
                study = waiting.popleft()
                under_way[task.remote(study, plan)] = study, time.monotonic()
            ended, _ = ray.wait(list(under_way), num_returns=1, timeout=1.0)
            for reference in [*ended, *(_overdue(under_way, plan))]:
                if reference in under_way:
                    on_outcome(_outcome(ray, reference, *under_way.pop(reference), plan))
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)
        ray.shutdown()


def _start(order: RayOrder) -> Any:
    try:
        import ray
    except ImportError:
        raise UsageRefusal(
            "ray-missing", "Ray is not installed.", "pip install 'lung-nodules[ray]', or leave out --on ray."
        ) from None
    here: dict[str, Any] = (
        {} if order.address else {"num_cpus": max(1, round(order.num_workers * order.cpus_per_study))}
    )
    try:
        ray.init(address=order.address or "local", include_dashboard=False, log_to_driver=False, **here)
    except Exception as error:  # where a cluster does not start, Ray raises no more than that
        where = f"No Ray cluster answers at {order.address}" if order.address else "Ray did not start on this machine"
        raise UsageRefusal("ray-unreachable", f"{where} ({type(error).__name__}).") from error
    return ray


def _overdue(under_way: dict[Any, tuple[BatchStudy, float]], plan: Plan) -> list[Any]:
    """Studies that were handed to Ray longer ago than one may take."""
    limit = plan.time_limit_s
    now = time.monotonic()
    return [reference for reference, (_, begun) in under_way.items() if limit is not None and now - begun > limit]


def _outcome(ray: Any, reference: Any, study: BatchStudy, begun: float, plan: Plan) -> Outcome:
    try:
        outcome: Outcome = ray.get(reference, timeout=0)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(reference, force=True)
        refusal = BatchRefusal("time-limit", f"It took longer than {plan.time_limit_s:g} s.")
    except ray.exceptions.RayError as error:
        refusal = BatchRefusal("worker-died", f"The Ray task that read it was lost ({type(error).__name__}).")
    else:
        return outcome
    return Outcome(note_failure(study, plan, refusal, seconds=time.monotonic() - begun), is_new=True)
