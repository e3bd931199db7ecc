"""The service that the connector `desk` speaks to: each tenant has a key, and some are in trouble."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness import PATIENCE


class DeskService:
    """Knows each tenant by their key, `key-of-TENANT`.

    :param refused: tenants whose key is refused
    :param bad: tenants of whom a record has no number
    """

    def __init__(self, refused: set[str], bad: set[str]) -> None:
        self.refused = refused
        self.bad = bad
        self.delivered: dict[str, list[dict[str, Any]]] = {}
        self.held: dict[str, threading.Event] = {}
        self.came: dict[str, threading.Event] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                service._held(self._tenant())
                self._answer([{"id": 1}, {"id": None if self._tenant() in service.bad else 2}])

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.delivered.setdefault(self._tenant(), []).append(body)
                self._answer({})

            def _tenant(self) -> str:
                return str(self.headers["Authorization"]).removeprefix("Bearer key-of-")

            def _answer(self, value: Any) -> None:
                body = json.dumps(value).encode()
                self.send_response(401 if self._tenant() in service.refused else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def hold(self, tenant: str) -> threading.Event:
        """Let a tenant's next requests wait until the event is set."""
        self.came[tenant] = threading.Event()
        self.held[tenant] = threading.Event()
        return self.held[tenant]

    def _held(self, tenant: str) -> None:
        if tenant in self.held:
            self.came[tenant].set()
            self.held[tenant].wait(PATIENCE)

    def __enter__(self) -> DeskService:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for event in self.held.values():
            event.set()
        self._server.shutdown()
        self._server.server_close()
