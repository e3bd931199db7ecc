"""Consents: people are sent to a provider, come back, and what they bring is held against what began.

Each connector, tenant and method has an address of the way back of its own. A state is good once, for ten minutes, in
the browser and for the person that began (RFC 9700, 2.1 and 4.7; RFC 9207).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import Request
from fastapi.responses import Response

from flowmate_airflow.auth import consents, links, origins
from flowmate_airflow.auth.consents import context_of
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.plugin.links.browsers import is_public, root, set_cookie
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.plugin.links.pages import catalog, leave, scopes_of
from flowmate_airflow.plugin.links.people import Person, magic_cookie, person_of, user_for, user_name
from flowmate_airflow.settings import SettingError
from flowmate_airflow.store import logins, magiclinks
from flowmate_airflow.store.linked import Linked
from flowmate_airflow.store.logins import Started, StartedLogin, new_secret
from flowmate_airflow.store.store import open_store
from flowmate_airflow.store.values import digest
from flowmate_airflow.webhooks.addresses import public_url

_MAX_STATE = 200
_MAGIC = "magic:"


def redirect_uri_for(connector: str, context: str) -> str:
    """Return the address of the way back.

    :raises SettingError: nobody knows how others reach this server
    """
    return f"{public_url()}/flowmate/links/callback/{connector}/{context}"


def login_cookie(state: str) -> str:
    """Return the name of the cookie of one login."""
    return f"flowmate_login_{digest('cookie', state).hex()[:16]}"


def login_path(request: Request) -> str:
    """Return the path that the cookies of logins go to."""
    return f"{root(request)}/links"


def begin_consent(
    request: Request, person: Person, manifest: Manifest, name: str, method: AuthMethod, values: Mapping[str, str]
) -> Response:
    """Send a person to the provider.

    :raises PageError: it cannot begin here
    :raises LoginError: a value is missing or wrong, or the provider does not answer
    :raises StoreError: the login cannot be kept
    """
    context = context_of(person.tenant, manifest.name, name)
    _check_address(request, person, manifest, name)
    redirect_uri = redirect_uri_for(manifest.name, context)
    stored = links.stored_for(manifest, person.tenant, name, values)
    started = Started(new_secret(), new_secret())
    application = origins.application(manifest.name)
    consent = consents.begin(method, stored.account(), application, redirect_uri, started.state)
    secret: dict[str, Any] = {"values": dict(values), "kept": dict(consent.kept), "redirect_uri": redirect_uri}
    secret |= {"return_to": person.return_to}
    login = StartedLogin(context, person.tenant, manifest.name, name, person.name, secret)
    logins.begin(open_store(), login, started)
    response = leave(request, consent.url, manifest.title)
    seconds = int(logins.LIFETIME.total_seconds())
    set_cookie(request, response, login_cookie(started.state), started.browser, login_path(request), seconds)
    return response


@dataclass(frozen=True, slots=True)
class Returned:
    """Somebody who came back from a provider, and what has become of it.

    :param less: what was asked for and was not granted
    """

    person: Person
    manifest: Manifest
    row: Linked
    less: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WayBack:
    """A way back that belongs to a login which began here."""

    login: StartedLogin
    person: Person
    returned: Mapping[str, str]

    def again(self) -> str:
        """Return the address at which the login can begin anew."""
        return self.person.address("new", self.login.connector, method=self.login.method)


def way_back(request: Request, connector: str, context: str, user: BaseUser | None) -> WayBack:
    """Return the login that somebody who comes back has begun. It is over from now on, whatever is wrong.

    :raises PageError: there is none, or it is another one's
    :raises StoreError: the store cannot be used
    """
    pairs = request.query_params.multi_items()
    returned = dict(pairs)
    state = returned.get(consents.STATE, "")
    taken = logins.take(open_store(), state) if 0 < len(state) <= _MAX_STATE else None
    if taken is None:
        raise PageError(
            400,
            "There is no such login",
            "It was never begun here, or it is finished already. If you were linking something, begin again.",
        )
    login = taken.login
    if login is None:
        raise PageError(410, "This login is over", "There are ten minutes to consent. Begin again.")
    if login.context != context or login.connector != connector:
        # An answer that was meant for another tenant, connector or method: somebody tries to slip it in.
        raise PageError(400, "This answer belongs elsewhere", "It is for another connector or tenant. Begin again.")
    if not taken.is_browser(request.cookies.get(login_cookie(state))):
        raise PageError(
            403, "This login began in another browser", "A login is finished in the browser that began it. Begin again."
        )
    if len(returned) != len(pairs):
        raise PageError(400, "This answer is not clear", "The provider says something twice. Begin again.")
    return WayBack(login, _person(request, login, user), returned)


def complete(way: WayBack) -> Returned:
    """Keep what a consent has brought.

    :raises Denied: the person said no
    :raises LoginError: it brings nothing
    :raises StoreError: it cannot be kept
    """
    login, secret = way.login, way.login.secret
    manifest = links.manifest_in(catalog(), login.connector)
    _, method = links.method_in(manifest, login.method)
    values: Mapping[str, Any] = secret["values"]
    stored = links.stored_for(manifest, login.tenant, login.method, values)
    application = origins.application(login.connector)
    brought = consents.complete(
        method, stored.account(), application, secret["redirect_uri"], secret["kept"], way.returned
    )
    row = links.finish(catalog(), login.tenant, login.connector, login.method, values, brought)
    return Returned(way.person, manifest, row, _less(method, brought))


def _person(request: Request, login: StartedLogin, user: BaseUser | None) -> Person:
    """Return who comes back.

    :raises PageError: it is not who began
    """
    if login.user.startswith(_MAGIC):
        number = login.user.removeprefix(_MAGIC)
        link = magiclinks.opened(open_store(), number, request.cookies.get(magic_cookie(number)))
        if link is None or link.tenant != login.tenant:
            raise PageError(403, "This link is not open here", "It is over by now. Ask for a new one.")
        person = person_of(request, link)
        person.check(person.link_method(login.connector), login.connector)
        return person
    if user is None or user_name(user) != login.user:
        raise PageError(403, "Somebody else began this login", "Sign in as who began it, and begin again.")
    person = user_for(request, user, login.tenant, login.secret.get("return_to"))
    person.check(person.link_method(login.connector), login.connector)
    return person


def _check_address(request: Request, person: Person, manifest: Manifest, name: str) -> None:
    """Check that the browser is where the provider will send it back to, as it has its cookies only there."""
    try:
        if is_public(request):
            return
        here = person.address("new", manifest.name, method=name).removeprefix(root(request))
        address = f"{public_url()}/flowmate{here}"
    except SettingError as error:
        raise PageError(409, "This cannot begin yet", str(error)) from None
    text = f"{manifest.title} sends people back to another address of this server, so begin there."
    raise PageError(409, "Begin at the public address", text, (address, "Go there"))


def _less(method: AuthMethod, login: Login) -> tuple[str, ...]:
    """Return what was asked for and not granted; nothing where the provider does not say what it has granted."""
    granted = set(re.split(r"[\s,+]+", login.grant.scope)) - {""}
    return tuple(scope for scope in scopes_of(method) if granted and scope not in granted)
