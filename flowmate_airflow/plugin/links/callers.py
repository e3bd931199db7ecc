"""Who calls the API: the application that embeds FlowMate, for one tenant, or a user of Airflow, for any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from flowmate_airflow.auth.embedding import TokenRefused, tenant_of
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.names import check_tenant, link_conn_id
from flowmate_airflow.plugin.links.browsers import check_origin
from flowmate_airflow.plugin.links.people import may, user_name

_embedding = HTTPBearer(
    auto_error=False,
    scheme_name="embedding",
    bearerFormat="JWT",
    description="Signed by the application that embeds FlowMate (RS256): `sub` is the tenant, `exp` within an hour.",
)
_credentials: Any = Depends(_embedding)
_user: Any = Depends(get_user)


MAGIC_RIGHTS = ("POST", "PUT", "DELETE")
"""What whoever opens a magic link can do to Connections, so that nobody makes one who may not do it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and for whom.

    :param name: is kept with magic links that they ask for
    :param user: of Airflow; None: the application that embeds FlowMate
    """

    tenant: str
    name: str
    user: BaseUser | None = None

    def check(self, method: str, connector: str) -> None:
        """Check that they may do something with a connector's link.

        :raises HTTPException: 403
        """
        if self.user is not None and not may(self.user, method, link_conn_id(connector, self.tenant)):
            raise HTTPException(403, "you may not do this to Connections")


def current(request: Request) -> Caller:
    """Return who calls, as the dependency of all routes has found out."""
    caller: Caller = request.state.flowmate_caller
    return caller


def embedded(request: Request, credentials: HTTPAuthorizationCredentials | None = _credentials) -> Caller:
    """Return the application that embeds FlowMate, for the tenant of its token.

    :raises HTTPException: 401
    """
    if credentials is None:
        raise unauthorized("send `Authorization: Bearer` with a token")
    try:
        tenant = tenant_of(credentials.credentials)
    except TokenRefused as error:
        raise unauthorized(str(error)) from None
    return _noted(request, Caller(tenant, "embedding"))


def administrator(request: Request, tenant: str, user: BaseUser = _user) -> Caller:
    """Return a user of Airflow, for the tenant of the path, who may do this to Connections.

    :raises HTTPException: 401 or 403
    :raises LoginError: it cannot be a tenant
    """
    check_sender(request)
    try:
        check_tenant(tenant)
    except ValueError as error:
        raise LoginError(str(error)) from None
    caller = Caller(tenant, user_name(user), user)
    connector = request.path_params.get("connector")
    if connector is not None:
        caller.check(request.method, connector)
    elif not may(user, request.method, None):
        raise HTTPException(403, "you may not do this to Connections")
    return _noted(request, caller)


def _noted(request: Request, caller: Caller) -> Caller:
    request.state.flowmate_caller = caller
    return caller


def check_sender(request: Request) -> None:
    """Check that what changes something and has no proof but a cookie was sent by a page of this server.

    :raises PageError: it was not
    """
    scheme, token = get_authorization_scheme_param(request.headers.get("authorization"))
    # With any other scheme Airflow looks at the cookie.
    if request.method != "GET" and not (scheme.lower() == "bearer" and token):
        check_origin(request)


def unauthorized(text: str) -> HTTPException:
    """Return the answer to whoever has no proof."""
    return HTTPException(401, text, headers={"WWW-Authenticate": "Bearer"})
