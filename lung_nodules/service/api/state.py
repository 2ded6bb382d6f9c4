"""What the routes share, as dependencies: `Annotated[JobDesk, Depends(get_desk)]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from starlette.requests import Request

if TYPE_CHECKING:
    from lung_nodules.service.jobs.desk import JobDesk
    from lung_nodules.service.settings import ServiceSettings


def get_desk(request: Request) -> JobDesk:
    """The desk: the only door to the jobs."""
    return cast("JobDesk", request.app.state.service.desk)


def get_settings(request: Request) -> ServiceSettings:
    """The settings that the service was started with."""
    return cast("ServiceSettings", request.app.state.service.settings)
