"""For probes and Prometheus: no token, no patient data, no names."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from lung_nodules.service.api.documents import problems
from lung_nodules.service.api.health import Health
from lung_nodules.service.api.metrics import CONTENT_TYPE
from lung_nodules.service.api.problems import problem
from lung_nodules.service.api.state import ServiceState, get_state
from lung_nodules.service.api.workers import count_workers

router = APIRouter(tags=["health"])

State = Annotated[ServiceState, Depends(get_state)]


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


@router.get("/health/live", responses=problems())
async def show_alive() -> Alive:
    """Say that the process answers; nothing else is looked at."""
    return Alive()


@router.get("/health/ready", response_model=Health, responses=problems())
async def show_ready(state: State, request: Request) -> Response | Health:
    """Look at database, models, disk and workers; 503 where one of them is amiss, with the same `checks`."""
    health = await state.readiness.look()
    if health.ready:
        return health
    amiss = next(check.sentence for check in health.checks if not check.passed)
    request_id = request.state.request_id
    headers = {"Retry-After": "10"}
    return problem(503, "not-ready", amiss, request_id=request_id, headers=headers, extensions=health.model_dump())


@router.get("/metrics", response_class=Response, responses={**problems(), 200: {"content": {CONTENT_TYPE: {}}}})
async def show_metrics(state: State) -> Response:
    """Give Prometheus metrics."""
    num_workers = await count_workers(state.desk.pool, state.settings.workers)
    return Response(await state.metrics.render(state.desk, num_workers), media_type=CONTENT_TYPE)
