"""How one signs in, who the caller is, what the page needs to know, and the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from lung_nodules import __version__
from lung_nodules.service.api.documents import problems
from lung_nodules.service.api.schemas import Me, PageSettings, SignInWay
from lung_nodules.service.api.state import ServiceState, get_settings, get_state
from lung_nodules.service.security.access import GuardedRoute, Role, User, require
from lung_nodules.service.security.audit import AuditPage, AuditQuery
from lung_nodules.service.settings import ServiceSettings
from lung_nodules.stages.report_model import DISCLAIMER

router = APIRouter(prefix="/v1", route_class=GuardedRoute, tags=["account"])

Viewer = Annotated[User, Depends(require(Role.viewer, often=True))]
Admin = Annotated[User, Depends(require(Role.admin))]


@router.get("/sign-in", responses=problems())
async def show_sign_in(settings: Annotated[ServiceSettings, Depends(get_settings)]) -> SignInWay:
    """Show how one signs in, to whoever asks."""
    auth = settings.auth
    if auth.mode != "oidc":
        return SignInWay(mode=auth.mode)
    return SignInWay(mode=auth.mode, issuer=auth.issuer, client_id=auth.client_id, scope=auth.scope)


@router.get("/me", responses=problems())
async def show_me(user: Viewer) -> Me:
    """Show who the caller is."""
    return Me.model_validate({"name": user.name, "role": user.role, "auth_mode": user.auth_mode})


@router.get("/settings/page", responses=problems())
async def show_page_settings(
    _user: Viewer, settings: Annotated[ServiceSettings, Depends(get_settings)]
) -> PageSettings:
    """Show what the page needs to know."""
    return PageSettings(viewer_url=settings.viewer_url, version=__version__, not_a_device=DISCLAIMER)


@router.get("/audit", responses=problems())
async def read_audit(
    _user: Admin, state: Annotated[ServiceState, Depends(get_state)], query: Annotated[AuditQuery, Query()]
) -> AuditPage:
    """Read who saw or did what, newest first."""
    return await state.audit.read(query)
