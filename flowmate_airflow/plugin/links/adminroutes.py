"""What only users of Airflow may ask for: magic links, and runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi import APIRouter, Body, Depends, Header, HTTPException, Request

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.magic import make
from flowmate_airflow.auth.names import check_tenant
from flowmate_airflow.plugin.links.bodies import JobAnswer, MagicAnswer, MagicBody, StrictRoute
from flowmate_airflow.plugin.links.callers import MAGIC_RIGHTS, check_sender
from flowmate_airflow.plugin.links.jobs import may_run, start
from flowmate_airflow.plugin.links.pages import catalog
from flowmate_airflow.plugin.links.people import may, user_name
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.jobbody import job_body
from flowmate_airflow.store.store import open_store

_user: Any = Depends(get_user)
_body: Any = Body(default={})
_key: Any = Header(default=None)


def admin_routes() -> APIRouter:
    """Return the routes."""
    router = APIRouter(route_class=StrictRoute, tags=["administration"])
    router.post("/magic-links", status_code=201)(magic_link)
    router.post("/tenants/{tenant}/flows/{flow}/jobs", status_code=201)(job)
    return router


def magic_link(request: Request, body: MagicBody, user: BaseUser = _user) -> MagicAnswer:
    """Make a link by which a tenant's people link connectors, without an account of Airflow's."""
    check_sender(request)
    if not all(may(user, method, None) for method in MAGIC_RIGHTS):
        raise HTTPException(403, "you may not add, change and remove Connections, which a magic link lets people do")
    made = make(
        open_store(),
        catalog(),
        body.tenant,
        connectors=body.connectors,
        return_to=body.return_to,
        life=timedelta(seconds=body.expires_in),
        made_by=user_name(user),
    )
    return MagicAnswer(url=made.url, expires_at=made.link.expires_at)


def job(
    request: Request,
    tenant: str,
    flow: str,
    body: dict[str, Any] = _body,
    idempotency_key: str | None = _key,
    user: BaseUser = _user,
) -> JobAnswer:
    """Start a run of a flow for a tenant; the body is that of hotglue's jobs."""
    check_sender(request)
    try:
        check_tenant(tenant)
    except ValueError as error:
        raise LoginError(str(error)) from None
    if not may_run(user, flow):
        raise HTTPException(403, "you may not start runs of this flow")
    try:
        job_body({name: value for name, value in body.items() if name != "tenant"})
    except ConfigFailure as error:
        raise HTTPException(400, str(error)) from None
    return start(tenant, flow, body, idempotency_key, user)
