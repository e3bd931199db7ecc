"""What FlowMate adds to Airflow's API server, below `/flowmate`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from flowmate_airflow.flows.schema import flow_schema
from flowmate_airflow.net.prefix import put_prefix_back
from flowmate_airflow.plugin.lazy import Lazy
from flowmate_airflow.webhooks.mount import Mounted

MOUNTED = "/flowmate"
"""Where the app is mounted in Airflow's."""


class _Prefixed:
    """Lets all requests have Airflow's own prefix, also those that have come through a proxy which takes it off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            put_prefix_back(scope, MOUNTED)
        await self._app(scope, receive, send)


def make_app(hooks: Mounted) -> FastAPI:
    """Return the app. Airflow mounts it without authentication, so each route says who may use it.

    :param hooks: is ended with it
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await hooks.close()

    app = FastAPI(title="FlowMate", openapi_url=None, lifespan=lifespan)

    @app.get("/schema/flow.json")
    def schema() -> JSONResponse:
        """The JSON Schema of flow files. Public: editors fetch it without a login, and it is the same everywhere."""
        return JSONResponse(_schema(), media_type="application/schema+json", headers={"Cache-Control": "max-age=3600"})

    app.mount("", Lazy(_links))
    app.add_middleware(_Prefixed)
    return app


def _links() -> Any:
    # It knows the store, all protocols of logins and Airflow's own API: nobody waits for that who only loads plugins.
    from flowmate_airflow.plugin.links.app import make_links

    return make_links()


@lru_cache(maxsize=1)
def _schema() -> dict[str, Any]:
    return flow_schema()
