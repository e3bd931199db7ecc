"""The receiver mounted in an API server: made when it is needed, and reached past Airflow's own middlewares only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from receiver_harness import PATH, PUBLIC, FakeDirectory, github, signed_headers
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from flowmate_airflow.plugin.app import make_app
from flowmate_airflow.store.deliveries import Wanted, find
from flowmate_airflow.store.store import open_store
from flowmate_airflow.webhooks.inbox import Inbox
from flowmate_airflow.webhooks.mount import Mounted, configured_receiver
from flowmate_airflow.webhooks.receiver import Receiver
from flowmate_airflow.webhooks.shortcut import Shortcut

BODY = b'{"order": 7}'
MOUNT = "/flowmate/hooks"


class Seen:
    """A middleware that notes what goes through it."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    def airflows(self, *, after: bool = False) -> type:
        """Return it as one of Airflow's own.

        :param after: it notes the path, with the query, that a request has when it was answered
        """
        paths = self.paths

        class Middleware:
            def __init__(self, app: Any) -> None:
                self.app = app

            async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
                is_request = scope["type"] == "http"
                if is_request and not after:
                    paths.append(scope["path"])
                await self.app(scope, receive, send)
                if is_request and after:
                    paths.append(f"{scope['path']}?{scope['query_string'].decode()}")

        Middleware.__module__ = "airflow.api_fastapi.common.http_access_log"
        return Middleware


def make_receiver(folder: Path) -> Callable[[], Receiver]:
    url = f"sqlite:///{folder / 'store.db'}"
    return lambda: Receiver(
        FakeDirectory(github()), Inbox(lambda: open_store(url), str(folder / "files")), f"{PUBLIC}{PATH}"
    )


def host(make: Callable[[], Receiver], *middlewares: Any, root: str = "") -> FastAPI:
    app = FastAPI(root_path=root)
    hooks = Mounted(MOUNT, make)
    app.mount(MOUNT, hooks)
    app.mount("/flowmate", make_app(hooks))
    for middleware, options in middlewares:
        app.add_middleware(middleware, **options)
    return app


def post(client: TestClient, path: str = f"{MOUNT}/orders") -> int:
    return client.post(path, content=BODY, headers=signed_headers(BODY)).status_code


@pytest.mark.parametrize(("prefix", "root"), [("", ""), ("/airflow", "/airflow"), ("/airflow", "")])
def test_deliveries_go_past_airflows_own_middlewares(tmp_path: Path, prefix: str, root: str) -> None:
    """A proxy may take the prefix of Airflow's addresses off: then the path is without `root`."""
    seen = Seen()
    app = host(make_receiver(tmp_path), (seen.airflows(), {}), (GZipMiddleware, {}), root=prefix)
    with TestClient(app) as client:
        assert [post(client, f"{root}{MOUNT}/orders") for _ in range(3)] == [202] * 3
        assert isinstance(app.middleware_stack, Shortcut)
        assert client.get(f"{root}/flowmate/schema/flow.json").status_code == 200
        assert client.get(f"{root}/flowmate/hooksorders").status_code == 404
    assert seen.paths == [
        f"{root}{path}" for path in (f"{MOUNT}/orders", "/flowmate/schema/flow.json", "/flowmate/hooksorders")
    ]
    assert len(list(find(open_store(f"sqlite:///{tmp_path / 'store.db'}"), Wanted()))) == 3


@pytest.mark.parametrize(
    "foreign",
    [
        (TrustedHostMiddleware, {"allowed_hosts": ["testserver"]}),
        (BaseHTTPMiddleware, {"dispatch": lambda request, call_next: call_next(request)}),
    ],
)
def test_nobody_gets_past_a_middleware_that_somebody_has_added(tmp_path: Path, foreign: Any) -> None:
    seen = Seen()
    app = host(make_receiver(tmp_path), (seen.airflows(), {}), foreign)
    with TestClient(app) as client:
        assert [post(client) for _ in range(3)] == [202] * 3
    assert not isinstance(app.middleware_stack, Shortcut)
    assert len(seen.paths) == 3


def test_a_receiver_that_cannot_be_made_stops_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    makers = [make_receiver(tmp_path)]

    def make() -> Receiver:
        if len(makers) == 1:
            makers.append(makers[0])
            raise RuntimeError("it is not installed")
        return makers[0]()

    seen = Seen()
    with TestClient(host(make, (seen.airflows(after=True), {}))) as client:
        assert post(client, f"{MOUNT}/orders/canary?token=canary") == 503
        assert seen.paths == [f"{MOUNT}/***?"]
        assert client.get("/flowmate/schema/flow.json").status_code == 200
        assert post(client) == 202
    assert "webhooks cannot be received: RuntimeError" in caplog.text


def test_nothing_is_made_before_the_first_request(tmp_path: Path) -> None:
    with TestClient(host(make_receiver(tmp_path))) as client:
        assert client.get("/flowmate/schema/flow.json").status_code == 200
    assert not (tmp_path / "store.db").exists()


def test_without_a_public_address_the_receiver_is_made_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "")
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "")
    assert isinstance(configured_receiver(), Receiver)
    assert "public_url" in caplog.text
