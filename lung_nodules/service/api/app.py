"""The web application: what is around the routes, in the order in which a request passes it.

Who calls, by a trusted proxy's word; security headers; a number, the access log and metrics; CORS for the origins that
are listed; foreign pages refused; the audit log; then a route with its rule. Every error on the way is a problem
document.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Lifespan

from lung_nodules import __version__
from lung_nodules.service.api import documents, page, problems
from lung_nodules.service.api.auditing import Auditing
from lung_nodules.service.api.health import Readiness
from lung_nodules.service.api.metrics import Metrics
from lung_nodules.service.api.observing import REQUEST_ID, Observing
from lung_nodules.service.api.routes import account, archives, events, health, identities, jobs, results, studies
from lung_nodules.service.api.state import ServiceState
from lung_nodules.service.api.streams import Streams
from lung_nodules.service.api.uploads import spool
from lung_nodules.service.database.schema import bring_up_to_date
from lung_nodules.service.jobs.desk import JobDesk, open_desk
from lung_nodules.service.reviews import routes as reviews
from lung_nodules.service.reviews import store
from lung_nodules.service.security import audit
from lung_nodules.service.security.headers import SecurityHeaders, page_policy
from lung_nodules.service.security.identity import Identifier
from lung_nodules.service.security.origins import OriginGuard
from lung_nodules.service.security.proxies import TrustedProxies
from lung_nodules.service.settings import ServiceSettings
from lung_nodules.stages.report_model import DISCLAIMER

DESCRIPTION = f"""
Reads chest CT for lung nodules: submit a study, follow the job, take the report, SEG and SR.

{DISCLAIMER}

Errors are problem documents (RFC 9457) with a stable `code` and `advice`. See docs/api.md and docs/security.md.
"""


def create_app(settings: ServiceSettings) -> FastAPI:
    """Make the application; database, tables and spool are opened when it starts.

    Args:
        settings: Of the service.

    Raises:
        UsageRefusal: ``insecure-address``, ``bad-settings`` or ``weak-key``: it would not be safe to start.
    """
    identifier, metrics = Identifier(settings), Metrics()
    page_policy(settings.auth)  # refused now, not at the first request
    app = FastAPI(
        title="lung-nodules",
        version=__version__,
        summary="Lung nodules on chest CT. Research use only, not a medical device.",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan(settings, identifier, metrics),
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(app)
    documents.install(app)
    for module in (studies, jobs, events, results, identities, reviews, archives, account, health):
        app.include_router(module.router)
    page.install(app)
    _surround(app, settings, metrics)
    return app


def _surround(app: FastAPI, settings: ServiceSettings, metrics: Metrics) -> None:
    """Put the middleware around, the innermost first."""
    app.add_middleware(Auditing)
    app.add_middleware(OriginGuard, settings=settings)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Location", "Retry-After", REQUEST_ID],
            allow_credentials=False,
            max_age=600,
        )
    app.add_middleware(Observing, metrics=metrics)
    app.add_middleware(SecurityHeaders, auth=settings.auth)
    app.add_middleware(TrustedProxies, networks=settings.trusted_proxies)


def _lifespan(settings: ServiceSettings, identifier: Identifier, metrics: Metrics) -> Lifespan[FastAPI]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        settings.data_folder.mkdir(parents=True, exist_ok=True)
        async with open_desk(settings) as desk:
            app.state.service = await _prepare(settings, desk, identifier, metrics)
            yield

    return lifespan


async def _prepare(settings: ServiceSettings, desk: JobDesk, identifier: Identifier, metrics: Metrics) -> ServiceState:
    """Bring the tables up to date and take away what a killed process has left in the spool."""
    async with desk.pool.connection() as connection:
        await bring_up_to_date(connection, "audit", audit.TABLES)
        await bring_up_to_date(connection, "uploads", spool.TABLES)
        await bring_up_to_date(connection, "reviews", store.TABLES)
    uploads = spool.Spool(settings.data_folder, settings.uploads, desk.pool)
    await uploads.sweep()
    return ServiceState(
        settings=settings,
        desk=desk,
        identifier=identifier,
        audit=audit.AuditLog(desk.pool, settings.data_folder / "audit"),
        streams=Streams(settings.rate_limit.streams),
        spool=uploads,
        metrics=metrics,
        readiness=Readiness(settings, desk),
    )
