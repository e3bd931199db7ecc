"""The way of webhooks through Airflow's API server, past what it does for people's requests.

Its middlewares look for a cookie, compress pages and write a line of log for each request. For a delivery they cost
three times what verifying and storing it costs, and do nothing: so deliveries go past them, as long as all of them are
Airflow's own. One that somebody has added, such as a filter of addresses, is never gone past.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowmate_airflow.webhooks.answers import Receive, Scope, Send

log = logging.getLogger(__name__)

_OWN = ("airflow.api_fastapi.", "starlette.middleware.gzip", "starlette.middleware.cors")
"""Where the middlewares are defined that Airflow's API server has by itself."""


def take_shortcut(host: Any, path: str, app: Any) -> bool:
    """Let requests below a path go straight to an app that is mounted there; return whether they do.

    :param host: Airflow's app, once it has answered something
    :param path: where the app is mounted
    """
    before = getattr(host, "middleware_stack", None)
    middlewares: Sequence[Any] = getattr(host, "user_middleware", ())
    names = [getattr(each.cls, "__module__", "") for each in middlewares]
    if before is None or isinstance(before, Shortcut) or not all(name.startswith(_OWN) for name in names):
        return False
    host.middleware_stack = Shortcut(before, path, app)
    return True


class Shortcut:
    """What stands before the middlewares.

    :param others: the middlewares, with all that is behind them
    :param path: where the app is mounted
    :param app: what requests below that path are for
    """

    def __init__(self, others: Any, path: str, app: Any) -> None:
        self._others = others
        self._path = path
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "http":
            root: str = scope.get("root_path", "")
            path: str = scope["path"]
            if root and path.startswith(f"{root}/"):
                path = path[len(root) :]
            if path.startswith(f"{self._path}/"):
                scope["root_path"] = f"{root}{self._path}"
                await self._app(scope, receive, send)
                return
        await self._others(scope, receive, send)
