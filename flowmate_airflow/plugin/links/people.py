"""Who links: a user of Airflow who may change Connections, or whoever has opened a magic link."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
from airflow.api_fastapi.core_api.security import get_user
from airflow.configuration import conf
from airflow.models.connection import Connection
from fastapi import Depends, HTTPException, Query, Request
from fastapi.security import HTTPBearer

from flowmate_airflow.auth.names import check_tenant, link_conn_id
from flowmate_airflow.plugin.links.browsers import root
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.store import linked, magiclinks
from flowmate_airflow.store.magiclinks import MagicLink
from flowmate_airflow.store.store import open_store

_MAX_USER = 200


@dataclass(frozen=True, slots=True)
class Person:
    """Who links, and for whom.

    :param name: is kept with a login that they begin: `airflow:ID` or `magic:NUMBER`
    :param base: the path below which their pages are
    :param query: what their addresses carry
    :param user: of Airflow; None: a magic link was opened
    :param connectors: which they may link; None: any
    :param return_to: where they go on
    """

    name: str
    tenant: str
    base: str
    query: str = ""
    user: BaseUser | None = field(default=None, repr=False)
    connectors: tuple[str, ...] | None = None
    return_to: str | None = field(default=None, repr=False)

    @property
    def home(self) -> str:
        """The address of the page with their connectors."""
        return self._address(self.base if self.user is not None else f"{self.base}/links")

    def address(self, page: str, connector: str, **query: str) -> str:
        """Return the address of a page for a connector: `new` or `remove`."""
        return self._address(f"{self.base}/{page}/{connector}", **query)

    def check(self, method: str, connector: str | None = None) -> None:
        """Check that they may do something with a connector's link.

        :param method: as Airflow calls it: GET, POST, PUT, DELETE
        :param connector: None: with any
        :raises PageError: they may not
        """
        if connector is not None and self.connectors is not None and connector not in self.connectors:
            raise PageError(404, "Not for this link", "This link is for other connectors.", (self.home, "Back"))
        conn_id = None if connector is None else link_conn_id(connector, self.tenant)
        if self.user is not None and not may(self.user, method, conn_id):
            raise PageError(403, "Not allowed", "Ask an administrator of this Airflow for access to Connections.")

    def link_method(self, connector: str) -> str:
        """Return what linking a connector means for its Connection: another one (POST), or a change (PUT)."""
        return "POST" if linked.find(open_store(), self.tenant, connector) is None else "PUT"

    def _address(self, path: str, **query: str) -> str:
        more = "&".join(filter(None, (self.query, urlencode(query))))
        return f"{path}?{more}" if more else path


def may(user: BaseUser, method: str, conn_id: str | None) -> bool:
    """Whether a user of Airflow may do something with a Connection."""
    team = None
    if conn_id is not None and conf.getboolean("core", "multi_team"):
        team = Connection.get_team_name(conn_id)
    details = ConnectionDetails(conn_id=conn_id, team_name=team)
    return get_auth_manager().is_authorized_connection(method=method, details=details, user=user)  # type: ignore[arg-type]


def user_name(user: BaseUser) -> str:
    """Return what stands for a user in records."""
    return f"airflow:{user.get_id()}"[:_MAX_USER]


_bearer = HTTPBearer(auto_error=False)


async def maybe_user(request: Request) -> BaseUser | None:
    """Return the user of Airflow who is signed in, if anybody is."""
    try:
        return await get_user(request, None, await _bearer(request))
    except HTTPException:
        return None


_maybe: Any = Depends(maybe_user)


async def signed_in(user: BaseUser | None = _maybe) -> BaseUser:
    """Return the user of Airflow who is signed in.

    :raises SignIn: nobody is
    """
    if user is None:
        raise SignIn
    return user


class SignIn(Exception):
    """Somebody has to sign in to Airflow first."""


_user: Any = Depends(signed_in)


def airflow_person(
    request: Request,
    tenant: str = Query(max_length=200),
    return_to: str | None = Query(default=None, max_length=2000),
    user: BaseUser = _user,
) -> Person:
    """Return a user of Airflow, for the tenant that the address names."""
    try:
        check_tenant(tenant)
    except ValueError as error:
        raise PageError(400, "No such tenant", str(error)) from None
    return user_for(request, user, tenant, return_to)


def user_for(request: Request, user: BaseUser, tenant: str, return_to: str | None) -> Person:
    """Return a user of Airflow, for a tenant."""
    query = {"tenant": tenant} | ({"return_to": return_to} if return_to else {})
    return Person(user_name(user), tenant, f"{root(request)}/links", urlencode(query), user, return_to=return_to)


def magic_person(request: Request, number: str) -> Person:
    """Return whoever has opened a magic link in this browser."""
    link = magiclinks.opened(open_store(), number, request.cookies.get(magic_cookie(number)))
    if link is None:
        raise PageError(
            403,
            "This link is not open here",
            "It is over, or it was opened in another browser. Ask for a new one.",
        )
    return person_of(request, link)


def person_of(request: Request, link: MagicLink) -> Person:
    """Return whoever has opened a magic link."""
    base = f"{root(request)}/connect/{link.number}"
    name = f"magic:{link.number}"
    return Person(name, link.tenant, base, connectors=link.connectors, return_to=link.return_to)


def magic_cookie(number: str) -> str:
    """Return the name of the cookie of the browser that a magic link belongs to."""
    return f"flowmate_connect_{number[:16]}"
