"""The app with the pages for people who link, and the API for programs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from flowmate_airflow.plugin.app import MOUNTED
from flowmate_airflow.plugin.links import pages
from flowmate_airflow.plugin.links.api import make_api
from flowmate_airflow.plugin.links.browsers import root
from flowmate_airflow.plugin.links.comeback import come_back
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.plugin.links.forms import add_pages
from flowmate_airflow.plugin.links.guard import Guard
from flowmate_airflow.plugin.links.magic import add_magic
from flowmate_airflow.plugin.links.people import SignIn, airflow_person, magic_person
from flowmate_airflow.settings import SettingError
from flowmate_airflow.store.errors import StoreError

_SAID = {404: "There is no such page.", 405: "This page is for something else.", 413: "What was sent is too large."}


def make_links() -> ASGIApp:
    """Return the app. Every route says who may use it."""
    app = FastAPI(title="FlowMate links", openapi_url=None)
    router = APIRouter()
    router.get(f"/{pages.STYLE}")(pages.style)
    router.get("/links/callback/{connector}/{context}")(come_back)
    add_pages(router, "/links", "/links", airflow_person)
    add_magic(router)
    add_pages(router, "/connect/{number}", "/connect/{number}/links", magic_person)
    app.include_router(router)
    app.mount("/api/v1", make_api())
    handlers: dict[Any, Any] = {
        PageError: _page_error,
        SignIn: _sign_in,
        HTTPException: _http_error,
        RequestValidationError: _not_valid,
        StoreError: _store_error,
        SettingError: _setting_error,
        Exception: _failed,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    return Guard(app)


def _page_error(request: Request, error: PageError) -> Response:
    return pages.refused(request, error)


def _sign_in(request: Request, error: SignIn) -> Response:
    """Let somebody sign in to Airflow, who comes back to the page then."""
    if request.method != "GET":
        return pages.message(request, 401, "You are signed out", "Sign in to Airflow, and open the page again.")
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    airflow = root(request).removesuffix(MOUNTED)
    return RedirectResponse(f"{airflow}/api/v2/auth/login?{urlencode({'next': address})}", 303)


def _http_error(request: Request, error: HTTPException) -> Response:
    text = _SAID.get(error.status_code, "This cannot be done.")
    return pages.message(request, error.status_code, "Not found" if error.status_code == 404 else "Not possible", text)


def _not_valid(request: Request, error: RequestValidationError) -> Response:
    names = sorted({str(each["loc"][-1]) for each in error.errors()})
    return pages.message(request, 400, "Something is missing or wrong", f"In the address: {', '.join(names)[:200]}.")


def _store_error(request: Request, error: StoreError) -> Response:
    return pages.message(request, 503, "Not possible just now", str(error))


def _setting_error(request: Request, error: SettingError) -> Response:
    return pages.message(request, 409, "This is not set up yet", str(error))


def _failed(request: Request, error: Exception) -> Response:
    return pages.message(request, 500, "Something went wrong here", "The server's log says where.")
