"""The API: the same for an application that embeds FlowMate, for one tenant, and for users of Airflow, for each."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.forms import FormError
from flowmate_airflow.auth.returns import origin_of
from flowmate_airflow.plugin.links.adminroutes import admin_routes
from flowmate_airflow.plugin.links.callers import Caller, administrator, embedded
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.plugin.links.forms import STATUS
from flowmate_airflow.plugin.links.tenantroutes import tenant_routes
from flowmate_airflow.settings import SettingError, setting
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.linked import SymlinkError

log = logging.getLogger(__name__)


def make_api() -> FastAPI:
    """Return the app. Its description is public: it is the same everywhere."""
    app = FastAPI(
        title="FlowMate",
        description="Tenants, their links, and what is read for them.",
        version="1",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.include_router(tenant_routes(embedded), tags=["embedding"])
    app.include_router(tenant_routes(administrator), prefix="/tenants/{tenant}", tags=["tenants"])
    app.include_router(admin_routes())
    origins = _origins()
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
            max_age=600,
        )
    handlers: dict[Any, Any] = {
        FormError: _form_error,
        LoginError: _login_error,
        PageError: _page_error,
        HTTPException: _http_error,
        RequestValidationError: _not_valid,
        StoreError: _store_error,
        SettingError: _setting_error,
        Exception: _failed,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    return app


def _origins() -> list[str]:
    """Return the origins whose pages may call, `[flowmate] embedding_origins`."""
    found = []
    for text in setting("embedding_origins").replace(",", " ").split():
        try:
            is_origin = origin_of(text) == text
        except ValueError:
            is_origin = False
        if is_origin:
            found.append(text)
        else:
            log.warning("[flowmate] embedding_origins: an entry is no origin; write it as https://app.example.com")
    return found


def _answer(status: int, text: str, headers: dict[str, str] | None = None, **more: Any) -> JSONResponse:
    return JSONResponse({"error": text, **more}, status, headers)


def _form_error(request: Request, error: FormError) -> JSONResponse:
    return _answer(422, error.text, field=next(iter(error.problems), None), fields=error.problems)


def _login_error(request: Request, error: LoginError) -> JSONResponse:
    status = 400 if error.kind == "config" else STATUS[error.kind]
    wait = error.retry_after
    return _answer(status, error.text, None if wait is None else {"Retry-After": str(int(wait) + 1)})


def _page_error(request: Request, error: PageError) -> JSONResponse:
    return _answer(error.status, error.text)


def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    return _answer(error.status_code, str(error.detail), dict(error.headers or {}))


def _not_valid(request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    field = ".".join(place)[:200] or None
    return _answer(400, f"{field or 'the body'}: {first['msg']}"[:500], field=field)


def _store_error(request: Request, error: StoreError) -> JSONResponse:
    if isinstance(error, SymlinkError):
        caller: Caller | None = getattr(request.state, "flowmate_caller", None)
        is_user = caller is None or caller.user is not None
        return _answer(409, str(error) if is_user or caller is None else error.text_for(caller.tenant))
    return _answer(503 if error.transient else 400, str(error))


def _setting_error(request: Request, error: SettingError) -> JSONResponse:
    log.error("%s", error)
    return _answer(409, "this is not set up; the server's log says what is missing")


def _failed(request: Request, error: Exception) -> JSONResponse:
    return _answer(500, "something went wrong here; the server's log says where")
