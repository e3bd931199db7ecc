"""What proves that a request comes from a page of ours, in the browser that it was made for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import Response

from flowmate_airflow.auth.returns import origin_of
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.settings import SettingError, api_base_url
from flowmate_airflow.store.logins import new_secret
from flowmate_airflow.store.values import digest
from flowmate_airflow.webhooks.addresses import public_url

FORM_COOKIE = "flowmate_form"
TOKEN_FIELD = "form_token"  # noqa: S105
_MAX_COOKIE = 200


def root(request: Request) -> str:
    """Return the path at which the plugin is mounted, as the browser knows it."""
    found: str = request.scope.get("root_path", "")
    return found.rstrip("/")


def set_cookie(
    request: Request, response: Response, name: str, value: str, path: str, seconds: int | None = None
) -> None:
    """Let the browser keep something that no script and no other site gets to see.

    It comes along when the provider sends people back, which a stricter cookie would not.
    """
    response.set_cookie(
        name, value, max_age=seconds, path=path, secure=_is_secure(request), httponly=True, samesite="lax"
    )


def forget_cookie(request: Request, response: Response, name: str, path: str) -> None:
    """Let the browser forget it."""
    response.delete_cookie(name, path=path, secure=_is_secure(request), httponly=True, samesite="lax")


def form_token(request: Request, response: Response | None, who: str) -> str:
    """Return what a form of this page is to bring back.

    :param response: gets the cookie; None: the browser has it
    :param who: whom the page was made for
    """
    cookie = _form_cookie(request)
    if cookie is None:
        cookie = new_secret()
        request.state.flowmate_form = cookie
    if response is not None:
        set_cookie(request, response, FORM_COOKIE, cookie, root(request) or "/")
    return _token(cookie, who, request)


def check_form(request: Request, fields: Mapping[str, str], who: str) -> None:
    """Check that a form comes from a page that we made, for this person in this browser.

    :raises PageError: it does not
    """
    check_origin(request)
    cookie = request.cookies.get(FORM_COOKIE)
    expected = None if not cookie or len(cookie) > _MAX_COOKIE else _token(cookie, who, request)
    if expected is None or not secrets.compare_digest(expected.encode(), fields.get(TOKEN_FIELD, "").encode()):
        raise PageError(
            403, "This form is out of date", "It was made for another browser or person. Open the page again."
        )


def check_origin(request: Request) -> None:
    """Check that a request was sent by a page of this server.

    :raises PageError: another site sent it, or the browser does not say
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_silent = site is None and origin is None
    is_other = origin is not None and origin.lower() not in _own_origins(request)
    if is_silent or is_other or site not in (None, "same-origin"):
        raise PageError(403, "This request comes from another site", "Open the page here and send its form from there.")


def is_public(request: Request) -> bool:
    """Whether the browser knows this server by its public address, to which providers send people back.

    :raises SettingError: there is none
    """
    public = origin_of(public_url())
    origin = request.headers.get("origin")
    return origin.lower() == public if origin is not None else _host(request) == urlsplit(public).netloc


def _own_origins(request: Request) -> set[str]:
    host = _host(request)
    found = {f"https://{host}", f"http://{host}"} if host else set()
    for address in (_public(), api_base_url()):
        found |= {origin_of(address)} if address else set()
    return found


def _is_secure(request: Request) -> bool:
    if request.url.scheme == "https":
        return True
    public = _public()
    return public.startswith("https://") and _host(request) == urlsplit(origin_of(public)).netloc


def _public() -> str:
    try:
        return public_url()
    except SettingError:
        return ""


def _host(request: Request) -> str:
    return request.headers.get("host", "").lower()


def _form_cookie(request: Request) -> str | None:
    cookie = request.cookies.get(FORM_COOKIE) or getattr(request.state, "flowmate_form", None)
    return cookie if cookie and len(cookie) <= _MAX_COOKIE else None


def _token(cookie: str, who: str, request: Request) -> str:
    return digest("form", cookie, who, request.scope["path"]).hex()
