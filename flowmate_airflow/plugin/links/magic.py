"""The page that a magic link opens. Looking at it opens nothing: programs that preview addresses look at it, too."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from flowmate_airflow.plugin.links.browsers import check_form, root, set_cookie
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.plugin.links.forms import Fields, form_fields
from flowmate_airflow.plugin.links.pages import render
from flowmate_airflow.plugin.links.people import magic_cookie, person_of
from flowmate_airflow.store import magiclinks
from flowmate_airflow.store.magiclinks import MagicLink
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import open_store

_WHO = "connect"
_fields: Any = Depends(form_fields)


def add_magic(router: APIRouter) -> None:
    """Add the page."""
    router.get("/connect/{token}")(look)
    router.post("/connect/{token}")(open_)


def look(request: Request, token: str) -> Response:
    """Show for whom a link is."""
    link = _found(token)
    if link.opened_at is not None:
        return _where_it_is_open(request, link)
    return render(request, "connect.html", who=_WHO, link=link)


def open_(request: Request, token: str, fields: Fields = _fields) -> Response:
    """Let a link belong to this browser, and go on to its page."""
    check_form(request, fields, _WHO)
    link = _found(token)
    opened = magiclinks.open_link(open_store(), token)
    if opened is None:
        return _where_it_is_open(request, link)
    session, link = opened
    response = _onward(request, link)
    seconds = max(1, int((link.expires_at - now()) / timedelta(seconds=1)))
    set_cookie(request, response, magic_cookie(link.number), session, root(request) or "/", seconds)
    return response


def _found(token: str) -> MagicLink:
    link = magiclinks.find(open_store(), token)
    if link is None:
        raise PageError(404, "This link is over", "Or it never was one. Ask for a new one.")
    return link


def _where_it_is_open(request: Request, link: MagicLink) -> Response:
    """Go on where a link was opened.

    :raises PageError: that was another browser
    """
    cookie = request.cookies.get(magic_cookie(link.number))
    if magiclinks.opened(open_store(), link.number, cookie) is None:
        raise PageError(
            403,
            "This link was opened in another browser",
            "It works in that one only. If it was not you who opened it, tell whoever sent it, and ask for a new one.",
        )
    return _onward(request, link)


def _onward(request: Request, link: MagicLink) -> RedirectResponse:
    person = person_of(request, link)
    is_one = link.connectors is not None and len(link.connectors) == 1
    address = person.address("new", link.connectors[0]) if is_one and link.connectors else person.home
    return RedirectResponse(address, 303)
